-- Let another one take over at once.
UPDATE lease SET until = now() WHERE role = $1 AND holder = $2
