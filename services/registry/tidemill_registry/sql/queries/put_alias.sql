-- Point an alias at a version within a rollout's transaction, whose row lock orders the writers.
-- $1 model  $2 alias  $3 number  $4 author  $5 reason
WITH held AS (
    SELECT number FROM alias WHERE model = $1 AND alias = $2
), moved AS (
    INSERT INTO alias AS held_alias (model, alias, number, generation) VALUES ($1, $2, $3, 1)
    ON CONFLICT (model, alias) DO UPDATE
        SET number = EXCLUDED.number, generation = held_alias.generation + 1
        WHERE held_alias.number <> EXCLUDED.number
    RETURNING generation
), history AS (
    INSERT INTO alias_history (model, alias, number, previous, generation, author, reason)
    SELECT $1, $2, $3, coalesce((SELECT number FROM held), 0), generation, $4, $5 FROM moved
)
SELECT generation, coalesce((SELECT number FROM held), 0) AS previous FROM moved
