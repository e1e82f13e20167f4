INSERT INTO drift_count (model, version, window_start, predictions, vectors, counts, judged)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (model, version, window_start) DO UPDATE
SET predictions = excluded.predictions, vectors = excluded.vectors, counts = excluded.counts,
    judged = excluded.judged;
