-- Gives the keys of the rows that are new.
INSERT INTO label_row (model, source, label_id, spine_key, label_time, available, value)
SELECT $1, *
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::double precision[])
ON CONFLICT DO NOTHING
RETURNING spine_key;
