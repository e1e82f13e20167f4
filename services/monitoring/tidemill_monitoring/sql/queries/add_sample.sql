INSERT INTO sample (model, from_t, to_t, rows, batch) VALUES ($1, $2, $3, $4, $5);
