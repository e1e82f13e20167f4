-- The generation that is built beside the current one until somebody switches to it or drops it: one at most.

-- It is held beside one application; when another project is applied, what is held beside the older one is held no longer.
CREATE TABLE held (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    digest text NOT NULL REFERENCES generation,
    number bigint NOT NULL REFERENCES application,
    author text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now()
);
