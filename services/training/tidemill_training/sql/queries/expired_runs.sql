-- Runs whose worker has been silent for too long.
SELECT * FROM run
WHERE state = 'running' AND lease_until < clock_timestamp()
FOR UPDATE SKIP LOCKED
