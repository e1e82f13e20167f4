SELECT version, window_start, window_end, subject, rows, effect, p_value, drifted
FROM drift_window
WHERE model = $1 AND window_end > $2 AND window_start < $3
ORDER BY window_start DESC, version DESC, effect DESC
LIMIT 5000;
