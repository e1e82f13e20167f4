-- Take an alias away within a rollout's transaction. $1 model  $2 alias  $3 author  $4 reason
WITH dropped AS (
    DELETE FROM alias WHERE model = $1 AND alias = $2 RETURNING number, generation
)
INSERT INTO alias_history (model, alias, number, previous, generation, author, reason)
SELECT $1, $2, 0, number, generation + 1, $3, $4 FROM dropped
RETURNING previous, generation
