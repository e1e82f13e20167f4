-- What was counted so far.
SELECT counts, positions FROM canary WHERE model = $1 AND table_version = $2
