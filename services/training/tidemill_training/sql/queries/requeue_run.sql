-- Take a run from a silent worker ($1 run): $2 is its state from now on. The new fence shuts the old worker out.
UPDATE run
SET state = $2,
    fence = nextval('fence'),
    error = $3,
    stage = $2,
    lease_until = NULL,
    not_before = clock_timestamp(),
    finished_at = CASE WHEN $2 = 'queued' THEN NULL ELSE clock_timestamp() END
WHERE run_id = $1
RETURNING *
