//! One handler's jobs, so that a claim looks only at what it takes.

use std::{collections::BTreeSet, time::Duration};

use tower_webhooks_core::Text;

use crate::{EventSeq, JobRecord, JobState, Registration};

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) registration: Option<Registration>,
    /// Pending jobs by due time.
    due: BTreeSet<(Duration, EventSeq)>,
    /// Running jobs by the end of their lease.
    leased: BTreeSet<(Duration, EventSeq)>,
    pub(super) done: u64,
    pub(super) dead: u64,
    /// When a worker last asked for jobs.
    pub(super) asked_at: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) handler: Text,
    state: JobState,
    /// When it is due, or its lease ends.
    at: Duration,
    pub(super) attempts: u32,
    pub(super) earlier_attempts: u32,
    /// Of its last claim; counts while it is running.
    pub(super) token: u64,
    pub(super) worker: Option<Text>,
    pub(super) last_error: Option<Text>,
}

impl Job {
    pub(super) fn state(&self) -> JobState {
        self.state
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, JobState::Dead | JobState::Done)
    }

    pub(super) fn record(&self, now: Duration) -> JobRecord {
        JobRecord {
            handler: self.handler.clone(),
            state: self.state,
            attempts: self.attempts,
            earlier_attempts: self.earlier_attempts,
            due_in: (!self.is_finished()).then(|| self.at.saturating_sub(now)),
            worker: self.worker.clone(),
            last_error: self.last_error.clone(),
        }
    }
}

impl Queue {
    /// Makes a job that is due now.
    pub(super) fn add(&mut self, seq: EventSeq, handler: Text, now: Duration) -> Job {
        self.due.insert((now, seq));
        Job {
            handler,
            state: JobState::Pending,
            at: now,
            attempts: 0,
            earlier_attempts: 0,
            token: 0,
            worker: None,
            last_error: None,
        }
    }

    /// Moves a job to another state; `at` is when it is due or its lease ends.
    pub(super) fn put(&mut self, seq: EventSeq, job: &mut Job, state: JobState, at: Duration) {
        self.forget(seq, job);
        match state {
            JobState::Dead => self.dead += 1,
            JobState::Done => self.done += 1,
            JobState::Pending => {
                self.due.insert((at, seq));
            }
            JobState::Running => {
                self.leased.insert((at, seq));
            }
        }
        job.state = state;
        job.at = at;
    }

    /// Takes a job out of all counts.
    pub(super) fn forget(&mut self, seq: EventSeq, job: &Job) {
        match job.state {
            JobState::Dead => self.dead -= 1,
            JobState::Done => self.done -= 1,
            JobState::Pending => {
                self.due.remove(&(job.at, seq));
            }
            JobState::Running => {
                self.leased.remove(&(job.at, seq));
            }
        }
    }

    /// The job that can be claimed first, and since when or from when on.
    pub(super) fn next(&self) -> Option<(Duration, EventSeq)> {
        self.due
            .first()
            .into_iter()
            .chain(self.leased.first())
            .min()
            .copied()
    }

    pub(super) fn pending(&self) -> usize {
        self.due.len()
    }

    pub(super) fn running(&self) -> usize {
        self.leased.len()
    }

    /// The oldest event with a pending job. Looks at all of them.
    pub(super) fn oldest_pending(&self) -> Option<EventSeq> {
        self.due.iter().map(|(_, seq)| *seq).min()
    }
}
