-- End an erasure with its audit entry, once, when every one of the services has said that it is done.
-- $1 id  $2 services  $3 subject  $4 author  $5 details
WITH ended AS (
    UPDATE erasure SET completed_at = clock_timestamp()
    WHERE erasure_id = $1 AND completed_at IS NULL
        AND (
            SELECT count(*) FROM erasure_report
            WHERE erasure_id = $1 AND service = ANY($2::text[]) AND done
        ) = cardinality($2::text[])
    RETURNING erasure_id
), audited AS (
    INSERT INTO audit_entry (action, subject, author, details)
    SELECT 'erasure.completed', $3, $4, $5 FROM ended
)
SELECT erasure_id FROM ended
