-- One row an event, written once, and kept as long as its key.
CREATE TABLE event (
    seq          bigint      PRIMARY KEY,
    endpoint     text        COLLATE "C" NOT NULL,
    tenant       text        COLLATE "C",
    key          text        COLLATE "C" NOT NULL,
    state        text        COLLATE "C" NOT NULL
        CHECK (state IN ('conflict', 'routed', 'unhandled', 'unusable')),
    id           text        COLLATE "C",
    id_signed    boolean     NOT NULL,
    event_type   text        COLLATE "C",
    ordering_key text        COLLATE "C",
    unusable     text,
    occurred_at  timestamptz,
    received_at  timestamptz NOT NULL,
    stored_at    timestamptz NOT NULL,
    secret_label text,
    payload_label text,
    suppressed   bigint      NOT NULL DEFAULT 0,
    erased       boolean     NOT NULL DEFAULT false,
    by_body      boolean     NOT NULL,
    body_sha256  bytea       NOT NULL CHECK (octet_length(body_sha256) = 32),
    body_bytes   bigint      NOT NULL
);
CREATE SEQUENCE event_seq OWNED BY event.seq;

-- What makes an event the same as another. NULL differs from NULL, so tenants are spelled out.
CREATE UNIQUE INDEX event_key ON event (key, endpoint, (coalesce('=' || tenant, '')));
CREATE INDEX event_by_body ON event
    (body_sha256, endpoint, (coalesce('=' || tenant, '')), (unusable IS NOT NULL), seq)
    WHERE by_body;
-- For people who look for an id: most keys are ids, these are the rest.
CREATE INDEX event_id ON event (id) WHERE id IS NOT NULL AND key <> id;
CREATE INDEX event_tenant ON event (endpoint, tenant, seq) WHERE tenant IS NOT NULL;
-- For people who look for what is odd, or for a time.
CREATE INDEX event_state ON event (state, seq) WHERE state <> 'routed';
CREATE INDEX event_suppressed ON event (seq) WHERE suppressed > 0;
CREATE INDEX event_received ON event USING brin (received_at);
-- For pruning, by age.
CREATE INDEX event_stored ON event (stored_at, seq);

-- The wide part of an event, apart so that it can go long before the key does, and so that what
-- goes leaves no holes where keys are.
CREATE TABLE event_body (
    seq        bigint      PRIMARY KEY,
    stored_at  timestamptz NOT NULL,
    held_bytes bigint      NOT NULL,
    headers    json,
    body       bytea       NOT NULL
);
CREATE INDEX event_body_stored ON event_body (stored_at, seq);

