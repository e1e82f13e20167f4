-- The secret and the revision of the list; no row before the first erasure.
SELECT secret, revision FROM erasure_list
