//! What a transaction stores: gathered, then written in one statement.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventState, JobState, NewEvent, Ordering};

use super::{
    Result, Transaction,
    events::Incoming,
    limit,
    lines::{Line, line_of},
    rows::{event_state_name, headers_json},
};
use crate::{
    driver::Row,
    error::Failure,
    time::{micros, storable},
};

/// What is new, until it is written.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// How many events may still be new.
    pub(super) expected: usize,
    /// Numbers that nobody else will have, the next one last.
    numbers: Vec<i64>,
    events: Vec<Event>,
    jobs: Vec<Job>,
    /// Reservations of these events, and how long they hold.
    pub(super) replies: HashMap<i64, std::time::Duration>,
    /// How often these events were suppressed.
    suppressed: BTreeMap<i64, i64>,
}

#[derive(Debug)]
struct Event {
    seq: i64,
    key: Text,
    state: EventState,
    by_body: bool,
    sha256: [u8; 32],
    headers: Option<String>,
    event: NewEvent,
}

#[derive(Debug)]
struct Job {
    seq: i64,
    handler: Text,
    endpoint: Text,
    line: Option<String>,
}

impl Fresh {
    /// What becomes of an event that is not written yet.
    pub(super) fn state(&self, seq: i64) -> Option<EventState> {
        let event = self.events.iter().find(|event| event.seq == seq);
        event.map(|event| event.state)
    }
}

impl Transaction<'_> {
    pub(super) fn count_duplicate(&mut self, seq: i64, by_body: bool) {
        if by_body {
            *self.fresh.suppressed.entry(seq).or_default() += 1;
        }
    }

    /// Keeps the event, without jobs yet; returns its number.
    pub(super) async fn keep(
        &mut self,
        incoming: &Incoming<'_>,
        key: Text,
        state: EventState,
    ) -> Result<i64> {
        let seq = self.number().await?;
        let event = incoming.event;
        let by_body = state != EventState::Conflict && incoming.is_by_body();
        self.known.add(incoming, &key, seq, by_body);
        self.tally.event(state, 1);
        self.fresh.events.push(Event {
            seq,
            key,
            state,
            by_body,
            sha256: incoming.sha256,
            headers: headers_json(&event.headers),
            event: event.clone(),
        });
        Ok(seq)
    }

    /// A number greater than every one before it. Asked for all at once, and under
    /// the locks of what is stored, so that a line has the order of its numbers.
    async fn number(&mut self) -> Result<i64> {
        if self.fresh.numbers.is_empty() {
            let lot = limit(self.fresh.expected.max(1));
            let rows = self.db.query(NUMBERS, &[(&lot, Type::INT8)]).await?;
            self.take_numbers(&rows)?;
        }
        let number = self.fresh.numbers.pop();
        number.ok_or_else(|| Failure::Connection("a sequence gave no number".into()))
    }

    pub(super) fn take_numbers(&mut self, rows: &[Row]) -> Result<()> {
        let numbers = rows.iter().map(|row| row.get(0));
        self.fresh.numbers = numbers.collect::<Result<_>>()?;
        self.fresh.numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }

    /// Makes these handlers' jobs of a new event; returns how many.
    pub(super) fn add_jobs(
        &mut self,
        seq: i64,
        event: &NewEvent,
        handlers: &[(Text, Ordering)],
    ) -> u32 {
        let mut made = 0;
        for (handler, ordering) in handlers {
            let key = event.ordering_key.as_deref();
            let line = line_of(*ordering, event.tenant.as_deref(), key);
            self.add_job(seq, &event.endpoint, handler, line);
            made += 1;
        }
        made
    }

    /// Makes a job that is due now, or waits for its turn.
    pub(super) fn add_job(
        &mut self,
        seq: i64,
        endpoint: &Text,
        handler: &Text,
        line: Option<String>,
    ) {
        match &line {
            Some(line) => {
                self.calls.insert(Line {
                    endpoint: endpoint.clone(),
                    handler: handler.clone(),
                    line: Text::from(line.as_str()),
                });
            }
            None => self.tally.make_due(),
        }
        self.tally.job(endpoint, handler, JobState::Pending, 1);
        self.fresh.jobs.push(Job {
            seq,
            handler: handler.clone(),
            endpoint: endpoint.clone(),
            line,
        });
    }

    /// Writes all that was gathered. Fails as raced if another process has stored
    /// one of the keys meanwhile: done again, the transaction finds it.
    pub(super) async fn store_fresh(&mut self) -> Result<()> {
        let fresh = std::mem::take(&mut self.fresh);
        self.store_suppressed(&fresh.suppressed).await?;
        if fresh.events.is_empty() && fresh.jobs.is_empty() && fresh.replies.is_empty() {
            return Ok(());
        }
        let mut events = fresh.events;
        // All processes in one order: of two that store the same keys one waits for
        // the other, and never both.
        events.sort_unstable_by(|a, b| {
            let place = |one: &Event| {
                (
                    one.key.clone(),
                    one.event.endpoint.clone(),
                    one.event.tenant.clone(),
                )
            };
            place(a).cmp(&place(b))
        });
        let held: Vec<i64> = events.iter().map(Event::held_bytes).collect();
        self.tally.hold(held.iter().sum());
        let jobs = &fresh.jobs;
        let replies: Vec<_> = fresh.replies.iter().collect();
        let rows = self
            .db
            .query(
                STORE,
                &[
                    (&of(&events, |e| e.seq), Type::INT8_ARRAY),
                    (
                        &of(&events, |e| e.event.endpoint.as_str()),
                        Type::TEXT_ARRAY,
                    ),
                    (
                        &of(&events, |e| e.event.tenant.as_deref()),
                        Type::TEXT_ARRAY,
                    ),
                    (&of(&events, |e| e.key.as_str()), Type::TEXT_ARRAY),
                    (
                        &of(&events, |e| event_state_name(e.state)),
                        Type::TEXT_ARRAY,
                    ),
                    (&of(&events, |e| e.event.id.as_deref()), Type::TEXT_ARRAY),
                    (&of(&events, |e| e.event.id_signed), Type::BOOL_ARRAY),
                    (
                        &of(&events, |e| e.event.event_type.as_deref()),
                        Type::TEXT_ARRAY,
                    ),
                    (
                        &of(&events, |e| e.event.ordering_key.as_deref()),
                        Type::TEXT_ARRAY,
                    ),
                    (
                        &of(&events, |e| e.event.unusable.as_deref()),
                        Type::TEXT_ARRAY,
                    ),
                    (
                        &of(&events, |e| e.event.occurred_at.map(storable)),
                        Type::TIMESTAMPTZ_ARRAY,
                    ),
                    (
                        &of(&events, |e| storable(e.event.received_at)),
                        Type::TIMESTAMPTZ_ARRAY,
                    ),
                    (
                        &of(&events, |e| e.event.secret_label.as_deref()),
                        Type::TEXT_ARRAY,
                    ),
                    (&of(&events, |e| e.by_body), Type::BOOL_ARRAY),
                    (&of(&events, |e| &e.sha256[..]), Type::BYTEA_ARRAY),
                    (
                        &of(&events, |e| length(e.event.body.len())),
                        Type::INT8_ARRAY,
                    ),
                    (&held, Type::INT8_ARRAY),
                    (&of(&events, |e| e.headers.as_deref()), Type::TEXT_ARRAY),
                    (&of(&events, |e| &e.event.body[..]), Type::BYTEA_ARRAY),
                    (&of(jobs, |job| job.seq), Type::INT8_ARRAY),
                    (&of(jobs, |job| job.handler.as_str()), Type::TEXT_ARRAY),
                    (&of(jobs, |job| job.endpoint.as_str()), Type::TEXT_ARRAY),
                    (&of(jobs, |job| job.line.as_deref()), Type::TEXT_ARRAY),
                    (&of(&replies, |reply| *reply.0), Type::INT8_ARRAY),
                    (&of(&replies, |reply| micros(*reply.1)), Type::INT8_ARRAY),
                ],
            )
            .await?;
        if rows.len() < events.len() {
            return Err(Failure::Raced);
        }
        Ok(())
    }

    async fn store_suppressed(&mut self, suppressed: &BTreeMap<i64, i64>) -> Result<()> {
        if suppressed.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = suppressed.keys().copied().collect();
        let times: Vec<i64> = suppressed.values().copied().collect();
        self.db
            .run(
                "UPDATE event SET suppressed = suppressed + q.times
                 FROM unnest($1, $2) AS q(seq, times) WHERE event.seq = q.seq",
                &[(&seqs, Type::INT8_ARRAY), (&times, Type::INT8_ARRAY)],
            )
            .await
    }
}

