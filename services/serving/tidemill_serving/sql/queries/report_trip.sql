-- Say that this replica stopped routing to a challenger; the first reason stays.
INSERT INTO trip (model, table_version, replica, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
