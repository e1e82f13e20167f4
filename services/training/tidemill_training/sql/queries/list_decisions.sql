SELECT * FROM decision
WHERE ($1 = '' OR model = $1) AND ($2 = '' OR verdict = $2)
ORDER BY decided_at DESC, decision_id DESC LIMIT $3
