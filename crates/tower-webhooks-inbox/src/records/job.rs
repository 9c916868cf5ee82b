//! One event for one handler: claimed, extended, settled.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_webhooks_core::Text;

use super::{EventSeq, StoredEvent};

/// Names one job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The event.
    pub seq: EventSeq,
    /// The handler's durable name.
    pub handler: Text,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It will not run again by itself.
    Dead,
    /// Its handler succeeded.
    Done,
    /// It waits until it is due.
    Pending,
    /// A worker has leased it.
    Running,
}

/// A job as people look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRecord {
    /// The handler's durable name.
    pub handler: Text,
    /// How far it has come.
    pub state: JobState,
    /// Attempts begun since it was made or last replayed.
    pub attempts: u32,
    /// Attempts begun before it was last replayed.
    pub earlier_attempts: u32,
    /// Pending: how long until it is due. Running: how long its lease still
    /// lasts. Zero when that is past, `None` when it is finished or waits for an
    /// earlier job of its ordering key.
    pub due_in: Option<Duration>,
    /// The worker that claimed it last.
    pub worker: Option<Text>,
    /// What its last failed attempt said.
    pub last_error: Option<Text>,
}

impl JobRecord {
    /// A handler's job in this state, of which nothing else is known.
    #[must_use]
    pub fn new(handler: impl Into<Text>, state: JobState) -> Self {
        Self {
            handler: handler.into(),
            state,
            attempts: 0,
            earlier_attempts: 0,
            due_in: None,
            worker: None,
            last_error: None,
        }
    }
}

/// How much later a job comes back whose worker vanished in the middle of it, so
/// that its lease ended: by a random part of this. `attempts` is how many have begun.
///
/// `None` for the first time, which says nothing about the job: it is due at once.
/// From then on 250 ms, doubled with each attempt up to 17 min.
///
/// ```
/// use std::time::Duration;
/// use tower_webhooks_inbox::put_off;
///
/// assert_eq!(put_off(1), None);
/// assert_eq!(put_off(2), Some(Duration::from_millis(250)));
/// assert_eq!(put_off(4), Some(Duration::from_secs(1)));
/// assert_eq!(put_off(u32::MAX), Some(Duration::from_secs(1_024)));
/// ```
#[must_use]
pub fn put_off(attempts: u32) -> Option<Duration> {
    let doubled = attempts.checked_sub(2)?.min(12);
    Some(Duration::from_millis(250 << doubled))
}

/// A worker's wish for jobs.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who claims; shown to people, decides nothing.
    pub worker: Text,
    /// The handlers that can start jobs now.
    pub wants: Vec<Want>,
    /// How long the leases last unless extended; more than zero.
    pub lease: Duration,
}

/// One handler's free slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The endpoint.
    pub endpoint: Text,
    /// The handler's durable name.
    pub handler: Text,
    /// How many jobs it can start now. It is never given more. Zero only says
    /// that a worker has the handler.
    pub free: usize,
}

/// A job given to a worker for a while.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Leased {
    /// The event, with its body.
    pub event: Arc<StoredEvent>,
    /// The handler's durable name.
    pub handler: Text,
    /// Which attempt this is, from 1. Counted when it is claimed, so that a
    /// handler that kills the process still runs out of attempts.
    pub attempt: u32,
    /// Fences the lease: greater than every earlier token of this job.
    pub token: u64,
    /// How long the lease lasts from the moment of the claim.
    pub lease: Duration,
}

impl Leased {
    /// Attempt number `attempt` of a job, fenced by `token`, for as long as `lease`.
    #[must_use]
    pub fn new(
        event: Arc<StoredEvent>,
        handler: impl Into<Text>,
        attempt: u32,
        token: u64,
        lease: Duration,
    ) -> Self {
        Self {
            event,
            handler: handler.into(),
            attempt,
            token,
            lease,
        }
    }

    /// The job's name.
    #[must_use]
    pub fn key(&self) -> JobKey {
        JobKey {
            seq: self.event.seq,
            handler: self.handler.clone(),
        }
    }
}

/// Asks for a lease to end later.
#[derive(Debug, Clone)]
pub struct Extend {
    /// The job.
    pub key: JobKey,
    /// The token it was leased with.
    pub token: u64,
    /// The lease ends this long from now.
    pub by: Duration,
}

/// Ends a lease.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The job.
    pub key: JobKey,
    /// The token it was leased with.
    pub token: u64,
    /// What becomes of the job.
    pub outcome: Settlement,
    /// Work to commit together with it.
    pub work: Option<Work>,
}

/// What becomes of a job whose lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It will not run again by itself.
    Dead {
        /// Why.
        error: Text,
    },
    /// It succeeded.
    Done,
    /// It is given back as if it had not been claimed: due now, and the attempt
    /// does not count.
    Release,
    /// It runs again later.
    Retry {
        /// How long until it is due.
        after: Duration,
        /// Why.
        error: Text,
    },
}

/// What a settle did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SettleResult {
    /// The job is in use by a transaction that has not ended: a claim of another worker's that
    /// came too late, or a handler's commit that was given up. The store does not wait for it,
    /// and nothing was changed. Settle it again a moment later.
    Busy,
    /// The token is not the job's current one: another worker has the job, or
    /// it is settled. Nothing was changed, no work was committed.
    LeaseLost,
    /// The store cannot keep this settle, for this reason: nothing was changed, and
    /// the job is still leased. The [`Committer`](crate::Committer) answers so for
    /// a settle that a store refuses as `Data`; a store itself never does.
    Refused(Text),
    /// The job is settled and its work committed.
    Settled,
    /// The work was not committed, for this reason, and the job is still
    /// leased: settle it as failed.
    WorkRefused(Text),
}

/// Work that a store commits in the same transaction as the job's completion,
/// such as statements on its own connection. Each store says which type it
/// knows and refuses every other.
///
/// Clones share the one piece of work: who takes it first has it, until it is
/// given back.
///
/// ```
/// use tower_webhooks_inbox::Work;
///
/// let work = Work::new(String::from("insert into paid …"));
/// assert_eq!(work.take::<u32>(), None);
/// assert_eq!(work.clone().take::<String>().as_deref(), Some("insert into paid …"));
/// assert_eq!(work.take::<String>(), None);
///
/// work.give_back(String::from("insert into paid …"));
/// assert!(!work.is_taken());
/// ```
#[derive(Clone)]
pub struct Work(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Work {
    /// Wraps work of a type that the store knows.
    #[must_use]
    pub fn new<T: Any + Send>(work: T) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(work)))))
    }

    /// Takes the work if it is a `T` and was not taken before.
    #[must_use]
    pub fn take<T: Any + Send>(&self) -> Option<T> {
        let mut held = self.held();
        match held.take()?.downcast() {
            Ok(work) => Some(*work),
            Err(other) => {
                *held = Some(other);
                None
            }
        }
    }

    /// Puts work that was taken back, or other work in its place.
    pub fn give_back<T: Any + Send>(&self, work: T) {
        let before = self.held().replace(Box::new(work));
        // Dropped here, when the lock is no longer held: it may do anything.
        drop(before);
    }

    /// Whether somebody has taken the work and not given it back.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.held().is_none()
    }

    fn held(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}
