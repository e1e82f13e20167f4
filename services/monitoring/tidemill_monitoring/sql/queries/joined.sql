-- Labelled spine rows of these keys. The label is the first one known within the delay, the
-- prediction the one asked nearest to the row's time; ties by id, so arrival order is irrelevant.
SELECT s.spine_id, s.spine_key, s.t, l.label_time, l.available, l.value,
       p.prediction_id, p.version, p.score
FROM spine_row s
CROSS JOIN LATERAL (
    SELECT label_time, available, value
    FROM label_row
    WHERE model = s.model AND spine_key = s.spine_key
      AND label_time >= s.t AND available <= s.t + $3
    ORDER BY available, label_time, source, label_id
    LIMIT 1
) l
LEFT JOIN LATERAL (
    SELECT prediction_id, version, score
    FROM prediction_row
    WHERE model = s.model AND spine_key = s.spine_key AND variant <> 'shadow'
    ORDER BY abs(t - s.t), t, prediction_id
    LIMIT 1
) p ON true
WHERE s.model = $1 AND s.spine_key = ANY($2::text[])
ORDER BY s.t, s.spine_id;
