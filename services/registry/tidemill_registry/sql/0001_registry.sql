-- What exists (generations, versions), what may take traffic (aliases, rollouts), and who did what (audit).

-- Rows that may never change: whoever tries is told so, whatever grants a role has.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TABLE generation (
    digest text PRIMARY KEY,
    project bytea NOT NULL
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON generation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The newest row is the current project; an old generation may be applied again.
CREATE TABLE application (
    number bigint PRIMARY KEY,
    digest text NOT NULL REFERENCES generation,
    author text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON application
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE model (
    name text PRIMARY KEY,
    versions bigint NOT NULL
);

-- The highest fence that a run's worker has shown; lower ones are zombies.
CREATE TABLE run_fence (
    run_id text PRIMARY KEY,
    fence bigint NOT NULL
);

CREATE TABLE version (
    model text NOT NULL REFERENCES model,
    number bigint NOT NULL,
    digest text NOT NULL,
    run_id text NOT NULL UNIQUE,
    artifacts jsonb NOT NULL,
    lineage bytea NOT NULL,
    metrics jsonb NOT NULL,
    traceparent text NOT NULL,
    data_time timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, number)
);
CREATE INDEX version_digest ON version (model, digest);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON version
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE version_state (
    model text NOT NULL,
    number bigint NOT NULL,
    stage text NOT NULL CHECK (stage IN ('candidate', 'validated', 'rejected', 'archived')),
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, number),
    FOREIGN KEY (model, number) REFERENCES version
);
CREATE INDEX version_candidates ON version_state (model, number) WHERE stage = 'candidate';

CREATE TABLE gate_result (
    model text NOT NULL,
    digest text NOT NULL,
    gate text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('pass', 'fail', 'not_enough_data')),
    value double precision NOT NULL,
    ci_low double precision NOT NULL,
    ci_high double precision NOT NULL,
    threshold double precision NOT NULL,
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, digest, gate)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON gate_result
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The primary key is what makes two champions of a model impossible.
CREATE TABLE alias (
    model text NOT NULL,
    alias text NOT NULL,
    number bigint NOT NULL,
    generation bigint NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, number) REFERENCES version
);
CREATE INDEX alias_version ON alias (model, number);

-- number 0: the alias was taken away.
CREATE TABLE alias_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text NOT NULL,
    alias text NOT NULL,
    number bigint NOT NULL,
    previous bigint NOT NULL,
    generation bigint NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON alias_history
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE rollout (
    model text PRIMARY KEY,
    table_version bigint NOT NULL,
    champion bigint NOT NULL,
    challenger bigint NOT NULL,
    previous_champion bigint NOT NULL,
    share double precision NOT NULL CHECK (share BETWEEN 0 AND 1),
    salt text NOT NULL,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (model, champion) REFERENCES version
);

-- Written by every change in its own transaction; ordered and chained later, so that writers never wait for one another.
CREATE TABLE audit_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    action text NOT NULL,
    subject text NOT NULL,
    author text NOT NULL,
    details text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX audit_order ON audit_entry (txid, id);
CREATE INDEX audit_subject ON audit_entry (subject text_pattern_ops);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE audit_chain (
    sequence bigint PRIMARY KEY,
    entry_id bigint NOT NULL UNIQUE,
    previous_hash text NOT NULL,
    hash text NOT NULL
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
