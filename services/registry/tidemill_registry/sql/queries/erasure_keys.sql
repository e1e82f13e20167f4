-- Every key that is refused; its state is clean when the service that keeps state says so since the erasure began last.
SELECT
    e.erasure_id, e.fields, e.digest, e.completed_at IS NOT NULL AS complete, e.beginning,
    coalesce((
        SELECT bool_or(r.state_clean) FROM erasure_report AS r
        WHERE r.erasure_id = e.erasure_id AND r.beginning = e.beginning
    ), false) AS state_clean
FROM erasure AS e
ORDER BY e.requested_at
