-- End an open run ($1 run, $2 why); the worker hears of it at its next heartbeat.
UPDATE run
SET state = 'cancelled', stage = 'cancelled', error = $2, lease_until = NULL, finished_at = clock_timestamp()
WHERE run_id = $1 AND state IN ('queued', 'running')
RETURNING *
