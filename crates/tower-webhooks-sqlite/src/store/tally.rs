//! Counts of events and jobs by state, gathered over a transaction and written
//! once at its end.

use std::collections::BTreeMap;

use rusqlite::Connection;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{EventState, JobState};

#[derive(Debug, Default)]
pub(super) struct Tally {
    events: BTreeMap<EventState, i64>,
    jobs: BTreeMap<(Text, Text, JobState), i64>,
}

impl Tally {
    pub(super) fn event(&mut self, state: EventState, by: i64) {
        *self.events.entry(state).or_default() += by;
    }

    pub(super) fn job(&mut self, endpoint: &Text, handler: &Text, state: JobState, by: i64) {
        let key = (endpoint.clone(), handler.clone(), state);
        *self.jobs.entry(key).or_default() += by;
    }

    /// So many running jobs are pending again.
    pub(super) fn move_jobs(&mut self, endpoint: &str, handler: &str, jobs: i64) {
        let (endpoint, handler) = (Text::from(endpoint), Text::from(handler));
        self.job(&endpoint, &handler, JobState::Running, -jobs);
        self.job(&endpoint, &handler, JobState::Pending, jobs);
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (state, by) in self.events.iter().filter(|(_, by)| **by != 0) {
            connection
                .prepare_cached(
                    "INSERT INTO event_count (state, events) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET events = events + excluded.events",
                )?
                .execute((state.as_str(), by))?;
        }
        for ((endpoint, handler, state), by) in self.jobs.iter().filter(|(_, by)| **by != 0) {
            connection
                .prepare_cached(
                    "INSERT INTO job_count (endpoint, handler, state, jobs) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs",
                )?
                .execute((endpoint.as_str(), handler.as_str(), state.as_str(), by))?;
        }
        Ok(())
    }
}
