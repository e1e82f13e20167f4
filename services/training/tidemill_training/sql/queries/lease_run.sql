-- Take the oldest run that fits the worker ($1 worker, $2 gpus, $3 memory, $4 lease in seconds).
UPDATE run
SET state = 'running',
    worker = $1,
    lease_until = clock_timestamp() + make_interval(secs => $4),
    attempt = attempt + 1,
    fence = nextval('fence'),
    stage = 'leased',
    error = '',
    started_at = coalesce(started_at, clock_timestamp()),
    labelled_at_cut = CASE
        WHEN checkpoint_digest <> '' THEN labelled_at_cut
        ELSE coalesce((SELECT (state ->> 'labelled_total')::bigint FROM policy_state p WHERE p.model = run.model), 0)
    END
WHERE run_id = (
    SELECT run_id FROM run
    WHERE state = 'queued' AND not_before <= clock_timestamp() AND gpus <= $2 AND memory_mb <= $3
    ORDER BY created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *
