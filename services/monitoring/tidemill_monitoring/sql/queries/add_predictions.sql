-- Gives the keys of the rows that are new; a shadow's answer is attached to no label.
WITH added AS (
    INSERT INTO prediction_row (model, prediction_id, spine_key, t, version, variant, score)
    SELECT $1, *
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::double precision[])
    ON CONFLICT DO NOTHING
    RETURNING spine_key, variant
)
SELECT spine_key FROM added WHERE variant <> 'shadow';
