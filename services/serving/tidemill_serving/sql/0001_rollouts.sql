-- Who may decide about canaries: one holder at a time, by the database's clock.
CREATE TABLE lease (
    role text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL,
    fence bigint NOT NULL
);

-- What was counted of a canary, and from where in predictions.<model> to go on. One row per table version.
CREATE TABLE canary (
    model text NOT NULL,
    table_version bigint NOT NULL,
    counts jsonb NOT NULL,
    positions jsonb NOT NULL,
    fence bigint NOT NULL,
    PRIMARY KEY (model, table_version)
);

-- Replicas that stopped routing to a challenger by themselves.
CREATE TABLE trip (
    model text NOT NULL,
    table_version bigint NOT NULL,
    replica text NOT NULL,
    reason text NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, table_version, replica)
);
