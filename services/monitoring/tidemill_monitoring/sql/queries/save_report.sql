UPDATE alert SET report_path = $2, report_state = $3 WHERE alert_id = $1 RETURNING *;
