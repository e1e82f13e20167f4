-- Hold nothing any more.
DELETE FROM held
