-- The end of the chain.
SELECT c.sequence, c.hash, e.txid::text AS txid, e.id
FROM audit_chain AS c JOIN audit_entry AS e ON e.id = c.entry_id
ORDER BY c.sequence DESC
LIMIT 1
