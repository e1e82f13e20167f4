-- One generation, as it was applied last; one that was only ever held has no number. $1 generation
SELECT g.project, g.digest, coalesce(a.number, 0) AS number, a.applied_at
FROM generation AS g LEFT JOIN application AS a USING (digest)
WHERE g.digest = $1
ORDER BY a.number DESC NULLS LAST
LIMIT 1
