-- Open a run, or let its cause join the one that is open; `created` says which.
INSERT INTO run AS known (run_id, model, spec, causes, request_id, gpus, memory_mb, traceparent, stream_us, labelled_at_cut)
VALUES ($1, $2, $3, ARRAY[$4::text], $5, $6, $7, $8, $9, $10)
ON CONFLICT (model) WHERE state IN ('queued', 'running') DO UPDATE
SET causes = CASE WHEN $4::text = ANY (known.causes) THEN known.causes ELSE known.causes || $4::text END
RETURNING *, (xmax = 0) AS created
