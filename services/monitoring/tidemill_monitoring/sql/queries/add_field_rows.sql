INSERT INTO field_rows (stream, newest_us, batch) VALUES ($1, $2, $3);
