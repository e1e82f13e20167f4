INSERT INTO drift_count
    (model, version, window_start, predictions, vectors, first_us, last_us, counts, judged)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (model, version, window_start) DO UPDATE
SET predictions = excluded.predictions, vectors = excluded.vectors, first_us = excluded.first_us,
    last_us = excluded.last_us, counts = excluded.counts, judged = excluded.judged;
