-- Versions with their state and aliases, newest first.
-- $1 model  $2 number or NULL  $3 digest or NULL  $4 limit
SELECT
    v.model, v.number, v.digest, v.run_id, v.artifacts, v.lineage, v.metrics, v.traceparent,
    v.data_time, v.created_at, s.stage, s.reason,
    ARRAY(
        SELECT a.alias FROM alias AS a
        WHERE a.model = v.model AND a.number = v.number ORDER BY a.alias
    ) AS aliases
FROM version AS v JOIN version_state AS s USING (model, number)
WHERE v.model = $1
    AND ($2::bigint IS NULL OR v.number = $2)
    AND ($3::text IS NULL OR v.digest = $3)
ORDER BY v.number DESC
LIMIT $4
