-- What is held beside the current project.
SELECT g.project, h.digest, h.author, h.held_at
FROM held AS h JOIN generation AS g USING (digest)
WHERE h.number = (SELECT max(number) FROM application)
