//! What goes: by age, or on request.

use std::time::SystemTime;

use tokio_postgres::types::Type;
use tower_webhooks_inbox::{Erase, EventState, JobState, Pruned, Retention};

use super::{
    Result, Transaction, column, limit,
    lines::{Line, Lines},
    rows,
};
use crate::{
    driver::{Param, Row},
    time::micros,
};

/// Nothing about the event waits for anybody. Asked of each event by itself, as
/// `NOT EXISTS` is not: that gathers all that waits, for a few events.
macro_rules! may_go {
    () => {
        "(SELECT true FROM reply WHERE reply.seq = e.seq AND status IS NULL
                AND held_until > statement_timestamp()) IS NULL
            AND (e.erased OR (e.state <> 'unusable' AND (SELECT true FROM job
                WHERE job.seq = e.seq AND job.state <> 'done' LIMIT 1) IS NULL))"
    };
}

/// Events in the order of their age, after this one, and whether each may go.
pub(super) const OLD_KEYS: &str = concat!(
    "SELECT e.seq, e.stored_at, ",
    may_go!(),
    " FROM event AS e
     WHERE e.stored_at <= statement_timestamp() - $1 * interval '1 microsecond'
         AND (e.stored_at, e.seq) > ($2, $3)
     ORDER BY e.stored_at, e.seq LIMIT $4"
);

/// The same of those that have a body, and whose key does not go yet.
pub(super) const OLD_BODIES: &str = concat!(
    "SELECT e.seq, b.stored_at, ",
    may_go!(),
    " FROM event_body AS b JOIN event AS e USING (seq)
     WHERE b.stored_at <= statement_timestamp() - $1 * interval '1 microsecond'
         AND (b.stored_at, b.seq) > ($2, $3)
         AND b.stored_at > statement_timestamp() - $5 * interval '1 microsecond'
     ORDER BY b.stored_at, b.seq LIMIT $4"
);

/// Locked, so that nothing about them begins to wait; what is locked by others goes
/// with a later round.
const STILL: &str = concat!(
    "SELECT e.seq FROM event AS e WHERE e.seq = ANY($1) AND ",
    may_go!(),
    " ORDER BY e.seq FOR UPDATE OF e SKIP LOCKED"
);

/// How many events a step looks at for each that it may take: those that stay, such
/// as a handler's that no worker has, must not make one step long.
const LOOKS_FOR_EACH: usize = 4;

/// How far pruning has come, so that the next step begins with what it has not seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrunedTo {
    looking_for: LookingFor,
    stored_at: SystemTime,
    seq: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookingFor {
    Keys,
    Bodies,
}

impl PrunedTo {
    pub(crate) fn nothing() -> Self {
        Self::before(LookingFor::Keys)
    }

    fn before(looking_for: LookingFor) -> Self {
        Self {
            looking_for,
            stored_at: SystemTime::UNIX_EPOCH,
            seq: 0,
        }
    }
}

