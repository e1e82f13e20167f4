SELECT model, version, window_start, predictions, vectors, first_us, last_us, counts
FROM drift_count
WHERE NOT judged;
