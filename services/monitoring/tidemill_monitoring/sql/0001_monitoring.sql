-- State of the monitors. Everything is written in the transaction that moves `consumed`.

-- Who writes: a newer process raises the fence, and the older one's next transaction fails.
CREATE TABLE owner (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    fence bigint NOT NULL,
    stream_time bigint NOT NULL
);
INSERT INTO owner (fence, stream_time) VALUES (0, 0);

CREATE TABLE consumed (
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- The three sides of the label join. Rows are only ever added, so a repeat changes nothing.
CREATE TABLE spine_row (
    model text NOT NULL,
    source text NOT NULL,
    spine_id text NOT NULL,
    spine_key text NOT NULL,
    t bigint NOT NULL,
    PRIMARY KEY (model, source, spine_id)
);
CREATE INDEX spine_row_key ON spine_row (model, spine_key);
CREATE INDEX spine_row_t ON spine_row (model, t);

CREATE TABLE label_row (
    model text NOT NULL,
    source text NOT NULL,
    label_id text NOT NULL,
    spine_key text NOT NULL,
    label_time bigint NOT NULL,
    available bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (model, source, label_id)
);
CREATE INDEX label_row_key ON label_row (model, spine_key);
CREATE INDEX label_row_time ON label_row (model, label_time);

CREATE TABLE prediction_row (
    model text NOT NULL,
    prediction_id text NOT NULL,
    spine_key text NOT NULL,
    t bigint NOT NULL,
    version bigint NOT NULL,
    variant text NOT NULL,
    score double precision NOT NULL,
    PRIMARY KEY (model, prediction_id)
);
CREATE INDEX prediction_row_key ON prediction_row (model, spine_key);
CREATE INDEX prediction_row_t ON prediction_row (model, t);

-- Counts of one version's window over the reference's cells: all subjects one after the other.
CREATE TABLE drift_count (
    model text NOT NULL,
    version bigint NOT NULL,
    window_start bigint NOT NULL,
    predictions bigint NOT NULL,
    vectors bigint NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    counts bytea NOT NULL,
    judged boolean NOT NULL DEFAULT false,
    PRIMARY KEY (model, version, window_start)
);

CREATE TABLE drift_window (
    model text NOT NULL,
    version bigint NOT NULL,
    window_start bigint NOT NULL,
    window_end bigint NOT NULL,
    subject text NOT NULL,
    rows bigint NOT NULL,
    effect double precision NOT NULL,
    p_value double precision NOT NULL,
    drifted boolean NOT NULL,
    PRIMARY KEY (model, version, window_start, subject)
);

-- Every revision of a cohort's quality stays; the newest one counts.
CREATE TABLE cohort (
    model text NOT NULL,
    version bigint NOT NULL,
    window_start bigint NOT NULL,
    window_end bigint NOT NULL,
    revision int NOT NULL,
    predictions bigint NOT NULL,
    labelled bigint NOT NULL,
    metrics jsonb NOT NULL,
    error double precision,
    mature boolean NOT NULL,
    final boolean NOT NULL,
    stream_time bigint NOT NULL,
    PRIMARY KEY (model, version, window_start, revision)
);

-- The newest raw rows of a stream (Arrow), and what the watch over its fields remembers.
CREATE TABLE field_rows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    newest_us bigint NOT NULL,
    batch bytea NOT NULL
);
CREATE INDEX field_rows_newest ON field_rows (stream, newest_us);

CREATE TABLE field_state (
    stream text PRIMARY KEY,
    state jsonb NOT NULL,
    pasts bytea NOT NULL
);

-- Sampled predictions with their inputs (Arrow), for reports.
CREATE TABLE sample (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text NOT NULL,
    from_t bigint NOT NULL,
    to_t bigint NOT NULL,
    rows int NOT NULL,
    batch bytea NOT NULL
);
CREATE INDEX sample_t ON sample (model, to_t);

-- What a data alert's report compares (Arrow): the rows themselves are let go within days.
CREATE TABLE report_rows (
    alert_id text PRIMARY KEY,
    reference bytea NOT NULL,
    current bytea NOT NULL
);

CREATE TABLE alert (
    alert_id text PRIMARY KEY,
    kind text NOT NULL,
    model text NOT NULL,
    version bigint NOT NULL,
    subject text NOT NULL,
    state text NOT NULL,
    severity int NOT NULL,
    effect double precision NOT NULL,
    p_value double precision NOT NULL,
    opened_us bigint NOT NULL,
    changed_us bigint NOT NULL,
    changed_wall_us bigint NOT NULL,
    resolved_us bigint,
    bad_from_us bigint,
    bad_to_us bigint,
    summary text NOT NULL,
    details jsonb NOT NULL,
    report_path text NOT NULL DEFAULT '',
    report_state text NOT NULL DEFAULT '',
    acknowledged_by text NOT NULL DEFAULT '',
    traceparent text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX alert_open ON alert (kind, model, version, subject) WHERE state <> 'ok';
CREATE INDEX alert_changed ON alert (changed_wall_us);
