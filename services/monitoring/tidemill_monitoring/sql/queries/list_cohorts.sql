SELECT DISTINCT ON (window_start, version)
       model, version, window_start, window_end, revision, predictions, labelled, metrics, error,
       mature, final
FROM cohort
WHERE model = $1 AND window_end > $2 AND window_start < $3
ORDER BY window_start DESC, version DESC, revision DESC
LIMIT 2000;
