-- Whether an alert has ever fired: a suspicion that went away leaves nothing out of training.
ALTER TABLE alert ADD COLUMN fired boolean NOT NULL DEFAULT false;
