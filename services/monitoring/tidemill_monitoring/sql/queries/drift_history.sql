-- How many windows of a version were judged: the first one is silent.
SELECT model, version, count(*) AS windows
FROM drift_count
WHERE judged
GROUP BY model, version;
