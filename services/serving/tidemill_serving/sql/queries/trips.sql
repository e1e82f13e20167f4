-- Why replicas tripped, oldest first.
SELECT reason FROM trip WHERE model = $1 AND table_version = $2 ORDER BY time LIMIT 1
