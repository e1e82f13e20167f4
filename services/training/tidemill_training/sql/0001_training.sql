-- Runs are the queue: a run is leased by the database's clock, and every write of its worker carries
-- the fence that it was leased with.
CREATE SEQUENCE fence;

CREATE TABLE run (
    run_id            text PRIMARY KEY,
    model             text             NOT NULL,
    spec              bytea            NOT NULL,             -- tidemill.training.v1.RunSpec
    causes            text[]           NOT NULL,
    request_id        text UNIQUE,                           -- of a run asked for by hand
    state             text             NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    attempt           integer          NOT NULL DEFAULT 0,
    fence             bigint           NOT NULL DEFAULT 0,
    worker            text             NOT NULL DEFAULT '',
    stage             text             NOT NULL DEFAULT '',
    progress          double precision NOT NULL DEFAULT 0,
    metrics           jsonb            NOT NULL DEFAULT '{}',
    error             text             NOT NULL DEFAULT '',
    version           bigint           NOT NULL DEFAULT 0,
    gpus              integer          NOT NULL DEFAULT 0,
    memory_mb         bigint           NOT NULL DEFAULT 0,
    checkpoint_digest text             NOT NULL DEFAULT '',
    checkpoint_step   bigint           NOT NULL DEFAULT 0,
    training_set_hash text             NOT NULL DEFAULT '',
    traceparent       text             NOT NULL DEFAULT '',
    stream_us         bigint           NOT NULL,             -- stream time when it was opened
    labelled_at_cut   bigint           NOT NULL DEFAULT 0,   -- labelled rows when its data were fixed
    lease_until       timestamptz,
    not_before        timestamptz      NOT NULL DEFAULT now(),
    created_at        timestamptz      NOT NULL DEFAULT clock_timestamp(),
    started_at        timestamptz,
    finished_at       timestamptz
);

-- One open run per model, whoever asks for it.
CREATE UNIQUE INDEX run_open ON run (model) WHERE state IN ('queued', 'running');
CREATE INDEX run_queued ON run (created_at) WHERE state = 'queued';
CREATE INDEX run_leased ON run (lease_until) WHERE state = 'running';
CREATE INDEX run_model ON run (model, created_at DESC);

-- What a policy remembers of its model; constant size, saved with the consumed offset.
CREATE TABLE policy_state (
    model text  PRIMARY KEY,
    state jsonb NOT NULL
);

CREATE TABLE decision (
    decision_id   text PRIMARY KEY,
    model         text        NOT NULL,
    verdict       text        NOT NULL CHECK (verdict IN ('fire', 'hold', 'wait')),
    reason        text        NOT NULL,
    signals       jsonb       NOT NULL,
    stream_us     bigint      NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id        text        NOT NULL DEFAULT '',
    cause         text        NOT NULL,
    policy_digest text        NOT NULL,
    UNIQUE (policy_digest, cause)
);
CREATE INDEX decision_model ON decision (model, decided_at DESC);

-- The last change of each alert. Data alerts stay, for the spans that training leaves out.
CREATE TABLE alert (
    alert_id    text PRIMARY KEY,
    model       text             NOT NULL,
    kind        text             NOT NULL,
    state       text             NOT NULL,
    subject     text             NOT NULL,
    version     bigint           NOT NULL,
    effect      double precision NOT NULL,
    bad_from_us bigint,
    bad_to_us   bigint,
    changed_us  bigint           NOT NULL
);
CREATE INDEX alert_model ON alert (model);

-- Versions as the registry announced them: which run made them, how new their data are.
CREATE TABLE version (
    model   text   NOT NULL,
    number  bigint NOT NULL,
    run_id  text   NOT NULL,
    data_us bigint NOT NULL,
    PRIMARY KEY (model, number)
);
