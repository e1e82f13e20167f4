-- Append links. $1 sequences  $2 entry ids  $3 previous hashes  $4 hashes
INSERT INTO audit_chain (sequence, entry_id, previous_hash, hash)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
