-- Erasures, newest first. $1 id or NULL  $2 only open ones  $3 limit
SELECT erasure_id, fields, author, reason, requested_at, completed_at
FROM erasure
WHERE ($1::text IS NULL OR erasure_id = $1) AND (NOT $2::boolean OR completed_at IS NULL)
ORDER BY requested_at DESC
LIMIT $3
