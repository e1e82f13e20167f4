-- One generation, as it was applied last. $1 generation
SELECT g.project, g.digest, a.number, a.applied_at
FROM application AS a JOIN generation AS g USING (digest)
WHERE g.digest = $1
ORDER BY a.number DESC
LIMIT 1
