-- Every project that was ever current, each once, in the order in which they were last.
SELECT g.project
FROM generation AS g
JOIN (SELECT digest, max(number) AS last FROM application GROUP BY digest) AS a USING (digest)
ORDER BY a.last
