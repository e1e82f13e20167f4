SELECT * FROM run WHERE $1 = '' OR model = $1 ORDER BY created_at DESC, run_id DESC LIMIT $2
