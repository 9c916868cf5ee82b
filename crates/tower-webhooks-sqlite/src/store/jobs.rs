//! Jobs: claimed, extended, settled.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    Claim, Extend, JobState, Leased, Ordering, Settle, SettleResult, Settlement, StoredEvent, Want,
    put_off,
};

use super::{
    Tx, column,
    rows::{self, SELECT_EVENT},
    unsigned,
};
use crate::time::{after, duration_micros};

/// A job whose lease is the caller's.
struct Held {
    endpoint: Text,
    line: Option<Text>,
}

/// A job that can be claimed.
struct Due {
    seq: i64,
    state: JobState,
    attempts: u32,
}

impl Due {
    /// How much later it is due, at most, if its lease ended, and not for the first
    /// time.
    fn put_off(&self) -> Option<Duration> {
        put_off(self.attempts).filter(|_| self.state == JobState::Running)
    }
}

impl Tx<'_> {
    pub(super) fn claim(&mut self, claim: &Claim) -> rusqlite::Result<Vec<Leased>> {
        // A lease of nothing would be over before the claim is.
        let lease = claim.lease.max(Duration::from_micros(1));
        let mut events = HashMap::new();
        let mut claimed = Vec::new();
        for want in &claim.wants {
            self.note_asked(&want.endpoint, &want.handler)?;
            for due in self.due(want)? {
                match due.put_off() {
                    Some(most) => self.put_off(want, &due, most)?,
                    None => {
                        claimed.push(self.lease(want, &due, &claim.worker, lease, &mut events)?);
                    }
                }
            }
        }
        Ok(claimed)
    }

    /// The jobs to claim, the first due first. Reads the index of what is
    /// unfinished and nothing else, however long the history.
    fn due(&self, want: &Want) -> rusqlite::Result<Vec<Due>> {
        if want.free == 0 {
            return Ok(Vec::new());
        }
        let most = i64::try_from(want.free).unwrap_or(i64::MAX);
        self.all(
            DUE,
            (
                want.endpoint.as_str(),
                want.handler.as_str(),
                self.now,
                most,
            ),
            |row| {
                let running = row.get_ref(1)?.as_str()? == "running";
                Ok(Due {
                    seq: row.get(0)?,
                    state: if running {
                        JobState::Running
                    } else {
                        JobState::Pending
                    },
                    attempts: rows::small(row, 2)?,
                })
            },
        )
    }

    /// Makes a job that was cut short due later.
    fn put_off(&mut self, want: &Want, due: &Due, most: Duration) -> rusqlite::Result<()> {
        self.run(
            "UPDATE job SET state = 'pending', due_at = ?3 + abs(random() % ?4)
             WHERE seq = ?1 AND handler = ?2",
            (
                due.seq,
                want.handler.as_str(),
                self.now,
                duration_micros(most),
            ),
        )?;
        let (endpoint, handler) = (&want.endpoint, &want.handler);
        self.tally.job(endpoint, handler, JobState::Running, -1);
        self.tally.job(endpoint, handler, JobState::Pending, 1);
        Ok(())
    }

    fn lease(
        &mut self,
        want: &Want,
        due: &Due,
        worker: &str,
        lease: Duration,
        events: &mut HashMap<i64, Arc<StoredEvent>>,
    ) -> rusqlite::Result<Leased> {
        let event = match events.get(&due.seq) {
            Some(event) => event.clone(),
            None => {
                let event = Arc::new(self.event(due.seq)?);
                events.insert(due.seq, event.clone());
                event
            }
        };
        let token = self.next_token();
        let attempt = due.attempts.saturating_add(1);
        self.run(
            "UPDATE job SET state = 'running', due_at = ?3, attempts = ?4, token = ?5, boot = ?6,
                 worker = ?7
             WHERE seq = ?1 AND handler = ?2",
            (
                due.seq,
                want.handler.as_str(),
                after(self.now, lease),
                attempt,
                token,
                self.boot(),
                worker,
            ),
        )?;
        let Want {
            endpoint, handler, ..
        } = want;
        self.tally.job(endpoint, handler, due.state, -1);
        self.tally.job(endpoint, handler, JobState::Running, 1);
        let token = unsigned(token);
        Ok(Leased::new(event, handler.clone(), attempt, token, lease))
    }

    fn event(&self, seq: i64) -> rusqlite::Result<StoredEvent> {
        self.connection
            .prepare_cached(SELECT_EVENT)?
            .query_row([seq], rows::event)
    }

    pub(super) fn extend(&self, extend: &Extend) -> rusqlite::Result<bool> {
        let Ok(token) = i64::try_from(extend.token) else {
            return Ok(false);
        };
        let extended = self.run(
            "UPDATE job SET due_at = ?4
             WHERE seq = ?1 AND handler = ?2 AND token = ?3 AND state = 'running'",
            (
                column(extend.key.seq),
                extend.key.handler.as_str(),
                token,
                after(self.now, extend.by),
            ),
        )?;
        Ok(extended > 0)
    }

    pub(super) fn settle(&mut self, settle: Settle) -> rusqlite::Result<SettleResult> {
        let Some(held) = self.held(&settle)? else {
            return Ok(SettleResult::LeaseLost);
        };
        if let Some(work) = settle.work
            && let Err(refused) = self.work(&work, &settle.key)?
        {
            return Ok(SettleResult::WorkRefused(refused));
        }
        let (state, due_at, back, error) = match settle.outcome {
            Settlement::Dead { error } => (JobState::Dead, None, 0, Some(error)),
            Settlement::Done => (JobState::Done, None, 0, None),
            Settlement::Release => (JobState::Pending, Some(self.now), 1, None),
            Settlement::Retry { after: wait, error } => {
                let due_at = Some(after(self.now, wait));
                (JobState::Pending, due_at, 0, Some(error))
            }
        };
        let handler = &settle.key.handler;
        self.run(
            "UPDATE job SET state = ?3, due_at = ?4, attempts = max(attempts - ?5, 0),
                 last_error = ifnull(?6, last_error), ended_at = ?7
             WHERE seq = ?1 AND handler = ?2",
            (
                column(settle.key.seq),
                handler.as_str(),
                state.as_str(),
                due_at,
                back,
                error.as_deref(),
                due_at.is_none().then_some(self.now),
            ),
        )?;
        let Held { endpoint, line } = held;
        self.tally.job(&endpoint, handler, JobState::Running, -1);
        self.tally.job(&endpoint, handler, state, 1);
        if due_at.is_none()
            && let Some(line) = line
        {
            let blocks = self.routes.ordering(&endpoint, handler) == Ordering::Block;
            if state == JobState::Done || !blocks {
                self.call_next(&endpoint, handler, &line)?;
            }
        }
        Ok(SettleResult::Settled)
    }

    /// The job to settle, if the token is its current one.
    fn held(&self, settle: &Settle) -> rusqlite::Result<Option<Held>> {
        let Ok(token) = i64::try_from(settle.token) else {
            return Ok(None);
        };
        self.first(
            "SELECT endpoint, line FROM job
             WHERE seq = ?1 AND handler = ?2 AND token = ?3 AND state = 'running'",
            (column(settle.key.seq), settle.key.handler.as_str(), token),
            |row| {
                Ok(Held {
                    endpoint: rows::text(row, 0)?,
                    line: rows::maybe_text(row, 1)?,
                })
            },
        )
    }
}

/// The jobs that can be claimed, the first due first.
pub(super) const DUE: &str = "SELECT seq, state, attempts FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND due_at <= ?3
    ORDER BY due_at, seq LIMIT ?4";
