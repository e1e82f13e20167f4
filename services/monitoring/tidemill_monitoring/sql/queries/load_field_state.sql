SELECT state, pasts FROM field_state WHERE stream = $1;
