-- Begin erasures of entities with any of these fields again, with their audit entries; gives their ids.
-- $1 fields  $2 author  $3 details
WITH again AS (
    UPDATE erasure SET completed_at = NULL, beginning = beginning + 1, reopened_at = clock_timestamp()
    WHERE fields && $1::text[]
    RETURNING erasure_id
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'erasure.reopened', 'erasure/' || erasure_id, $2, $3 FROM again
)
SELECT erasure_id FROM again
