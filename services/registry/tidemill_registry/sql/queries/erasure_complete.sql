-- End an erasure with its audit entry, once, when every one of the services has said that it is done since it began last.
-- $1 id  $2 services  $3 subject  $4 author  $5 details
WITH ended AS (
    UPDATE erasure AS e SET completed_at = clock_timestamp()
    WHERE e.erasure_id = $1 AND e.completed_at IS NULL
        AND (
            SELECT count(*) FROM erasure_report AS r
            WHERE r.erasure_id = $1 AND r.service = ANY($2::text[]) AND r.done AND r.beginning = e.beginning
        ) = cardinality($2::text[])
    RETURNING e.erasure_id
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'erasure.completed', $3, $4, $5 FROM ended
)
SELECT erasure_id FROM ended
