//! Jobs: claimed, extended, settled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    Claim, EventSeq, Extend, JobKey, JobState, Leased, Settle, SettleResult, Settlement,
    StoredEvent,
};

use super::{
    Result, Transaction, column, limit,
    lines::Line,
    rows::{self, SELECT_WHOLE, job_state_name},
    seq_of, unsigned,
};
use crate::{driver::Param, time::micros};

/// A job and the token that somebody believes to hold it by.
type Held = (JobKey, u64);

/// A settle as columns.
struct Ending<'a> {
    state: JobState,
    wait: Duration,
    back: i64,
    error: Option<&'a str>,
}

impl Transaction<'_> {
    pub(super) async fn claim(&mut self, claim: &Claim) -> Result<Vec<Leased>> {
        if claim.wants.is_empty() {
            return Ok(Vec::new());
        }
        // A lease of nothing would be over before the claim is.
        let lease = claim.lease.max(Duration::from_micros(1));
        let wants = &claim.wants;
        let endpoints: Vec<_> = wants.iter().map(|want| want.endpoint.as_str()).collect();
        let handlers: Vec<_> = wants.iter().map(|want| want.handler.as_str()).collect();
        let free: Vec<_> = wants.iter().map(|want| limit(want.free)).collect();
        let (lease_micros, worker) = (micros(lease), claim.worker.as_str());
        let note: Vec<Param<'_>> = vec![
            (&endpoints, Type::TEXT_ARRAY),
            (&handlers, Type::TEXT_ARRAY),
        ];
        let mut take = note.clone();
        take.push((&free, Type::INT8_ARRAY));
        take.push((&lease_micros, Type::INT8));
        take.push((&worker, Type::TEXT));
        let mut answers = self
            .db
            .query_all(&[(NOTE_ASKED, note), (CLAIM, take)])
            .await?;
        let taken = answers.pop().unwrap_or_default();
        let mut seqs = Vec::with_capacity(taken.len());
        for row in &taken {
            seqs.push(row.get::<i64>(0)?);
        }
        let events = self.events(&seqs).await?;
        let mut claimed = Vec::with_capacity(taken.len());
        for (row, seq) in taken.iter().zip(seqs) {
            let (endpoint, handler) = (rows::text(row, 1)?, rows::text(row, 2)?);
            let was = rows::job_state(row.get(5)?).ok_or_else(|| rows::odd(5))?;
            self.tally.job(&endpoint, &handler, was, -1);
            self.tally.job(&endpoint, &handler, JobState::Running, 1);
            let Some(event) = events.get(&seq) else {
                // Deleted by hand: nobody can handle it, and nobody will.
                tracing::warn!(seq, "a job has no event");
                continue;
            };
            let (attempt, token) = (rows::small(row, 3)?, unsigned(row.get(4)?));
            claimed.push(Leased::new(event.clone(), handler, attempt, token, lease));
        }
        Ok(claimed)
    }

    /// These events with their bodies, each once.
    async fn events(&mut self, seqs: &[i64]) -> Result<HashMap<i64, Arc<StoredEvent>>> {
        if seqs.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self
            .db
            .query(SELECT_WHOLE, &[(&seqs, Type::INT8_ARRAY)])
            .await?;
        let events = rows.iter().map(|row| {
            let event = rows::event(row)?;
            Ok((column(event.seq), Arc::new(event)))
        });
        events.collect()
    }

    /// Which of these leases last longer now. Of several for one the last counts.
    pub(super) async fn extend(&mut self, extends: &[Extend]) -> Result<Vec<bool>> {
        let mut by: BTreeMap<Held, Duration> = BTreeMap::new();
        for extend in extends {
            by.insert((extend.key.clone(), extend.token), extend.by);
        }
        let Some((seqs, handlers, tokens)) = columns(by.keys()) else {
            return Ok(vec![false; extends.len()]);
        };
        let spans: Vec<i64> = by.values().copied().map(micros).collect();
        let rows = self
            .db
            .query(
                EXTEND,
                &[
                    (&seqs, Type::INT8_ARRAY),
                    (&handlers, Type::TEXT_ARRAY),
                    (&tokens, Type::INT8_ARRAY),
                    (&spans, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let mut extended = Vec::with_capacity(rows.len());
        for row in &rows {
            extended.push(held(row)?);
        }
        Ok(extends
            .iter()
            .map(|extend| extended.contains(&(extend.key.clone(), extend.token)))
            .collect())
    }

    pub(super) async fn settle(&mut self, settles: &[Settle]) -> Result<Vec<SettleResult>> {
        // A lease ends once: of several for one the first counts.
        let mut first: BTreeMap<Held, usize> = BTreeMap::new();
        for (place, settle) in settles.iter().enumerate() {
            let held = (settle.key.clone(), settle.token);
            first.entry(held).or_insert(place);
        }
        let mut results = vec![SettleResult::LeaseLost; settles.len()];
        let (with_work, plain): (BTreeMap<_, _>, BTreeMap<_, _>) = first
            .into_iter()
            .partition(|(_, place)| settles.get(*place).is_some_and(|one| one.work.is_some()));
        for (held, place) in with_work {
            if self.is_held(&held).await?
                && let Some(result) = results.get_mut(place)
            {
                *result = SettleResult::WorkRefused(Text::from_static(
                    "not work for a PostgreSQL inbox: handlers write in its transaction, `Tx`",
                ));
            }
        }
        let Some((seqs, handlers, tokens)) = columns(plain.keys()) else {
            return Ok(results);
        };
        let endings: Vec<_> = plain
            .values()
            .filter_map(|place| settles.get(*place))
            .map(|settle| Ending::of(&settle.outcome))
            .collect();
        let states: Vec<_> = endings
            .iter()
            .map(|end| job_state_name(end.state))
            .collect();
        let waits: Vec<_> = endings.iter().map(|end| micros(end.wait)).collect();
        let backs: Vec<_> = endings.iter().map(|end| end.back).collect();
        let errors: Vec<_> = endings.iter().map(|end| end.error).collect();
        let rows = self
            .db
            .query(
                SETTLE,
                &[
                    (&seqs, Type::INT8_ARRAY),
                    (&handlers, Type::TEXT_ARRAY),
                    (&tokens, Type::INT8_ARRAY),
                    (&states, Type::TEXT_ARRAY),
                    (&waits, Type::INT8_ARRAY),
                    (&backs, Type::INT8_ARRAY),
                    (&errors, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        for row in &rows {
            let settled = held(row)?;
            let Some(place) = plain.get(&settled).copied() else {
                continue;
            };
            let (Some(result), Some(settle)) = (results.get_mut(place), settles.get(place)) else {
                continue;
            };
            *result = SettleResult::Settled;
            let ending = Ending::of(&settle.outcome);
            self.count_settled(&rows::text(row, 3)?, &settle.key.handler, &ending);
            if ending.state != JobState::Pending {
                self.calls.extend(Line::of_row(row, 3)?);
            }
        }
        Ok(results)
    }

    fn count_settled(&mut self, endpoint: &Text, handler: &Text, ending: &Ending<'_>) {
        self.tally.job(endpoint, handler, JobState::Running, -1);
        self.tally.job(endpoint, handler, ending.state, 1);
        if ending.state == JobState::Pending {
            self.tally.make_due();
        }
    }

    async fn is_held(&mut self, (key, token): &Held) -> Result<bool> {
        let Ok(token) = i64::try_from(*token) else {
            return Ok(false);
        };
        let row = self
            .db
            .first(
                "SELECT FROM job
                 WHERE seq = $1 AND handler = $2 AND token = $3 AND state = 'running'",
                &[
                    (&column(key.seq), Type::INT8),
                    (&key.handler.as_str(), Type::TEXT),
                    (&token, Type::INT8),
                ],
            )
            .await?;
        Ok(row.is_some())
    }
}

impl<'a> Ending<'a> {
    fn of(outcome: &'a Settlement) -> Self {
        let (state, wait, back, error) = match outcome {
            Settlement::Dead { error } => (JobState::Dead, Duration::ZERO, 0, Some(&**error)),
            Settlement::Done => (JobState::Done, Duration::ZERO, 0, None),
            Settlement::Release => (JobState::Pending, Duration::ZERO, 1, None),
            Settlement::Retry { after, error } => (JobState::Pending, *after, 0, Some(&**error)),
        };
        Self {
            state,
            wait,
            back,
            error,
        }
    }
}

type Columns<'a> = (Vec<i64>, Vec<&'a str>, Vec<i64>);

/// `None` if there are none.
fn columns<'a>(all: impl Iterator<Item = &'a Held>) -> Option<Columns<'a>> {
    let mut columns = Columns::default();
    for (key, token) in all {
        columns.0.push(column(key.seq));
        columns.1.push(&key.handler);
        // One that is too large is nobody's.
        columns.2.push(i64::try_from(*token).unwrap_or(-1));
    }
    (!columns.0.is_empty()).then_some(columns)
}

/// The job and token in the first three columns.
fn held(row: &crate::driver::Row) -> Result<Held> {
    let seq: EventSeq = seq_of(row.get(0)?);
    let handler = rows::text(row, 1)?;
    Ok((JobKey { seq, handler }, unsigned(row.get(2)?)))
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

/// The jobs of each handler that were due first, as many as it has free slots;
/// never one that another worker is taking at this moment. Reads the index of
/// what is unfinished and nothing else, however long the history, and no handler's
/// backlog stands before another's.
///
/// What was found is changed by where it lies: joined by its key it would be looked
/// for in the whole table, since nobody can tell beforehand how little it is. A row
/// that has moved at this very moment is left to the next claim.
pub(super) const CLAIM: &str = "WITH due AS MATERIALIZED (
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
        UPDATE job SET state = 'running', attempts = attempts + 1, token = token + 1,
            due_at = statement_timestamp() + $4 * interval '1 microsecond', worker = $5
        WHERE ctid = ANY (ARRAY(SELECT lies FROM due))
        RETURNING seq, endpoint, handler, attempts, token
    )
    SELECT seq, taken.endpoint, handler, taken.attempts, taken.token, due.state
    FROM taken JOIN due USING (seq, handler)
    ORDER BY due.place, due.due_at, seq";

const EXTEND: &str = "UPDATE job
    SET due_at = statement_timestamp() + q.by * interval '1 microsecond'
    FROM unnest($1, $2, $3, $4) AS q(seq, handler, token, by)
    WHERE job.seq = q.seq AND job.handler = q.handler AND job.token = q.token
        AND job.state = 'running'
    RETURNING job.seq, job.handler, job.token";

const SETTLE: &str = "UPDATE job SET state = q.state,
        due_at = CASE WHEN q.state = 'pending'
            THEN statement_timestamp() + q.wait * interval '1 microsecond' END,
        attempts = greatest(job.attempts - q.back, 0),
        last_error = coalesce(q.error, job.last_error),
        ended_at = CASE WHEN q.state <> 'pending' THEN statement_timestamp() END
    FROM unnest($1, $2, $3, $4, $5, $6, $7) AS q(seq, handler, token, state, wait, back, error)
    WHERE job.seq = q.seq AND job.handler = q.handler AND job.token = q.token
        AND job.state = 'running'
    RETURNING job.seq, job.handler, job.token, job.endpoint, job.handler, job.line";
