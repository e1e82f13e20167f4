SELECT batch FROM sample WHERE model = $1 AND to_t >= $2 AND from_t < $3 ORDER BY id DESC LIMIT 400;
