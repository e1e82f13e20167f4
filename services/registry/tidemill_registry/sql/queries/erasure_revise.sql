-- The list of erased keys has changed.
UPDATE erasure_list SET revision = revision + 1
