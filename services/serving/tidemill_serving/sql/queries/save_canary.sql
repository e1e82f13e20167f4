-- Keep counts and positions together; an older leader changes nothing.
INSERT INTO canary AS known (model, table_version, counts, positions, fence)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (model, table_version) DO UPDATE
SET counts = excluded.counts, positions = excluded.positions, fence = excluded.fence
WHERE known.fence <= excluded.fence
RETURNING fence
