-- Keep a lease ($1 run, $2 fence, $3 lease in seconds) and tell the progress.
UPDATE run
SET lease_until = clock_timestamp() + make_interval(secs => $3),
    stage = CASE WHEN $4 = '' THEN stage ELSE $4 END,
    progress = greatest(progress, $5),
    metrics = metrics || $6::jsonb
WHERE run_id = $1 AND fence = $2 AND state = 'running'
RETURNING *
