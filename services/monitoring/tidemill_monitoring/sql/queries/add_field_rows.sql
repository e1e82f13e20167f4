INSERT INTO field_rows (stream, first_seq, end_seq, batch) VALUES ($1, $2, $3, $4);
