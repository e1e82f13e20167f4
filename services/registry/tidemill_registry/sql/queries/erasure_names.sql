-- The list goes by these names from now on. $1 names
UPDATE erasure_list SET names = $1, revision = revision + 1
