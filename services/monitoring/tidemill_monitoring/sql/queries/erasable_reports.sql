-- What reports compare, with the stream of the rows: an alert on raw data is about stream.field.
SELECT r.alert_id, r.reference, r.current, coalesce(split_part(a.subject, '.', 1), '') AS stream
FROM report_rows AS r LEFT JOIN alert AS a USING (alert_id);
