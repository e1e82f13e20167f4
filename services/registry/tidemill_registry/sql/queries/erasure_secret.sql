-- The secret of the digests; made of $1 by whoever asks first.
WITH made AS (
    INSERT INTO erasure_list (secret, revision) VALUES ($1, 0) ON CONFLICT DO NOTHING
    RETURNING secret
)
SELECT secret FROM made UNION ALL SELECT secret FROM erasure_list LIMIT 1
