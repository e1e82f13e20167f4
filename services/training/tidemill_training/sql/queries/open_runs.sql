SELECT model, count(*) AS runs FROM run WHERE state IN ('queued', 'running') GROUP BY model
