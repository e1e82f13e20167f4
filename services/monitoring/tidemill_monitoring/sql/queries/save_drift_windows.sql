INSERT INTO drift_window
    (model, version, window_start, window_end, subject, rows, effect, p_value, drifted)
SELECT $1, $2, $3, $4, *
FROM unnest($5::text[], $6::bigint[], $7::double precision[], $8::double precision[], $9::boolean[])
ON CONFLICT DO NOTHING;
