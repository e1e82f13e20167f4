SELECT * FROM run WHERE model = $1 AND state IN ('queued', 'running') FOR UPDATE