impl Transaction<'_> {
    /// Goes by the indexes of what is old, from where the step before ended, so that
    /// a step costs what it removes and a little for what stays.
    pub(crate) async fn prune(
        &mut self,
        retention: &Retention,
        max_rows: usize,
        from: PrunedTo,
    ) -> Result<(Pruned, PrunedTo)> {
        let (bodies, keys) = (micros(retention.bodies), micros(retention.keys));
        let mut looks = max_rows.saturating_mul(LOOKS_FOR_EACH);
        let mut pruned = Pruned::default();
        let mut to = from;
        loop {
            let (sql, age) = match to.looking_for {
                LookingFor::Keys => (OLD_KEYS, keys),
                LookingFor::Bodies => (OLD_BODIES, bodies),
            };
            let mut params: Vec<Param<'_>> = vec![
                (&age, Type::INT8),
                (&to.stored_at, Type::TIMESTAMPTZ),
                (&to.seq, Type::INT8),
            ];
            let most = limit(looks);
            params.push((&most, Type::INT8));
            if to.looking_for == LookingFor::Bodies {
                params.push((&keys, Type::INT8));
            }
            let old = self.db.query(sql, &params).await?;
            drop(params);
            let left = max_rows.saturating_sub(pruned.keys + pruned.bodies);
            let (mut go, mut full) = (Vec::new(), false);
            for row in &old {
                let may_go: bool = row.get(2)?;
                if may_go && go.len() >= left {
                    full = true;
                    break;
                }
                (to.stored_at, to.seq) = (row.get(1)?, row.get(0)?);
                if may_go {
                    go.push(to.seq);
                }
            }
            let mut still = Vec::new();
            if !go.is_empty() {
                let rows = self.db.query(STILL, &[(&go, Type::INT8_ARRAY)]).await?;
                still = numbers(&rows)?;
            }
            match to.looking_for {
                LookingFor::Keys => {
                    self.forget(&still).await?;
                    pruned.keys += still.len();
                }
                LookingFor::Bodies => {
                    self.strip(&still).await?;
                    pruned.bodies += still.len();
                }
            }
            if full || old.len() >= looks {
                pruned.more = true;
                return Ok((pruned, to));
            }
            looks -= old.len();
            to = match to.looking_for {
                LookingFor::Keys => PrunedTo::before(LookingFor::Bodies),
                LookingFor::Bodies => return Ok((pruned, PrunedTo::nothing())),
            };
        }
    }

    /// Drops events with their keys, jobs and replies.
    async fn forget(&mut self, seqs: &[i64]) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        self.strip(seqs).await?;
        let jobs = self
            .db
            .query(
                "WITH replies AS (DELETE FROM reply WHERE seq = ANY($1)),
                     jobs AS (
                         DELETE FROM job WHERE seq = ANY($1) RETURNING endpoint, handler, state
                     )
                 SELECT endpoint, handler, state, count(*) FROM jobs
                 GROUP BY endpoint, handler, state",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        for row in &jobs {
            let (endpoint, handler) = (rows::text(row, 0)?, rows::text(row, 1)?);
            let state = JobState::from_name(row.get(2)?).ok_or_else(|| rows::odd(2))?;
            self.tally
                .job(&endpoint, &handler, state, -row.get::<i64>(3)?);
        }
        let events = self
            .db
            .query(
                "WITH events AS (DELETE FROM event WHERE seq = ANY($1) RETURNING state)
                 SELECT state, count(*) FROM events GROUP BY state",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        for row in &events {
            let state = EventState::from_name(row.get(0)?).ok_or_else(|| rows::odd(0))?;
            self.tally.event(state, -row.get::<i64>(1)?);
        }
        Ok(())
    }

    /// Drops headers and bodies.
    async fn strip(&mut self, seqs: &[i64]) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        let row = self
            .db
            .first(
                "WITH bodies AS (DELETE FROM event_body WHERE seq = ANY($1) RETURNING held_bytes)
                 SELECT coalesce(sum(held_bytes), 0)::bigint FROM bodies",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        if let Some(row) = row {
            self.tally.hold(-row.get::<i64>(0)?);
        }
        Ok(())
    }

    /// Erases some, from after this event on. Returns how many, and which was the
    /// last if there may be more.
    pub(crate) async fn erase(
        &mut self,
        what: &Erase,
        after: i64,
        most: usize,
    ) -> Result<(u64, Option<i64>)> {
        let chosen = match what {
            Erase::Event(seq) => {
                self.db
                    .query(
                        "SELECT seq FROM event WHERE seq = $1 AND NOT erased FOR UPDATE",
                        &[(&column(*seq), Type::INT8)],
                    )
                    .await?
            }
            Erase::Tenant { endpoint, tenant } => {
                self.db
                    .query(
                        "SELECT seq FROM event WHERE endpoint = $1 AND tenant = $2 AND NOT erased
                             AND seq > $3
                         ORDER BY seq LIMIT $4 FOR UPDATE",
                        &[
                            (&endpoint.as_str(), Type::TEXT),
                            (&tenant.as_str(), Type::TEXT),
                            (&after, Type::INT8),
                            (&limit(most), Type::INT8),
                        ],
                    )
                    .await?
            }
        };
        let chosen = numbers(&chosen)?;
        if chosen.is_empty() {
            return Ok((0, None));
        }
        let lines = self.lines_of_jobs(&chosen).await?;
        self.lock_lines(&lines).await?;
        self.erase_jobs(&chosen).await?;
        self.strip(&chosen).await?;
        // The reason may quote the body, and the ordering key is the sender's.
        self.db
            .run(
                "UPDATE event SET erased = true, ordering_key = NULL,
                     unusable = CASE WHEN unusable IS NULL THEN NULL ELSE 'erased' END
                 WHERE seq = ANY($1)",
                &[(&chosen, Type::INT8_ARRAY)],
            )
            .await?;
        // What is erased cannot run, so it must not block for ever either.
        self.call_next().await?;
        let last = chosen.last().copied().filter(|_| chosen.len() >= most);
        Ok((u64::try_from(chosen.len()).unwrap_or(u64::MAX), last))
    }

    async fn erase_jobs(&mut self, seqs: &[i64]) -> Result<()> {
        let jobs = self
            .db
            .query(
                "WITH before AS (
                     SELECT seq, handler, endpoint, state, line FROM job
                     WHERE seq = ANY($1) ORDER BY seq, handler FOR UPDATE
                 ), erased AS (
                     UPDATE job SET line = NULL, due_at = NULL,
                         state = CASE WHEN job.state IN ('dead', 'done') THEN job.state
                             ELSE 'dead' END,
                         ended_at = coalesce(job.ended_at, statement_timestamp()),
                         last_error = CASE WHEN job.state IN ('dead', 'done') THEN NULL
                             ELSE 'the event was erased' END
                     FROM before WHERE job.seq = before.seq AND job.handler = before.handler
                 )
                 SELECT endpoint, handler, line, state FROM before",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        for row in &jobs {
            let (endpoint, handler) = (rows::text(row, 0)?, rows::text(row, 1)?);
            let state = JobState::from_name(row.get(3)?).ok_or_else(|| rows::odd(3))?;
            self.calls.extend(Line::of_row(row, 0)?);
            if matches!(state, JobState::Pending | JobState::Running) {
                self.tally.job(&endpoint, &handler, state, -1);
                self.tally.job(&endpoint, &handler, JobState::Dead, 1);
            }
        }
        Ok(())
    }

    /// The lines that these events' jobs stand in.
    pub(super) async fn lines_of_jobs(&mut self, seqs: &[i64]) -> Result<Lines> {
        let found = self
            .db
            .query(
                "SELECT DISTINCT endpoint, handler, line FROM job
                 WHERE seq = ANY($1) AND line IS NOT NULL",
                &[(&seqs, Type::INT8_ARRAY)],
            )
            .await?;
        let lines = found.iter().map(|row| Line::of_row(row, 0));
        lines.filter_map(Result::transpose).collect()
    }
}

fn numbers(rows: &[Row]) -> Result<Vec<i64>> {
    rows.iter().map(|row| row.get(0)).collect()
}
