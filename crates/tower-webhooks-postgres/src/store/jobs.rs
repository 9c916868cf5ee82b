//! Jobs: extended and settled.

use std::{collections::BTreeMap, time::Duration};

use tokio_postgres::types::Type;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventSeq, Extend, JobKey, JobState, Settle, SettleResult, Settlement};

use super::{Result, Transaction, column, lines::Line, rows, seq_of, unsigned};
use crate::{
    driver::{Param, Query, Row},
    time::micros,
};

/// A job and the token that somebody believes to hold it by.
type Held = (JobKey, u64);

/// Leases that are to last longer, as columns.
pub(super) struct Extending<'a> {
    columns: Columns<'a>,
    spans: Vec<i64>,
}

/// Leases that are to end, as columns.
pub(super) struct Settling<'a> {
    /// Where in the batch each stands. A lease ends once: of several for one the
    /// first counts.
    places: BTreeMap<Held, usize>,
    columns: Columns<'a>,
    states: Vec<&'static str>,
    waits: Vec<i64>,
    backs: Vec<i64>,
    errors: Vec<Option<&'a str>>,
}

/// A settle as columns.
struct Ending<'a> {
    state: JobState,
    wait: Duration,
    back: i64,
    error: Option<&'a str>,
}

impl<'a> Extending<'a> {
    /// Of several for one lease the last counts.
    pub(super) fn new(extends: &'a [Extend]) -> Self {
        let mut by: BTreeMap<(&JobKey, u64), Duration> = BTreeMap::new();
        for extend in extends {
            by.insert((&extend.key, extend.token), extend.by);
        }
        Self {
            columns: Columns::of(by.keys().copied()),
            spans: by.values().copied().map(micros).collect(),
        }
    }

    pub(super) fn query(&self) -> Option<Query<'_>> {
        let mut params = self.columns.params()?;
        params.push((&self.spans, Type::INT8_ARRAY));
        Some((EXTEND, params))
    }

    /// Which of these leases last longer now.
    pub(super) fn results(extends: &[Extend], rows: &[Row]) -> Result<Vec<bool>> {
        let extended = rows.iter().map(held).collect::<Result<Vec<_>>>()?;
        let is_held = |one: &Extend| extended.contains(&(one.key.clone(), one.token));
        Ok(extends.iter().map(is_held).collect())
    }
}

impl<'a> Settling<'a> {
    fn new(settles: &'a [Settle], places: BTreeMap<Held, usize>) -> Self {
        let of = |place: &usize| settles.get(*place);
        let leases = places.values().filter_map(of);
        let endings: Vec<_> = leases.clone().map(|one| Ending::of(&one.outcome)).collect();
        Self {
            columns: Columns::of(leases.map(|one| (&one.key, one.token))),
            states: endings.iter().map(|end| end.state.as_str()).collect(),
            waits: endings.iter().map(|end| micros(end.wait)).collect(),
            backs: endings.iter().map(|end| end.back).collect(),
            errors: endings.iter().map(|end| end.error).collect(),
            places,
        }
    }

    pub(super) fn query(&self) -> Option<Query<'_>> {
        let mut params = self.columns.params()?;
        params.push((&self.states, Type::TEXT_ARRAY));
        params.push((&self.waits, Type::INT8_ARRAY));
        params.push((&self.backs, Type::INT8_ARRAY));
        params.push((&self.errors, Type::TEXT_ARRAY));
        Some((SETTLE, params))
    }
}

