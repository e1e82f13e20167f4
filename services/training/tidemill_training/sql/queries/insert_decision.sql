-- Store a decision; a repeat of (policy, cause) stores nothing and returns nothing.
INSERT INTO decision (decision_id, model, verdict, reason, signals, stream_us, cause, policy_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (policy_digest, cause) DO NOTHING
RETURNING decision_id
