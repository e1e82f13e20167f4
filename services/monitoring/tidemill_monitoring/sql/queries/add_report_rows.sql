INSERT INTO report_rows (alert_id, reference, current) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;
