-- Runs of a model ($1) opened after a moment of stream time ($2), and whether one is open.
SELECT count(*) FILTER (WHERE stream_us > $2) AS runs_today,
       count(*) FILTER (WHERE state IN ('queued', 'running')) > 0 AS run_open
FROM run WHERE model = $1
