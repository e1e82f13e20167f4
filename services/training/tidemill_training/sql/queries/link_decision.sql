UPDATE decision SET run_id = $2 WHERE decision_id = $1
