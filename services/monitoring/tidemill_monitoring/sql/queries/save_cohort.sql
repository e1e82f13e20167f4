INSERT INTO cohort (model, version, window_start, window_end, revision, predictions, labelled,
                    metrics, error, mature, final, stream_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING;
