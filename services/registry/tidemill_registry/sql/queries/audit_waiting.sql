-- Entries after the head whose order is settled: nothing that is still open can come before them.
-- $1 txid of the head  $2 id of the head  $3 limit
SELECT id, action, subject, author, details, at
FROM audit_entry
WHERE (txid, id) > ($1::text::xid8, $2::bigint) AND txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY txid, id
LIMIT $3
