SELECT * FROM alert WHERE alert_id = $1;
