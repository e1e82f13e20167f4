-- Make a generation current, if the current number is still the expected one; else no row.
-- $1 generation  $2 project  $3 author  $4 expected number (0: none yet)  $5 subject  $6 details
WITH stored AS (
    INSERT INTO generation (digest, project) VALUES ($1, $2) ON CONFLICT DO NOTHING
), applied AS (
    INSERT INTO application (number, digest, author)
    SELECT $4::bigint + 1, $1, $3
    WHERE $4::bigint = coalesce((SELECT max(number) FROM application), 0)
    RETURNING number, applied_at
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'project.applied', $5, $3, $6 FROM applied
)
SELECT number, applied_at FROM applied
