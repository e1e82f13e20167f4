-- Drop what no label can join any more.
WITH gone_spine AS (DELETE FROM spine_row WHERE model = $1 AND t < $2),
     gone_labels AS (DELETE FROM label_row WHERE model = $1 AND label_time < $2),
     gone_samples AS (DELETE FROM sample WHERE model = $1 AND to_t < $3)
DELETE FROM prediction_row WHERE model = $1 AND t < $2;
