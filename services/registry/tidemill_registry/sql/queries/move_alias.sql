-- Compare-and-set of an alias with history and audit; generation is NULL when someone was faster.
-- $1 model  $2 alias  $3 number  $4 expected generation (0: new)  $5 author  $6 reason  $7 details
WITH target AS (
    SELECT number FROM version WHERE model = $1 AND number = $3
), held AS (
    SELECT number, generation FROM alias WHERE model = $1 AND alias = $2 FOR UPDATE
), moved AS (
    INSERT INTO alias AS held_alias (model, alias, number, generation)
    SELECT $1, $2, number, 1 FROM target
    WHERE $4::bigint = 0 OR EXISTS (SELECT FROM held WHERE generation = $4)
    ON CONFLICT (model, alias) DO UPDATE
        SET number = EXCLUDED.number, generation = held_alias.generation + 1
        WHERE held_alias.generation = $4
    RETURNING generation
), history AS (
    INSERT INTO alias_history (model, alias, number, previous, generation, author, reason)
    SELECT $1, $2, $3, coalesce((SELECT number FROM held), 0), generation, $5, $6 FROM moved
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'alias.moved', $1 || '/' || $3, $5, $7 FROM moved
)
SELECT
    EXISTS (SELECT FROM target) AS known,
    coalesce((SELECT number FROM held), 0) AS previous,
    coalesce((SELECT generation FROM held), 0) AS held_generation,
    (SELECT generation FROM moved) AS generation
