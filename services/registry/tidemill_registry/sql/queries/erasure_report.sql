-- Keep what a service says of its part; gives whether it had called its state clean before.
-- $1 id  $2 service  $3 report  $4 state clean  $5 done
WITH before AS (
    SELECT state_clean FROM erasure_report WHERE erasure_id = $1 AND service = $2
), kept AS (
    INSERT INTO erasure_report (erasure_id, service, report, state_clean, done)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (erasure_id, service) DO UPDATE
        SET report = EXCLUDED.report, state_clean = EXCLUDED.state_clean, done = EXCLUDED.done
)
SELECT coalesce((SELECT state_clean FROM before), false)
