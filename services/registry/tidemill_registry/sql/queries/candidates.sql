-- Versions whose gates have not been decided, oldest first. $1 limit
SELECT s.model, s.number
FROM version_state AS s JOIN version AS v USING (model, number)
WHERE s.stage = 'candidate'
ORDER BY v.created_at, s.model, s.number
LIMIT $1
