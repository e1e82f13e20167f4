SELECT model, version, window_start, predictions, vectors, counts
FROM drift_count
WHERE NOT judged;
