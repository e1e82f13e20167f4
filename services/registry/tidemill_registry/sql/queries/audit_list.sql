-- Chained entries in order; one whose row is gone comes with NULLs.
-- $1 after sequence  $2 limit  $3 subject or NULL (with all below it)
SELECT
    c.sequence, c.entry_id, c.previous_hash, c.hash,
    e.action, e.subject, e.author, e.details, e.at
FROM audit_chain AS c LEFT JOIN audit_entry AS e ON e.id = c.entry_id
WHERE c.sequence > $1
    AND ($3::text IS NULL OR e.subject = $3 OR starts_with(e.subject, $3 || '/'))
ORDER BY c.sequence
LIMIT $2
