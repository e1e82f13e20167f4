-- What was said of these erasures. $1 ids
SELECT erasure_id, report FROM erasure_report WHERE erasure_id = ANY($1::text[]) ORDER BY service
