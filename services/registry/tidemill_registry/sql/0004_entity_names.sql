-- What fields of entities are called in streams besides their own names, and erasures that began again because of that.

-- stream -> key field -> columns, as the list was told to services last. An erasure is looked for under these names.
ALTER TABLE erasure_list ADD COLUMN names jsonb NOT NULL DEFAULT '{}';

-- How often an erasure began again, and when it did last. What was reported of an earlier beginning counts no more.
ALTER TABLE erasure ADD COLUMN reopened int NOT NULL DEFAULT 0;
ALTER TABLE erasure ADD COLUMN reopened_at timestamptz;
ALTER TABLE erasure_report ADD COLUMN reopened int NOT NULL DEFAULT 0;
