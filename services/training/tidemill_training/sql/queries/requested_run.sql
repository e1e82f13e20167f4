SELECT * FROM run WHERE request_id = $1
