-- Settled entries that lie before the head and are in no link: someone put them there.
SELECT e.id
FROM audit_entry AS e
WHERE NOT EXISTS (SELECT FROM audit_chain AS c WHERE c.entry_id = e.id)
    AND (e.txid, e.id) < (
        SELECT h.txid, h.id FROM audit_chain AS c JOIN audit_entry AS h ON h.id = c.entry_id
        ORDER BY c.sequence DESC LIMIT 1
    )
ORDER BY e.txid, e.id
LIMIT 1
