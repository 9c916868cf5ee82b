//! What a transaction stores: gathered, then written in one statement.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::{ToSql, Type};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventState, JobState, NewEvent, Ordering, headers_to_json};

use super::{
    Result, Transaction,
    events::Incoming,
    limit,
    lines::{Line, line_of},
};
use crate::{
    driver::{Row, SharedBytes, SharedText},
    error::Failure,
    session::OwnedParam,
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
            headers: headers_to_json(&event.headers),
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

    /// Writes all that was gathered, with what the transaction does next. That
    /// fails if another process has stored one of the keys meanwhile: done again,
    /// the transaction finds it.
    pub(super) fn store_fresh(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.store_suppressed(&fresh.suppressed);
        if fresh.events.is_empty() && fresh.jobs.is_empty() && fresh.replies.is_empty() {
            return;
        }
        let mut events = fresh.events;
        // All processes in one order: of two that store the same keys one waits for
        // the other, and never both.
        events.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        let held: Vec<i64> = events.iter().map(Event::held_bytes).collect();
        self.tally.hold(held.iter().sum());
        let jobs = &fresh.jobs;
        let replies: Vec<_> = fresh.replies.iter().collect();
        self.db.defer(
            STORE,
            vec![
                of(&events, Type::INT8_ARRAY, |e| e.seq),
                of(&events, Type::TEXT_ARRAY, |e| text(&e.event.endpoint)),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.tenant)),
                of(&events, Type::TEXT_ARRAY, |e| text(&e.key)),
                of(&events, Type::TEXT_ARRAY, |e| e.state.as_str()),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.id)),
                of(&events, Type::BOOL_ARRAY, |e| e.event.id_signed),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.event_type)),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.ordering_key)),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.unusable)),
                of(&events, Type::TIMESTAMPTZ_ARRAY, |e| {
                    e.event.occurred_at.map(storable)
                }),
                of(&events, Type::TIMESTAMPTZ_ARRAY, |e| {
                    storable(e.event.received_at)
                }),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.secret_label)),
                of(&events, Type::BOOL_ARRAY, |e| e.by_body),
                of(&events, Type::BYTEA_ARRAY, |e| e.sha256.to_vec()),
                of(&events, Type::INT8_ARRAY, |e| length(e.event.body.len())),
                (Box::new(held), Type::INT8_ARRAY),
                of(&events, Type::TEXT_ARRAY, |e| e.headers.clone()),
                of(&events, Type::BYTEA_ARRAY, |e| {
                    SharedBytes(e.event.body.clone())
                }),
                of(jobs, Type::INT8_ARRAY, |job| job.seq),
                of(jobs, Type::TEXT_ARRAY, |job| text(&job.handler)),
                of(jobs, Type::TEXT_ARRAY, |job| text(&job.endpoint)),
                of(jobs, Type::TEXT_ARRAY, |job| job.line.clone()),
                of(&replies, Type::INT8_ARRAY, |reply| *reply.0),
                of(&replies, Type::INT8_ARRAY, |reply| micros(*reply.1)),
                of(&events, Type::TEXT_ARRAY, |e| maybe(&e.event.payload_label)),
            ],
        );
    }

    fn store_suppressed(&mut self, suppressed: &BTreeMap<i64, i64>) {
        if suppressed.is_empty() {
            return;
        }
        let all: Vec<_> = suppressed.iter().collect();
        self.db.defer(
            "UPDATE event SET suppressed = suppressed + q.times
             FROM unnest($1, $2) AS q(seq, times) WHERE event.seq = q.seq",
            vec![
                of(&all, Type::INT8_ARRAY, |one| *one.0),
                of(&all, Type::INT8_ARRAY, |one| *one.1),
            ],
        );
    }
}

impl Event {
    fn place(&self) -> (&Text, &Text, Option<&Text>) {
        let event = &self.event;
        (&self.key, &event.endpoint, event.tenant.as_ref())
    }

    fn held_bytes(&self) -> i64 {
        let headers = self.headers.as_ref().map_or(0, String::len);
        length(self.event.body.len()).saturating_add(length(headers))
    }
}

/// A column of these rows.
fn of<'a, R, T>(rows: &'a [R], kind: Type, column: impl Fn(&'a R) -> T) -> OwnedParam
where
    T: ToSql + Send + Sync + 'static,
{
    let values: Vec<T> = rows.iter().map(column).collect();
    (Box::new(values), kind)
}

fn text(text: &Text) -> SharedText {
    SharedText(text.clone())
}

fn maybe(text: &Option<Text>) -> Option<SharedText> {
    text.clone().map(SharedText)
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) const NUMBERS: &str = "SELECT nextval('event_seq') FROM generate_series(1, $1)";

/// One statement, and nothing waits for its answer. Those of its parts that have no
/// rows cost nothing. A key that is there already makes it fail.
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
        body_bytes, payload_label)
    SELECT q.seq, q.endpoint, q.tenant, q.key, q.state, q.id, q.id_signed, q.event_type,
        q.ordering_key, q.unusable, q.occurred_at, q.received_at, statement_timestamp(),
        q.secret_label, q.by_body, q.body_sha256, q.body_bytes, q.payload_label
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $26)
        AS q(seq, endpoint, tenant, key, state, id, id_signed, event_type, ordering_key, unusable,
            occurred_at, received_at, secret_label, by_body, body_sha256, body_bytes, payload_label)";
