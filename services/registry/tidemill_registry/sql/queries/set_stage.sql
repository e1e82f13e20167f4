-- Move a version between stages, if it is in one of the stages expected.
-- $1 model  $2 number  $3 from stages  $4 to  $5 reason
UPDATE version_state SET stage = $4, reason = $5, changed_at = now()
WHERE model = $1 AND number = $2 AND stage = ANY ($3::text[])
RETURNING stage
