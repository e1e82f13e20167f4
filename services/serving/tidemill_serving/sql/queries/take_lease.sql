-- Take or renew a lease: no row comes back while somebody else holds it.
INSERT INTO lease AS held (role, holder, until, fence)
VALUES ($1, $2, now() + make_interval(secs => $3), 1)
ON CONFLICT (role) DO UPDATE
SET holder = excluded.holder,
    until = excluded.until,
    fence = held.fence + CASE WHEN held.holder = excluded.holder THEN 0 ELSE 1 END
WHERE held.until < now() OR held.holder = excluded.holder
RETURNING fence
