-- What fields of entities are called in streams besides their own names, and erasures that began again because of that.

-- stream -> key field -> columns, as the list was told to services last. An erasure is looked for under these names.
ALTER TABLE erasure_list ADD COLUMN names jsonb NOT NULL DEFAULT '{}';

-- Which beginning of an erasure this is, and when it began again last. What was reported of an earlier one counts no more.
-- 0 only while the fields have no other names: services that know none report on no other.
ALTER TABLE erasure ADD COLUMN beginning int NOT NULL DEFAULT 0;
ALTER TABLE erasure ADD COLUMN reopened_at timestamptz;
ALTER TABLE erasure_report ADD COLUMN beginning int NOT NULL DEFAULT 0;
