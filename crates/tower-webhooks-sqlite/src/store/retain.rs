//! What goes: by age, or on request.

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Erase, EventState, JobState, Pruned, Retention};

use super::{Tx, column, rows};
use crate::time::duration_micros;

/// Events in the order of their age, after this one, and whether each may go:
/// nothing about it waits for anybody.
macro_rules! by_age {
    ($and:literal) => {
        concat!(
            "SELECT e.seq, e.stored_at,
                NOT EXISTS (SELECT 1 FROM reply
                    WHERE reply.seq = e.seq AND status IS NULL AND held_until > ?5)
                AND (e.erased = 1 OR e.state <> 'unusable' AND NOT EXISTS (
                    SELECT 1 FROM job WHERE job.seq = e.seq AND state <> 'done'))
             FROM event AS e
             WHERE e.stored_at <= ?1 AND (e.stored_at, e.seq) > (?2, ?3) ",
            $and,
            " ORDER BY e.stored_at, e.seq LIMIT ?4"
        )
    };
}

pub(super) const OLD_KEYS: &str = by_age!("");

pub(super) const OLD_BODIES: &str = by_age!("AND e.body IS NOT NULL");

/// How many events a step looks at for each that it may take: those that stay, such
/// as a handler's that no worker has, must not make one step long.
const LOOKS_FOR_EACH: usize = 4;

/// How far pruning has come, so that the next step begins with what it has not seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrunedTo {
    looking_for: LookingFor,
    stored_at: i64,
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
            stored_at: i64::MIN,
            seq: 0,
        }
    }
}

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
    /// Goes by the indexes of what is old, from where the step before ended, so that
    /// a step costs what it removes and a little for what stays.
    pub(crate) fn prune(
        &mut self,
        retention: &Retention,
        max_rows: usize,
        from: PrunedTo,
    ) -> rusqlite::Result<(Pruned, PrunedTo)> {
        let before = |age| self.now.saturating_sub(duration_micros(age));
        let (bodies, keys) = (before(retention.bodies), before(retention.keys));
        let mut looks = max_rows.saturating_mul(LOOKS_FOR_EACH);
        let mut pruned = Pruned::default();
        let mut to = from;
        loop {
            let (sql, until) = match to.looking_for {
                LookingFor::Keys => (OLD_KEYS, keys),
                LookingFor::Bodies => (OLD_BODIES, bodies),
            };
            // What is old enough to go with its key has been looked at for that.
            let after = match to.looking_for {
                LookingFor::Bodies => (to.stored_at, to.seq).max((keys, i64::MAX)),
                LookingFor::Keys => (to.stored_at, to.seq),
            };
            let limit = i64::try_from(looks).unwrap_or(i64::MAX);
            let old = self.all(sql, (until, after.0, after.1, limit, self.now), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let looked = old.len();
            for (seq, stored_at, may_go) in old {
                if may_go && pruned.keys + pruned.bodies >= max_rows {
                    pruned.more = true;
                    return Ok((pruned, to));
                }
                match to.looking_for {
                    _ if !may_go => {}
                    LookingFor::Keys => {
                        self.forget(seq)?;
                        pruned.keys += 1;
                    }
                    LookingFor::Bodies => {
                        self.strip(seq)?;
                        pruned.bodies += 1;
                    }
                }
                (to.stored_at, to.seq) = (stored_at, seq);
            }
            if looked >= looks {
                pruned.more = true;
                return Ok((pruned, to));
            }
            looks -= looked;
            to = match to.looking_for {
                LookingFor::Keys => PrunedTo::before(LookingFor::Bodies),
                LookingFor::Bodies => return Ok((pruned, PrunedTo::nothing())),
            };
        }
    }

    fn strip(&mut self, seq: i64) -> rusqlite::Result<()> {
        self.release(seq)?;
        self.run(
            "UPDATE event SET body = NULL, headers = NULL WHERE seq = ?1",
            [seq],
        )?;
        Ok(())
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
            |row| Ok(EventState::from_name(row.get_ref(0)?.as_str()?)),
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
                let state = JobState::from_name(row.get_ref(2)?.as_str()?);
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
