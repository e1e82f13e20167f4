-- Register a version: fence, number, version, state and audit in one statement.
-- $1 model  $2 run  $3 fence  $4 digest  $5 artifacts  $6 lineage  $7 metrics  $8 traceparent  $9 data time  $10 details
-- fence is NULL when an outdated fence was refused; existing_* say what the run has registered before.
WITH fenced AS (
    INSERT INTO run_fence AS held (run_id, fence) VALUES ($2, $3)
    ON CONFLICT (run_id) DO UPDATE SET fence = EXCLUDED.fence WHERE held.fence <= EXCLUDED.fence
    RETURNING fence
), existing AS (
    SELECT model, number FROM version WHERE run_id = $2
), numbered AS (
    INSERT INTO model AS known (name, versions)
    SELECT $1, 1 FROM fenced WHERE NOT EXISTS (SELECT FROM existing)
    ON CONFLICT (name) DO UPDATE SET versions = known.versions + 1
    RETURNING versions AS number
), made AS (
    INSERT INTO version
        (model, number, digest, run_id, artifacts, lineage, metrics, traceparent, data_time)
    SELECT $1, number, $4, $2, $5, $6, $7, $8, $9 FROM numbered
    RETURNING number, created_at
), staged AS (
    INSERT INTO version_state (model, number, stage, reason)
    SELECT $1, number, 'candidate', '' FROM made
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'version.registered', $1 || '/' || number, 'run/' || $2, $10 FROM made
)
SELECT
    (SELECT fence FROM fenced) AS fence,
    (SELECT number FROM made) AS number,
    (SELECT created_at FROM made) AS created_at,
    (SELECT model FROM existing) AS existing_model,
    (SELECT number FROM existing) AS existing_number
