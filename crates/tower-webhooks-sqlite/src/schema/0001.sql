-- Times are microseconds since 1970 UTC: datetime(received_at / 1e6, 'unixepoch').
-- Checks of a state are spelled out: for a longer IN, SQLite fills a table of its own at each row.

-- One row an event, written once. The body comes last: whatever stands behind a
-- large value is slow to reach.
CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,
    endpoint     TEXT    NOT NULL,
    tenant       TEXT,
    key          TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (
        state = 'conflict' OR state = 'routed' OR state = 'unhandled' OR state = 'unusable'),
    id           TEXT,
    id_signed    INTEGER NOT NULL,
    event_type   TEXT,
    ordering_key TEXT,
    unusable     TEXT,
    occurred_at  INTEGER,
    received_at  INTEGER NOT NULL,
    stored_at    INTEGER NOT NULL,
    secret_label TEXT,
    payload_label TEXT,
    suppressed   INTEGER NOT NULL DEFAULT 0,
    erased       INTEGER NOT NULL DEFAULT 0,
    by_body      INTEGER NOT NULL,
    body_sha256  BLOB    NOT NULL CHECK (length(body_sha256) = 32),
    body_bytes   INTEGER NOT NULL,
    headers      TEXT,
    body         BLOB
) STRICT;

-- What makes an event the same as another. NULL differs from NULL, so tenants are spelled out.
CREATE UNIQUE INDEX event_key ON event (key, endpoint, ifnull('=' || tenant, ''));
CREATE INDEX event_body ON event
    (body_sha256, endpoint, ifnull('=' || tenant, ''), unusable IS NOT NULL, seq)
    WHERE by_body = 1;
-- For people who look for an id: most keys are ids, these are the rest.
CREATE INDEX event_id ON event (id) WHERE id IS NOT NULL AND key <> id;
CREATE INDEX event_tenant ON event (endpoint, tenant) WHERE tenant IS NOT NULL;
-- For people who look for what is odd, or for a time.
CREATE INDEX event_state ON event (state, seq) WHERE state <> 'routed';
CREATE INDEX event_suppressed ON event (seq) WHERE suppressed > 0;
CREATE INDEX event_received ON event (received_at);
-- For pruning: by age, all and those that still have their body.
CREATE INDEX event_stored ON event (stored_at);
CREATE INDEX event_held ON event (stored_at) WHERE body IS NOT NULL;

-- One row for each event and handler. due_at: when a pending one is due, when a running one's
-- lease ends; NULL for those that are finished or wait for an earlier one of their line: the jobs of
-- one handler, tenant and ordering key, which run one after another.
CREATE TABLE job (
    seq              INTEGER NOT NULL,
    handler          TEXT    NOT NULL,
    endpoint         TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (
        state = 'dead' OR state = 'done' OR state = 'pending' OR state = 'running'),
    due_at           INTEGER,
    attempts         INTEGER NOT NULL DEFAULT 0,
    earlier_attempts INTEGER NOT NULL DEFAULT 0,
    token            INTEGER NOT NULL DEFAULT 0,
    boot             INTEGER NOT NULL DEFAULT 0,
    ended_at         INTEGER,
    line             TEXT,
    worker           TEXT,
    last_error       TEXT,
    PRIMARY KEY (seq, handler)
) STRICT, WITHOUT ROWID;

-- What a claim reads: nothing that is finished, so that history costs it nothing.
CREATE INDEX job_due ON job (endpoint, handler, due_at, seq, state) WHERE due_at IS NOT NULL;
CREATE INDEX job_dead ON job (seq) WHERE state = 'dead';
CREATE INDEX job_line ON job (endpoint, handler, line, state, seq)
    WHERE line IS NOT NULL AND state <> 'done';
-- At most one of each line.
CREATE INDEX job_turn ON job (endpoint, handler, line, seq)
    WHERE line IS NOT NULL AND due_at IS NOT NULL;

CREATE TABLE handler (
    endpoint TEXT    NOT NULL,
    handler  TEXT    NOT NULL,
    pattern  TEXT    NOT NULL,
    fallback INTEGER NOT NULL,
    ordering TEXT    NOT NULL DEFAULT 'none',
    asked_at INTEGER,
    PRIMARY KEY (endpoint, handler)
) STRICT, WITHOUT ROWID;

-- A reservation until status is set, then the recorded reply.
CREATE TABLE reply (
    seq          INTEGER PRIMARY KEY,
    token        INTEGER NOT NULL,
    boot         INTEGER NOT NULL,
    held_until   INTEGER NOT NULL,
    status       INTEGER,
    content_type TEXT,
    body         BLOB,
    decided_by   TEXT CHECK (decided_by IN ('default', 'handler')),
    reason       TEXT
) STRICT;
CREATE INDEX reply_open ON reply (seq) WHERE status IS NULL;

-- Counts, kept with every transaction, so that nobody has to count millions of rows.
CREATE TABLE event_count (
    state  TEXT    PRIMARY KEY,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE job_count (
    endpoint TEXT    NOT NULL,
    handler  TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    jobs     INTEGER NOT NULL,
    PRIMARY KEY (endpoint, handler, state)
) STRICT, WITHOUT ROWID;

-- One row. Numbers and tokens are used once, also after what had them is gone; boot counts
-- how often a receiver has opened the inbox; last_at is the latest time that it reckoned with.
-- runs_on is the oldest version of the schema whose release still runs on this one.
CREATE TABLE inbox (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    last_seq   INTEGER NOT NULL,
    last_token INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    held_bytes INTEGER NOT NULL,
    runs_on    INTEGER NOT NULL
) STRICT;
INSERT INTO inbox (one, last_seq, last_token, last_at, boot, held_bytes, runs_on)
VALUES (1, 0, 0, 0, 0, 0, 1);

-- For people: what will not run again by itself, the latest first.
CREATE VIEW dead_letter AS
SELECT job.seq, job.endpoint, event.tenant, job.handler, event.id, event.event_type,
       datetime(event.received_at / 1000000, 'unixepoch') AS received,
       datetime(job.ended_at / 1000000, 'unixepoch') AS died,
       job.attempts, job.last_error, event.body_bytes, event.body
FROM job JOIN event USING (seq)
WHERE job.state = 'dead'
ORDER BY job.seq DESC;
