-- Keep what a service says of its part, unless it has said something of a later beginning; gives whether it had called
-- its state clean before, of the same beginning.
-- $1 id  $2 service  $3 report  $4 state clean  $5 done  $6 which beginning
WITH before AS (
    SELECT state_clean FROM erasure_report WHERE erasure_id = $1 AND service = $2 AND beginning = $6
), kept AS (
    INSERT INTO erasure_report (erasure_id, service, report, state_clean, done, beginning)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (erasure_id, service) DO UPDATE
        SET report = EXCLUDED.report, state_clean = EXCLUDED.state_clean, done = EXCLUDED.done,
            beginning = EXCLUDED.beginning
        WHERE EXCLUDED.beginning >= erasure_report.beginning
)
SELECT coalesce((SELECT state_clean FROM before), false)
