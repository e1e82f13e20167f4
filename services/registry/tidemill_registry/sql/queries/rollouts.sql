-- Rollout rows with the digests of their versions. $1 model or NULL
SELECT
    r.model, r.table_version, r.champion, c.digest AS champion_digest,
    r.challenger, coalesce(d.digest, '') AS challenger_digest,
    r.share, r.salt, r.previous_champion, r.changed_at, r.reason
FROM rollout AS r
JOIN version AS c ON c.model = r.model AND c.number = r.champion
LEFT JOIN version AS d ON d.model = r.model AND d.number = r.challenger
WHERE $1::text IS NULL OR r.model = $1
ORDER BY r.model
