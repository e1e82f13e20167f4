-- Alerts that concern a model ($1): its own that are not over, and every data alert.
SELECT * FROM alert WHERE (model = $1 AND state <> 'ok') OR kind = 'data'
