-- What the judge decides; report and acknowledgement are others' columns.
INSERT INTO alert (alert_id, kind, model, version, subject, state, severity, effect, p_value,
                   opened_us, changed_us, changed_wall_us, resolved_us, bad_from_us, bad_to_us,
                   summary, details, traceparent, report_state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (alert_id) DO UPDATE
SET state = excluded.state, severity = excluded.severity, effect = excluded.effect,
    p_value = excluded.p_value, changed_us = excluded.changed_us,
    changed_wall_us = excluded.changed_wall_us, resolved_us = excluded.resolved_us,
    bad_from_us = excluded.bad_from_us, bad_to_us = excluded.bad_to_us,
    summary = excluded.summary, details = excluded.details, traceparent = excluded.traceparent,
    report_state = CASE WHEN alert.report_state = '' THEN excluded.report_state
                        ELSE alert.report_state END
RETURNING report_path, acknowledged_by;
