-- Erasures, newest first. $1 id or NULL  $2 only open ones  $3 limit  $4 only older ones than this, or NULL
SELECT erasure_id, fields, author, reason, requested_at, completed_at, reopened_at
FROM erasure
WHERE ($1::text IS NULL OR erasure_id = $1) AND (NOT $2::boolean OR completed_at IS NULL)
  AND ($4::text IS NULL OR (requested_at, erasure_id) < (
    SELECT requested_at, erasure_id FROM erasure WHERE erasure_id = $4))
ORDER BY requested_at DESC, erasure_id DESC
LIMIT $3
