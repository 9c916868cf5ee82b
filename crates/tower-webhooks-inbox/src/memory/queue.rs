//! One handler's jobs, so that a claim looks only at what it takes.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tower_webhooks_core::Text;

use super::lines::{Line, LineName};
use crate::{EventSeq, JobRecord, JobState, Ordering, Registration};

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) registration: Option<Registration>,
    /// Pending jobs, those that are due or will be and those that wait for an
    /// earlier one.
    pending: BTreeSet<EventSeq>,
    /// Pending jobs by due time.
    due: BTreeSet<(Duration, EventSeq)>,
    /// Running jobs by the end of their lease.
    leased: BTreeSet<(Duration, EventSeq)>,
    lines: HashMap<LineName, Line>,
    pub(super) done: u64,
    pub(super) dead: u64,
    /// When a worker last asked for jobs.
    pub(super) asked_at: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) handler: Text,
    state: JobState,
    /// When it is due, or its lease ends. `None` while it waits for its turn.
    at: Option<Duration>,
    line: Option<LineName>,
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
            due_in: self
                .at
                .filter(|_| !self.is_finished())
                .map(|at| at.saturating_sub(now)),
            worker: self.worker.clone(),
            last_error: self.last_error.clone(),
        }
    }
}

impl Queue {
    /// Takes the handler's registration, or its new one. Returns the waiting jobs
    /// whose turn it is because they are ordered otherwise now: call them.
    #[must_use]
    pub(super) fn register(&mut self, registration: Registration) -> Vec<EventSeq> {
        let before = self.ordering();
        let ordering = registration.ordering;
        self.registration = Some(registration);
        if ordering == before {
            return Vec::new();
        }
        match ordering {
            Ordering::Block => Vec::new(),
            Ordering::None => {
                let lines = std::mem::take(&mut self.lines);
                lines.into_values().flat_map(Line::disband).collect()
            }
            Ordering::Skip => {
                let names: Vec<LineName> = self.lines.keys().cloned().collect();
                names.iter().filter_map(|name| self.next_of(name)).collect()
            }
        }
    }

    /// Makes a job that is due now, or waits for its turn.
    pub(super) fn add(
        &mut self,
        seq: EventSeq,
        handler: Text,
        line: Option<LineName>,
        now: Duration,
    ) -> Job {
        let mut job = Job {
            handler,
            state: JobState::Pending,
            at: None,
            line: line.filter(|_| self.ordering() != Ordering::None),
            attempts: 0,
            earlier_attempts: 0,
            token: 0,
            worker: None,
            last_error: None,
        };
        self.enter(seq, &mut job, JobState::Pending, now);
        job
    }

    /// Moves a job to another state; `at` is when it is due or its lease ends. A
    /// pending job only gets it when it is its turn. Returns whose turn it is now,
    /// if it is another's: [`call`](Self::call) that one.
    #[must_use]
    pub(super) fn put(
        &mut self,
        seq: EventSeq,
        job: &mut Job,
        state: JobState,
        at: Duration,
    ) -> Option<EventSeq> {
        self.leave(seq, job);
        self.enter(seq, job, state, at);
        let name = job.line.clone()?;
        self.next_of(&name)
    }

    /// Takes a job out of its line, for good.
    #[must_use]
    pub(super) fn leave_line(&mut self, seq: EventSeq, job: &mut Job) -> Option<EventSeq> {
        let name = job.line.take()?;
        self.lines.get_mut(&name)?.leave(seq);
        self.next_of(&name)
    }

    /// Gives a waiting job its turn.
    pub(super) fn call(&mut self, seq: EventSeq, job: &mut Job, now: Duration) {
        self.due.insert((now, seq));
        job.at = Some(now);
    }

    /// Takes a job out of all counts.
    pub(super) fn forget(&mut self, seq: EventSeq, job: &Job) {
        self.leave(seq, job);
        if let Some(name) = &job.line
            && let Some(line) = self.lines.get_mut(name)
        {
            line.leave(seq);
            if line.is_empty() {
                self.lines.remove(name);
            }
        }
    }

    fn enter(&mut self, seq: EventSeq, job: &mut Job, state: JobState, at: Duration) {
        let ordering = self.ordering();
        let line = job
            .line
            .clone()
            .map(|name| self.lines.entry(name).or_default());
        let turn = line.is_none_or(|line| line.enter(seq, state, ordering));
        job.state = state;
        job.at = turn.then_some(at);
        match state {
            JobState::Dead => self.dead += 1,
            JobState::Done => self.done += 1,
            JobState::Pending => {
                self.pending.insert(seq);
                if turn {
                    self.due.insert((at, seq));
                }
            }
            JobState::Running => {
                self.leased.insert((at, seq));
            }
        }
    }

    fn leave(&mut self, seq: EventSeq, job: &Job) {
        let at = job.at.unwrap_or_default();
        match job.state {
            JobState::Dead => self.dead -= 1,
            JobState::Done => self.done -= 1,
            JobState::Pending => {
                self.pending.remove(&seq);
                self.due.remove(&(at, seq));
            }
            JobState::Running => {
                self.leased.remove(&(at, seq));
            }
        }
    }

    /// Whose turn it is now, if nobody had it.
    fn next_of(&mut self, name: &LineName) -> Option<EventSeq> {
        let ordering = self.ordering();
        let line = self.lines.get_mut(name)?;
        let next = line.next(ordering);
        if line.is_empty() {
            self.lines.remove(name);
        }
        next
    }

    fn ordering(&self) -> Ordering {
        self.registration
            .as_ref()
            .map_or(Ordering::None, |one| one.ordering)
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
        self.pending.len()
    }

    pub(super) fn running(&self) -> usize {
        self.leased.len()
    }

    /// The oldest event with a pending job.
    pub(super) fn oldest_pending(&self) -> Option<EventSeq> {
        self.pending.first().copied()
    }
}
