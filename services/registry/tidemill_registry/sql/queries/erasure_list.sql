-- The secret, the revision and the names of the list.
SELECT secret, revision, names FROM erasure_list
