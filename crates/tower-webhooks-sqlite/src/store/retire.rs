//! A handler that is taken out.

use std::collections::BTreeSet;

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventState, JobState, Retire, Retired};

use super::{Tx, rows};
use crate::time::until;

/// A job that goes with its handler.
struct Orphan {
    seq: i64,
    state: JobState,
    line: Option<Text>,
}

impl Tx<'_> {
    pub(crate) fn retire(&mut self, what: &Retire, max_jobs: usize) -> rusqlite::Result<Retired> {
        let mut retired = Retired::default();
        let (endpoint, handler) = (what.endpoint.as_str(), what.handler.as_str());
        let known = self.routes.get_mut(endpoint, handler);
        let asked_at = known.and_then(|known| known.asked_at);
        let unasked = asked_at.map(|at| until(at, self.now));
        if what.refuses(unasked) {
            retired.asked = unasked;
            return Ok(retired);
        }
        let deleted = self.run(
            "DELETE FROM handler WHERE endpoint = ?1 AND handler = ?2",
            (endpoint, handler),
        )?;
        self.routes.remove(endpoint, handler);
        retired.registered = deleted > 0;
        let limit = i64::try_from(max_jobs).unwrap_or(i64::MAX);
        let mut jobs = self.all(
            UNFINISHED,
            (endpoint, handler, limit.saturating_add(1)),
            |row| {
                Ok(Orphan {
                    seq: row.get(0)?,
                    state: JobState::from_name(row.get_ref(1)?.as_str()?).unwrap_or(JobState::Dead),
                    line: rows::maybe_text(row, 2)?,
                })
            },
        )?;
        retired.more = jobs.len() > max_jobs;
        jobs.truncate(max_jobs);
        let mut lines = BTreeSet::new();
        for job in jobs {
            self.run(
                "DELETE FROM job WHERE seq = ?1 AND handler = ?2",
                (job.seq, handler),
            )?;
            self.tally.job(&what.endpoint, &what.handler, job.state, -1);
            retired.jobs += 1;
            let left = self.run(LEFT_ALONE, [job.seq])?;
            if left > 0 {
                self.tally.event(EventState::Routed, -1);
                self.tally.event(EventState::Unhandled, 1);
                retired.unhandled += 1;
            }
            lines.extend(job.line);
        }
        // For the next step, or a handler that comes back between two.
        for line in lines {
            self.call_next(&what.endpoint, &what.handler, &line)?;
        }
        Ok(retired)
    }
}

/// Each part by an index of its own.
pub(super) const UNFINISHED: &str = "SELECT seq, state, line FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND due_at IS NOT NULL
    UNION ALL
    SELECT seq, state, line FROM job
    WHERE endpoint = ?1 AND handler = ?2 AND line IS NOT NULL AND state <> 'done'
        AND state = 'pending' AND due_at IS NULL
    UNION ALL
    SELECT seq, state, line FROM job
    WHERE state = 'dead' AND endpoint = ?1 AND handler = ?2
    LIMIT ?3";

const LEFT_ALONE: &str = "UPDATE event SET state = 'unhandled'
    WHERE seq = ?1 AND state = 'routed'
        AND NOT EXISTS (SELECT 1 FROM job WHERE job.seq = event.seq)
        AND NOT EXISTS (SELECT 1 FROM reply WHERE reply.seq = event.seq)";
