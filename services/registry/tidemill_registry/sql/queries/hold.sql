-- Hold a generation beside the current one, in place of another that is held; no row if the current number is another one.
-- $1 generation  $2 project  $3 author  $4 expected number  $5 subject  $6 details
WITH stored AS (
    INSERT INTO generation (digest, project) VALUES ($1, $2) ON CONFLICT DO NOTHING
), placed AS (
    INSERT INTO held (digest, number, author)
    SELECT $1, $4::bigint, $3
    WHERE $4::bigint = (SELECT max(number) FROM application)
    ON CONFLICT (one) DO UPDATE
    SET digest = excluded.digest, number = excluded.number, author = excluded.author, held_at = now()
    RETURNING held_at
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'project.held', $5, $3, $6 FROM placed
)
SELECT held_at FROM placed
