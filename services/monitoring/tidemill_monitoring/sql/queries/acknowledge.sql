UPDATE alert
SET acknowledged_by = CASE WHEN acknowledged_by = '' THEN $2 ELSE acknowledged_by END
WHERE alert_id = $1
RETURNING *;
