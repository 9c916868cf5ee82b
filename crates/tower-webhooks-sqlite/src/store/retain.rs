//! What goes: by age, or on request.

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Erase, JobState, Pruned, Retention};

use super::{Tx, column, rows};
use crate::time::duration_micros;

/// Nothing about the event waits for anybody.
macro_rules! may_go {
    ($select:literal, $order:literal) => {
        concat!(
            $select,
            " AND NOT EXISTS (SELECT 1 FROM reply WHERE reply.seq = e.seq AND status IS NULL)
              AND (e.erased = 1 OR e.state <> 'unusable'
                  AND NOT EXISTS (SELECT 1 FROM job WHERE job.seq = e.seq AND state <> 'done')) ",
            $order
        )
    };
}

pub(super) const OLD_KEYS: &str = may_go!(
    "SELECT e.seq FROM event AS e WHERE e.stored_at <= ?1",
    "ORDER BY e.stored_at, e.seq LIMIT ?2"
);

pub(super) const OLD_BODIES: &str = may_go!(
    "SELECT e.seq FROM event AS e
     WHERE e.stored_at <= ?1 AND e.stored_at > ?2 AND e.body IS NOT NULL",
    "ORDER BY e.stored_at, e.seq LIMIT ?3"
);

pub(super) const OF_TENANT: &str = "SELECT seq FROM event
    WHERE endpoint = ?1 AND tenant = ?2 AND erased = 0 AND seq > ifnull(?3, 0)
    ORDER BY seq LIMIT ?4";

/// What a step of erasing did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Erased {
    pub(crate) events: u64,
    /// The last one, if there may be more.
    pub(crate) last: Option<i64>,
}

/// A job of an event that is being erased.
struct ErasedJob {
    endpoint: Text,
    handler: Text,
    state: JobState,
    line: Option<Text>,
}

impl Tx<'_> {
    /// Goes by the indexes of what is old, so that a step costs what it removes.
    pub(crate) fn prune(
        &mut self,
        retention: &Retention,
        max_rows: usize,
    ) -> rusqlite::Result<Pruned> {
        let before = |age| self.now.saturating_sub(duration_micros(age));
        let (bodies, keys) = (before(retention.bodies), before(retention.keys));
        let limit = i64::try_from(max_rows)
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        let mut forget = self.all(OLD_KEYS, (keys, limit), |row| row.get::<_, i64>(0))?;
        let mut more = forget.len() > max_rows;
        forget.truncate(max_rows);
        let left = max_rows - forget.len();
        let mut strip = Vec::new();
        if !more {
            strip = self.all(OLD_BODIES, (bodies, keys, limit), |row| {
                row.get::<_, i64>(0)
            })?;
            more = strip.len() > left;
            strip.truncate(left);
        }
        for seq in &forget {
            self.forget(*seq)?;
        }
        for seq in &strip {
            self.release(*seq)?;
            self.run(
                "UPDATE event SET body = NULL, headers = NULL WHERE seq = ?1",
                [seq],
            )?;
        }
        let mut pruned = Pruned::default();
        pruned.bodies = strip.len();
        pruned.keys = forget.len();
        pruned.more = more;
        Ok(pruned)
    }

    /// Drops an event with its key, jobs and reply.
    fn forget(&mut self, seq: i64) -> rusqlite::Result<()> {
        self.release(seq)?;
        self.run("DELETE FROM reply WHERE seq = ?1", [seq])?;
        for job in self.jobs_to_erase(seq)? {
            self.tally.job(&job.endpoint, &job.handler, job.state, -1);
        }
        self.run("DELETE FROM job WHERE seq = ?1", [seq])?;
        let state = self.first(
            "DELETE FROM event WHERE seq = ?1 RETURNING state",
            [seq],
            |row| Ok(rows::event_state(row.get_ref(0)?.as_str()?)),
        )?;
        if let Some(state) = state.flatten() {
            self.tally.event(state, -1);
        }
        Ok(())
    }

    /// Counts an event's headers and body out, before they go.
    fn release(&mut self, seq: i64) -> rusqlite::Result<()> {
        let held = self.first(
            "SELECT ifnull(length(body), 0) + ifnull(length(CAST(headers AS BLOB)), 0)
             FROM event WHERE seq = ?1",
            [seq],
            |row| row.get::<_, i64>(0),
        )?;
        let held = self.numbers.held_bytes.saturating_sub(held.unwrap_or(0));
        self.numbers.held_bytes = held.max(0);
        Ok(())
    }

    pub(crate) fn erase(
        &mut self,
        what: &Erase,
        after: Option<i64>,
        limit: usize,
    ) -> rusqlite::Result<Erased> {
        let chosen = match what {
            Erase::Event(seq) => self.all(
                "SELECT seq FROM event WHERE seq = ?1 AND erased = 0",
                [column(*seq)],
                |row| row.get::<_, i64>(0),
            )?,
            Erase::Tenant { endpoint, tenant } => self.all(
                OF_TENANT,
                (
                    endpoint.as_str(),
                    tenant.as_str(),
                    after,
                    i64::try_from(limit).unwrap_or(i64::MAX),
                ),
                |row| row.get(0),
            )?,
        };
        for seq in &chosen {
            self.erase_event(*seq)?;
        }
        let last = chosen.last().filter(|_| chosen.len() >= limit);
        Ok(Erased {
            events: u64::try_from(chosen.len()).unwrap_or(u64::MAX),
            last: last.copied(),
        })
    }

    fn erase_event(&mut self, seq: i64) -> rusqlite::Result<()> {
        let jobs = self.jobs_to_erase(seq)?;
        for job in &jobs {
            let finished = matches!(job.state, JobState::Dead | JobState::Done);
            if finished {
                self.run(
                    "UPDATE job SET last_error = NULL, line = NULL WHERE seq = ?1 AND handler = ?2",
                    (seq, job.handler.as_str()),
                )?;
                continue;
            }
            self.run(
                "UPDATE job SET state = 'dead', due_at = NULL, ended_at = ?3, line = NULL,
                     last_error = 'the event was erased'
                 WHERE seq = ?1 AND handler = ?2",
                (seq, job.handler.as_str(), self.now),
            )?;
            self.tally.job(&job.endpoint, &job.handler, job.state, -1);
            self.tally
                .job(&job.endpoint, &job.handler, JobState::Dead, 1);
        }
        for job in &jobs {
            // What is erased cannot run, so it must not block for ever either.
            if let Some(line) = &job.line {
                self.call_next(&job.endpoint, &job.handler, line)?;
            }
        }
        self.release(seq)?;
        // The reason may quote the body, and the ordering key is the sender's.
        self.run(
            "UPDATE event SET erased = 1, body = NULL, headers = NULL, ordering_key = NULL,
                 unusable = CASE WHEN unusable IS NULL THEN NULL ELSE 'erased' END
             WHERE seq = ?1",
            [seq],
        )?;
        Ok(())
    }

    fn jobs_to_erase(&self, seq: i64) -> rusqlite::Result<Vec<ErasedJob>> {
        self.all(
            "SELECT endpoint, handler, state, line FROM job WHERE seq = ?1",
            [seq],
            |row| {
                let state = rows::job_state(row.get_ref(2)?.as_str()?);
                Ok(ErasedJob {
                    endpoint: rows::text(row, 0)?,
                    handler: rows::text(row, 1)?,
                    state: state.unwrap_or(JobState::Dead),
                    line: rows::maybe_text(row, 3)?,
                })
            },
        )
    }
}
