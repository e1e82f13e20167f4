-- Gives the keys of the rows that are new.
INSERT INTO spine_row (model, source, spine_id, spine_key, t)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT DO NOTHING
RETURNING spine_key;
