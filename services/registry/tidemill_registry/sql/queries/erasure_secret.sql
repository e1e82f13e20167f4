-- The secret of the digests; made of $1 by whoever asks first, and found by those who ask at the same time:
-- the update waits for the other transaction and then sees its row, which a second look of this statement would not.
INSERT INTO erasure_list (secret, revision) VALUES ($1, 0)
ON CONFLICT (one) DO UPDATE SET revision = erasure_list.revision
RETURNING secret
