-- Labelled spine rows of these keys. The label is the first event after the row's time and
-- within the delay (as in training sets), the prediction the one asked nearest to the row's time;
-- ties by id, so that the order of arrival is irrelevant.
SELECT s.spine_id, s.spine_key, s.t, l.label_time, l.available, l.value,
       p.prediction_id, p.version, p.score
FROM spine_row s
CROSS JOIN LATERAL (
    SELECT label_time, available, value
    FROM label_row
    WHERE model = s.model AND spine_key = s.spine_key
      AND label_time > s.t AND label_time <= s.t + $3
    ORDER BY label_time, available, source, label_id
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
