SELECT *
FROM alert
WHERE ($1 = '' OR model = $1) AND (NOT $2 OR state <> 'ok')
ORDER BY changed_wall_us DESC, alert_id DESC
LIMIT $3;
