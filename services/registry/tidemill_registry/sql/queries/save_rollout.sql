-- Compare-and-set of a rollout row; no row comes back when someone was faster.
-- $1 model  $2 expected table version (0: new)  $3 champion  $4 challenger  $5 previous champion
-- $6 share  $7 salt  $8 reason
INSERT INTO rollout AS held
    (model, table_version, champion, challenger, previous_champion, share, salt, reason)
SELECT $1, $2::bigint + 1, $3, $4, $5, $6, $7, $8
WHERE $2::bigint = 0 OR EXISTS (SELECT FROM rollout WHERE model = $1)
ON CONFLICT (model) DO UPDATE SET
    table_version = held.table_version + 1,
    champion = EXCLUDED.champion,
    challenger = EXCLUDED.challenger,
    previous_champion = EXCLUDED.previous_champion,
    share = EXCLUDED.share,
    salt = EXCLUDED.salt,
    reason = EXCLUDED.reason,
    changed_at = now()
    WHERE held.table_version = $2
RETURNING table_version
