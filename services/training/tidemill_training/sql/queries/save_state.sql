UPDATE policy_state SET state = $2 WHERE model = $1
