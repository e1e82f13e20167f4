-- What is to be erased, by keyed digest: the key itself is stored nowhere.

-- The secret of the digests, made with the first erasure, and a number that rises with every change of the list.
CREATE TABLE erasure_list (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret bytea NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE erasure (
    erasure_id text PRIMARY KEY,  -- the digest in hex
    fields text[] NOT NULL,
    digest bytea NOT NULL UNIQUE,
    author text NOT NULL,
    reason text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz
);

-- What each service said last of its part.
CREATE TABLE erasure_report (
    erasure_id text NOT NULL REFERENCES erasure,
    service text NOT NULL,
    report bytea NOT NULL,  -- tidemill.registry.v1.ErasureReport
    state_clean boolean NOT NULL,
    done boolean NOT NULL,
    PRIMARY KEY (erasure_id, service)
);
