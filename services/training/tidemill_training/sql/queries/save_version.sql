INSERT INTO version (model, number, run_id, data_us) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
