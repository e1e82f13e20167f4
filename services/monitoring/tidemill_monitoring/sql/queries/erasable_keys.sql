-- Every key that a side of the label join holds, by model.
SELECT model, spine_key FROM spine_row
UNION SELECT model, spine_key FROM label_row
UNION SELECT model, spine_key FROM prediction_row;
