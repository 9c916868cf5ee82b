//! Jobs: claimed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Claim, JobState, Leased, StoredEvent};

use super::{
    Result, Transaction, column, limit,
    rows::{self, SELECT_WHOLE},
    unsigned,
};
use crate::{
    driver::{Param, Query, Row},
    time::micros,
};

/// A claim as columns.
pub(super) struct Claiming<'a> {
    endpoints: Vec<&'a str>,
    handlers: Vec<&'a str>,
    free: Vec<i64>,
    lease: Duration,
    lease_micros: i64,
    worker: &'a str,
}

/// What was claimed, without the events.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    jobs: Vec<Job>,
    seqs: Vec<i64>,
    lease: Duration,
}

#[derive(Debug)]
struct Job {
    seq: i64,
    handler: Text,
    attempt: u32,
    token: u64,
}

impl<'a> Claiming<'a> {
    /// `None` if nothing is wanted.
    pub(super) fn new(claim: &'a Claim) -> Option<Self> {
        let wants = &claim.wants;
        // A lease of nothing would be over before the claim is.
        let lease = claim.lease.max(Duration::from_micros(1));
        (!wants.is_empty()).then(|| Self {
            endpoints: wants.iter().map(|want| want.endpoint.as_str()).collect(),
            handlers: wants.iter().map(|want| want.handler.as_str()).collect(),
            free: wants.iter().map(|want| limit(want.free)).collect(),
            lease,
            lease_micros: micros(lease),
            worker: claim.worker.as_str(),
        })
    }

    /// Notes who asks, and takes.
    pub(super) fn queries(&self) -> [Query<'_>; 2] {
        let note: Vec<Param<'_>> = vec![
            (&self.endpoints, Type::TEXT_ARRAY),
            (&self.handlers, Type::TEXT_ARRAY),
        ];
        let mut take = note.clone();
        take.push((&self.free, Type::INT8_ARRAY));
        take.push((&self.lease_micros, Type::INT8));
        take.push((&self.worker, Type::TEXT));
        [(NOTE_ASKED, note), (CLAIM, take)]
    }
}

impl Transaction<'_> {
    /// Notes what was claimed, and what was put off.
    pub(super) fn taken(&mut self, claiming: &Claiming<'_>, rows: &[Row]) -> Result<Taken> {
        let mut taken = Taken {
            lease: claiming.lease,
            ..Taken::default()
        };
        for row in rows {
            let (endpoint, handler) = (rows::text(row, 1)?, rows::text(row, 2)?);
            let state = |at| JobState::from_name(row.get(at)?).ok_or_else(|| rows::odd(at));
            let (was, is) = (state(5)?, state(6)?);
            self.tally.job(&endpoint, &handler, was, -1);
            self.tally.job(&endpoint, &handler, is, 1);
            if is != JobState::Running {
                continue;
            }
            let seq = row.get(0)?;
            if taken.seqs.last() != Some(&seq) {
                taken.seqs.push(seq);
            }
            taken.jobs.push(Job {
                seq,
                handler,
                attempt: rows::small(row, 3)?,
                token: unsigned(row.get(4)?),
            });
        }
        Ok(taken)
    }
}

impl Taken {
    /// Asks for the events, each once.
    pub(crate) fn query(&self) -> Option<Query<'_>> {
        let params: Vec<Param<'_>> = vec![(&self.seqs, Type::INT8_ARRAY)];
        (!self.seqs.is_empty()).then_some((SELECT_WHOLE, params))
    }

    /// The jobs with their events. What cannot be read was changed by hand: nobody
    /// can handle it, and its attempts run out.
    pub(crate) fn leased(self, rows: &[Row]) -> Vec<Leased> {
        let events = rows.iter().filter_map(|row| match rows::event(row) {
            Ok(event) => Some((column(event.seq), Arc::new(event))),
            Err(failure) => {
                tracing::warn!(reason = %failure, "an event cannot be read");
                None
            }
        });
        let events: HashMap<i64, Arc<StoredEvent>> = events.collect();
        let mut leased = Vec::with_capacity(self.jobs.len());
        for job in self.jobs {
            let Some(event) = events.get(&job.seq) else {
                tracing::warn!(seq = job.seq, "a job has no event");
                continue;
            };
            let event = event.clone();
            leased.push(Leased::new(
                event,
                job.handler,
                job.attempt,
                job.token,
                self.lease,
            ));
        }
        leased
    }
}

/// Notes that a worker asks: once a second, since nobody looks closer, and
/// without waiting for the worker who notes the same.
const NOTE_ASKED: &str = "UPDATE handler SET asked_at = statement_timestamp()
    FROM (
        SELECT endpoint, handler FROM handler JOIN unnest($1, $2) AS q(endpoint, handler)
            USING (endpoint, handler)
        WHERE asked_at IS NULL OR asked_at <= statement_timestamp() - interval '1 second'
        FOR UPDATE OF handler SKIP LOCKED
    ) AS asked
    WHERE handler.endpoint = asked.endpoint AND handler.handler = asked.handler";

/// A job whose worker has vanished, and not for the first time: it may be what ended
/// that worker's process.
macro_rules! cut_short {
    () => {
        "state = 'running' AND attempts > 1"
    };
}

/// The jobs of each handler that were due first, as many as it has free slots;
/// never one that another worker is taking at this moment. Reads the index of
/// what is unfinished and nothing else, however long the history, and no handler's
/// backlog stands before another's.
///
/// What was found is changed by where it lies: joined by its key it would be looked
/// for in the whole table, since nobody can tell beforehand how little it is. A row
/// that has moved at this very moment is left to the next claim.
///
/// Whoever was cut short more than once is put off, and so is not beside those that
/// were cut short with it: all come back apart, over a time that doubles with each
/// attempt, as [`Inbox::apply`](tower_webhooks_inbox::Inbox::apply) says.
pub(super) const CLAIM: &str = concat!(
    "WITH due AS MATERIALIZED (
        SELECT q.place, d.* FROM unnest($1, $2, $3) WITH ORDINALITY
            AS q(endpoint, handler, free, place)
        CROSS JOIN LATERAL (
            SELECT ctid AS lies, seq, handler, state, due_at FROM job
            WHERE endpoint = q.endpoint AND handler = q.handler
                AND due_at <= statement_timestamp()
            ORDER BY due_at, seq LIMIT q.free
            FOR UPDATE SKIP LOCKED
        ) AS d
    ), taken AS (
        UPDATE job SET
            state = CASE WHEN ",
    cut_short!(),
    " THEN 'pending' ELSE 'running' END,
            attempts = CASE WHEN ",
    cut_short!(),
    " THEN attempts ELSE attempts + 1 END,
            token = CASE WHEN ",
    cut_short!(),
    " THEN token ELSE token + 1 END,
            worker = CASE WHEN ",
    cut_short!(),
    " THEN worker ELSE $5 END,
            due_at = statement_timestamp() + CASE WHEN ",
    cut_short!(),
    "
                THEN random() * 2 ^ least(attempts - 2, 12) * interval '250 milliseconds'
                ELSE $4 * interval '1 microsecond' END
        WHERE ctid = ANY (ARRAY(SELECT lies FROM due))
        RETURNING seq, endpoint, handler, attempts, token, state
    )
    SELECT seq, taken.endpoint, handler, taken.attempts, taken.token, due.state, taken.state
    FROM taken JOIN due USING (seq, handler)
    ORDER BY due.place, due.due_at, seq"
);
