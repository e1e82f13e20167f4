-- Which dead letters were put back: claimed before the record is sent, done after it is acknowledged.
CREATE TABLE replay (
    topic text NOT NULL,
    dead_offset bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    target_offset bigint,
    PRIMARY KEY (topic, dead_offset)
);
