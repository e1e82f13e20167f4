SELECT batch FROM field_rows WHERE stream = $1 ORDER BY id;