-- One row for each event and handler. due_at: when a pending one is due, when a running one's
-- lease ends; NULL for those that are finished or wait for an earlier one of their line: the jobs of
-- one handler, tenant and ordering key, which run one after another.
-- Room in each page for the versions of a job's life; vacuumed early, because claims begin at the
-- end of the index where the dead entries are.
CREATE TABLE job (
    seq              bigint      NOT NULL,
    handler          text        COLLATE "C" NOT NULL,
    endpoint         text        COLLATE "C" NOT NULL,
    state            text        COLLATE "C" NOT NULL
        CHECK (state IN ('dead', 'done', 'pending', 'running')),
    due_at           timestamptz,
    attempts         bigint      NOT NULL DEFAULT 0,
    earlier_attempts bigint      NOT NULL DEFAULT 0,
    token            bigint      NOT NULL DEFAULT 0,
    ended_at         timestamptz,
    line             text        COLLATE "C",
    worker           text,
    last_error       text,
    PRIMARY KEY (seq, handler)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- What a claim reads: nothing that is finished, so that history costs it nothing.
CREATE INDEX job_due ON job (endpoint, handler, due_at, seq) WHERE due_at IS NOT NULL;
CREATE INDEX job_unfinished ON job (state, seq) WHERE state <> 'done';
CREATE INDEX job_line ON job (endpoint, handler, line, state, seq)
    WHERE line IS NOT NULL AND state <> 'done';
-- At most one of each line.
CREATE UNIQUE INDEX job_turn ON job (endpoint, handler, line)
    WHERE line IS NOT NULL AND due_at IS NOT NULL;

CREATE TABLE handler (
    endpoint text    COLLATE "C" NOT NULL,
    handler  text    COLLATE "C" NOT NULL,
    pattern  text    NOT NULL,
    fallback boolean NOT NULL,
    ordering text    NOT NULL CHECK (ordering IN ('block', 'none', 'skip')),
    asked_at timestamptz,
    PRIMARY KEY (endpoint, handler)
) WITH (fillfactor = 50);

-- A reservation until status is set, then the recorded reply.
CREATE TABLE reply (
    seq          bigint      PRIMARY KEY,
    token        bigint      NOT NULL,
    held_until   timestamptz NOT NULL,
    status       integer,
    content_type text,
    body         bytea,
    decided_by   text CHECK (decided_by IN ('default', 'handler')),
    reason       text
) WITH (fillfactor = 80);
CREATE INDEX reply_open ON reply (seq) WHERE status IS NULL;

-- Counts as changes, which every transaction appends and somebody sums up from time to time: a
-- count in one row would make all transactions wait for one another.
CREATE TABLE tally (
    what     text   NOT NULL CHECK (what IN ('event', 'held_bytes', 'job')),
    endpoint text   NOT NULL,
    handler  text   NOT NULL,
    state    text   NOT NULL,
    number   bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- One row. runs_on is the oldest version whose release still runs on this one.
CREATE TABLE inbox (
    one     integer PRIMARY KEY CHECK (one = 1),
    version integer NOT NULL,
    runs_on integer NOT NULL
);
INSERT INTO inbox (one, version, runs_on) VALUES (1, 0, 1);

-- Who changes a line holds its lock until the transaction's end. 256 of them, since the server has
-- room for some thousands.
CREATE FUNCTION line_lock(endpoint text, handler text, line text) RETURNS bigint
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT (hashtextextended(current_schema() || ' lines', 0) & ~255::bigint)
        | (hashtextextended(endpoint || ' ' || handler || ' ' || line, 0) & 255)
$$;

-- Gives the turn to the next job of each of these lines, unless one has it or a dead one blocks.
CREATE FUNCTION call_next(endpoints text[], handlers text[], lines text[]) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
    UPDATE job SET due_at = statement_timestamp()
    FROM (
        SELECT next.seq, q.handler
        FROM unnest(endpoints, handlers, lines) AS q(endpoint, handler, line)
        LEFT JOIN handler AS h USING (endpoint, handler)
        CROSS JOIN LATERAL (
            SELECT seq FROM job AS j
            WHERE j.endpoint = q.endpoint AND j.handler = q.handler AND j.line = q.line
                AND j.line IS NOT NULL AND j.state = 'pending' AND j.state <> 'done'
            ORDER BY seq LIMIT 1
        ) AS next
        WHERE NOT EXISTS (
            SELECT FROM job AS j
            WHERE j.endpoint = q.endpoint AND j.handler = q.handler AND j.line = q.line
                AND j.line IS NOT NULL AND j.due_at IS NOT NULL
        ) AND NOT (coalesce(h.ordering = 'block', false) AND EXISTS (
            SELECT FROM job AS j
            WHERE j.endpoint = q.endpoint AND j.handler = q.handler AND j.line = q.line
                AND j.line IS NOT NULL AND j.state = 'dead' AND j.state <> 'done'
                AND j.seq < next.seq
        ))
    ) AS called
    WHERE job.seq = called.seq AND job.handler = called.handler
$$;

-- Marks a job as done in the caller's own transaction, if this token is its current one. If it is
-- not, another worker has the job: roll back.
CREATE FUNCTION complete(job_seq bigint, job_handler text, job_token bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    found_endpoint text;
    found_line text;
BEGIN
    SELECT endpoint, line INTO found_endpoint, found_line
    FROM job WHERE seq = job_seq AND handler = job_handler;
    IF found_line IS NOT NULL THEN
        -- The next of the line may have been stored after this transaction's snapshot: nobody
        -- else would give it the turn.
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
        THEN
            RAISE EXCEPTION 'a job of an ordering key is completed in READ COMMITTED only, not in %',
                upper(current_setting('transaction_isolation'))
                USING ERRCODE = 'invalid_transaction_state',
                HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED.';
        END IF;
        PERFORM pg_advisory_xact_lock(line_lock(found_endpoint, job_handler, found_line));
    END IF;
    UPDATE job SET state = 'done', due_at = NULL, ended_at = statement_timestamp()
    WHERE seq = job_seq AND handler = job_handler AND token = job_token AND state = 'running';
    IF NOT found THEN
        RETURN false;
    END IF;
    INSERT INTO tally (what, endpoint, handler, state, number)
    VALUES ('job', found_endpoint, job_handler, 'running', -1),
        ('job', found_endpoint, job_handler, 'done', 1);
    IF found_line IS NOT NULL THEN
        PERFORM call_next(ARRAY[found_endpoint], ARRAY[job_handler], ARRAY[found_line]);
    END IF;
    RETURN true;
END
$$;

-- For people: what will not run again by itself, the latest first.
CREATE VIEW dead_letter AS
SELECT job.seq, job.endpoint, event.tenant, job.handler, event.id, event.event_type,
       event.received_at AS received, job.ended_at AS died,
       job.attempts, job.last_error, event.body_bytes, event_body.body
FROM job JOIN event USING (seq) LEFT JOIN event_body USING (seq)
WHERE job.state = 'dead'
ORDER BY job.seq DESC;
