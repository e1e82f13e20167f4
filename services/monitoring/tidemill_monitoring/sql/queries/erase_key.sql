-- Remove a key of a model from the label join; gives how many rows that were.
WITH spine AS (
    DELETE FROM spine_row WHERE model = $1 AND spine_key = $2 RETURNING 1
), labels AS (
    DELETE FROM label_row WHERE model = $1 AND spine_key = $2 RETURNING 1
), predictions AS (
    DELETE FROM prediction_row WHERE model = $1 AND spine_key = $2 RETURNING 1
)
SELECT (SELECT count(*) FROM spine) + (SELECT count(*) FROM labels) + (SELECT count(*) FROM predictions);
