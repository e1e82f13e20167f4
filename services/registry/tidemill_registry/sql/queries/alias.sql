-- One alias. $1 model  $2 alias
SELECT number, generation FROM alias WHERE model = $1 AND alias = $2
