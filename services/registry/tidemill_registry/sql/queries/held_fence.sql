-- The highest fence that a run has shown. $1 run
SELECT fence FROM run_fence WHERE run_id = $1
