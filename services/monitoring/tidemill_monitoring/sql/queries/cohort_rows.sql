-- Predictions of one model with T in [from, to), each with its label when there is one.
SELECT p.version, p.score, l.value
FROM prediction_row p
LEFT JOIN LATERAL (
    SELECT value
    FROM label_row
    WHERE model = p.model AND spine_key = p.spine_key
      AND label_time > p.t AND label_time <= p.t + $4
    ORDER BY label_time, available, source, label_id
    LIMIT 1
) l ON true
WHERE p.model = $1 AND p.t >= $2 AND p.t < $3
ORDER BY p.version, p.prediction_id;
