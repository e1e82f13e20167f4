SELECT reference, current FROM report_rows WHERE alert_id = $1;
