SELECT first_seq, end_seq, batch FROM field_rows WHERE stream = $1 ORDER BY first_seq;
