WITH gone AS (DELETE FROM field_rows WHERE stream = $1 AND newest_us < $4)
INSERT INTO field_state (stream, state, pasts) VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE SET state = excluded.state, pasts = excluded.pasts;
