-- End an attempt ($1 run, $2 fence): $3 is the run's state from now on.
UPDATE run
SET state = $3,
    error = $4,
    version = $5,
    metrics = metrics || $6::jsonb,
    training_set_hash = CASE WHEN $7 = '' THEN training_set_hash ELSE $7 END,
    stage = $3,
    progress = CASE WHEN $3 = 'succeeded' THEN 1 ELSE progress END,
    lease_until = NULL,
    not_before = clock_timestamp() + make_interval(secs => $8),
    finished_at = CASE WHEN $3 = 'queued' THEN NULL ELSE clock_timestamp() END
WHERE run_id = $1 AND fence = $2 AND state = 'running'
RETURNING *