impl Transaction<'_> {
    /// What is to be settled, and the results but for that.
    pub(super) async fn settling<'a>(
        &mut self,
        settles: &'a [Settle],
    ) -> Result<(Settling<'a>, Vec<SettleResult>)> {
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
        Ok((Settling::new(settles, plain), results))
    }

    /// Waits for whoever else has the job's row.
    pub(super) async fn lock_job(&mut self, key: &JobKey) -> Result<()> {
        let lock = "SELECT FROM job WHERE seq = $1 AND handler = $2 FOR UPDATE";
        let handler = key.handler.as_str();
        let params = [
            (&column(key.seq) as _, Type::INT8),
            (&handler as _, Type::TEXT),
        ];
        self.db.run(lock, &params).await
    }

    /// Notes what was settled.
    pub(super) fn settled(
        &mut self,
        settles: &[Settle],
        settling: &Settling<'_>,
        rows: &[Row],
        results: &mut [SettleResult],
    ) -> Result<()> {
        for row in rows {
            let Some(place) = settling.places.get(&held(row)?).copied() else {
                continue;
            };
            let (Some(result), Some(settle)) = (results.get_mut(place), settles.get(place)) else {
                continue;
            };
            if !row.get::<bool>(6)? {
                *result = SettleResult::Busy;
                continue;
            }
            *result = SettleResult::Settled;
            let ending = Ending::of(&settle.outcome);
            self.count_settled(&rows::text(row, 3)?, &settle.key.handler, &ending);
            if ending.state != JobState::Pending {
                self.calls.extend(Line::of_row(row, 3)?);
            }
        }
        Ok(())
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

/// Jobs with tokens.
#[derive(Default)]
struct Columns<'a> {
    seqs: Vec<i64>,
    handlers: Vec<&'a str>,
    tokens: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(all: impl Iterator<Item = (&'a JobKey, u64)>) -> Self {
        let mut columns = Self::default();
        for (key, token) in all {
            columns.seqs.push(column(key.seq));
            columns.handlers.push(&key.handler);
            // One that is too large is nobody's.
            columns.tokens.push(i64::try_from(token).unwrap_or(-1));
        }
        columns
    }

    /// `None` if there are none.
    fn params(&self) -> Option<Vec<Param<'_>>> {
        if self.seqs.is_empty() {
            return None;
        }
        Some(vec![
            (&self.seqs, Type::INT8_ARRAY),
            (&self.handlers, Type::TEXT_ARRAY),
            (&self.tokens, Type::INT8_ARRAY),
        ])
    }
}

/// The job and token in the first three columns.
fn held(row: &Row) -> Result<Held> {
    let seq: EventSeq = seq_of(row.get(0)?);
    let handler = rows::text(row, 1)?;
    Ok((JobKey { seq, handler }, unsigned(row.get(2)?)))
}

/// The row of a job that is asked for with its token, locked, unless somebody else has it.
/// Looked for one by one, so that no plan reads the table.
macro_rules! free_job {
    () => {
        "CROSS JOIN LATERAL (
            SELECT ctid AS lies FROM job
            WHERE seq = q.seq AND handler = q.handler AND token = q.token AND state = 'running'
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS job"
    };
}

/// Leases that last longer from now on. Waits for nobody: whoever has a job's row
/// is ending its lease, and may take his time about it.
pub(super) const EXTEND: &str = concat!(
    "UPDATE job
    SET due_at = statement_timestamp() + free.by * interval '1 microsecond'
    FROM (
        SELECT job.lies, q.by
        FROM unnest($1, $2, $3, $4) AS q(seq, handler, token, by)
        ",
    free_job!(),
    "
    ) AS free
    WHERE job.ctid = free.lies
    RETURNING job.seq, job.handler, job.token"
);

/// Leases that end. Waits for nobody, as [`EXTEND`]: a handler's commit that its worker has
/// given up may hold a row for long. What is held by somebody else, or has moved at this
/// very moment, is told apart by the last column.
pub(super) const SETTLE: &str = concat!(
    "WITH asked AS (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
            AS q(seq, handler, token, state, wait, back, error)
    ), free AS MATERIALIZED (
        SELECT job.lies, q.* FROM asked AS q
        ",
    free_job!(),
    "
    ), settled AS (
        UPDATE job SET state = q.state,
            due_at = CASE WHEN q.state = 'pending'
                THEN statement_timestamp() + q.wait * interval '1 microsecond' END,
            attempts = greatest(job.attempts - q.back, 0),
            last_error = coalesce(q.error, job.last_error),
            ended_at = CASE WHEN q.state <> 'pending' THEN statement_timestamp() END
        FROM free AS q WHERE job.ctid = q.lies
        RETURNING job.seq, job.handler
    )
    SELECT job.seq, job.handler, job.token, job.endpoint, job.handler, job.line,
        settled.seq IS NOT NULL
    FROM asked AS q
    CROSS JOIN LATERAL (
        SELECT seq, handler, token, endpoint, line FROM job
        WHERE seq = q.seq AND handler = q.handler AND token = q.token AND state = 'running'
        LIMIT 1
    ) AS job
    LEFT JOIN settled ON settled.seq = job.seq AND settled.handler = job.handler"
);
