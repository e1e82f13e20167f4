-- Record a complete checkpoint ($1 run, $2 fence, $3 digest, $4 step).
UPDATE run
SET checkpoint_digest = $3, checkpoint_step = $4
WHERE run_id = $1 AND fence = $2 AND state = 'running'
RETURNING run_id
