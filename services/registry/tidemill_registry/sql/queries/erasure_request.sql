-- Record an erasure with its audit entry; no row if there is one already.
-- $1 id  $2 fields  $3 digest  $4 author  $5 reason  $6 subject  $7 details  $8 which beginning
WITH made AS (
    INSERT INTO erasure (erasure_id, fields, digest, author, reason, beginning) VALUES ($1, $2, $3, $4, $5, $8)
    ON CONFLICT DO NOTHING RETURNING erasure_id
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'erasure.requested', $6, $4, $7 FROM made
)
SELECT erasure_id FROM made