impl Event {
    fn held_bytes(&self) -> i64 {
        let headers = self.headers.as_ref().map_or(0, String::len);
        length(self.event.body.len()).saturating_add(length(headers))
    }
}

fn of<'a, R, T>(rows: &'a [R], column: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(column).collect()
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) const NUMBERS: &str = "SELECT nextval('event_seq') FROM generate_series(1, $1)";

/// One statement, so that a batch of new events takes one answer's time. Those of
/// its parts that have no rows cost nothing.
const STORE: &str = "WITH body AS (
        INSERT INTO event_body (seq, stored_at, held_bytes, headers, body)
        SELECT q.seq, statement_timestamp(), q.held_bytes, q.headers::json, q.body
        FROM unnest($1, $17, $18, $19) AS q(seq, held_bytes, headers, body)
    ), jobs AS (
        INSERT INTO job (seq, handler, endpoint, state, due_at, line)
        SELECT q.seq, q.handler, q.endpoint, 'pending',
            CASE WHEN q.line IS NULL THEN statement_timestamp() END, q.line
        FROM unnest($20, $21, $22, $23) AS q(seq, handler, endpoint, line)
    ), replies AS (
        INSERT INTO reply (seq, token, held_until)
        SELECT q.seq, 1, statement_timestamp() + q.hold * interval '1 microsecond'
        FROM unnest($24, $25) AS q(seq, hold)
    )
    INSERT INTO event (seq, endpoint, tenant, key, state, id, id_signed, event_type, ordering_key,
        unusable, occurred_at, received_at, stored_at, secret_label, by_body, body_sha256,
        body_bytes)
    SELECT q.seq, q.endpoint, q.tenant, q.key, q.state, q.id, q.id_signed, q.event_type,
        q.ordering_key, q.unusable, q.occurred_at, q.received_at, statement_timestamp(),
        q.secret_label, q.by_body, q.body_sha256, q.body_bytes
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        AS q(seq, endpoint, tenant, key, state, id, id_signed, event_type, ordering_key, unusable,
            occurred_at, received_at, secret_label, by_body, body_sha256, body_bytes)
    ON CONFLICT DO NOTHING
    RETURNING seq";
