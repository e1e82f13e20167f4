-- Keep the last change of an alert; an older one, or a repeat, changes nothing and returns nothing.
INSERT INTO alert AS known (alert_id, model, kind, state, subject, version, effect, bad_from_us, bad_to_us, changed_us, fired)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (alert_id) DO UPDATE
SET state = EXCLUDED.state, fired = known.fired OR EXCLUDED.fired, effect = EXCLUDED.effect, changed_us = EXCLUDED.changed_us,
    bad_from_us = least(known.bad_from_us, EXCLUDED.bad_from_us),
    bad_to_us = coalesce(EXCLUDED.bad_to_us, known.bad_to_us)
WHERE known.changed_us < EXCLUDED.changed_us
RETURNING alert_id
