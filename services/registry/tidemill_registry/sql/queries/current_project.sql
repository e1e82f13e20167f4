-- The current project.
SELECT g.project, g.digest, a.number, a.applied_at
FROM application AS a JOIN generation AS g USING (digest)
ORDER BY a.number DESC
LIMIT 1
