//! An inbox that ends its process at a named point.

use std::{
    fmt,
    process::abort,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::sleep;
use tower_webhooks::{Inbox, sqlite::SqliteWork};
use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, InboxError, Reserved, Settle, Settlement, forward_inbox,
};

/// A point on an event's way where a process can be made to end, as seen from
/// the inbox. *Within* is inside the transaction: its statements up to a
/// handler's work have run, its `COMMIT` has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPoint {
    /// Events were received, none of the batch is stored.
    IntakeBeforeCommit,
    /// Their rows are written, the transaction is open.
    IntakeWithinCommit,
    /// They are durable, nobody has been answered.
    IntakeAfterCommit,
    /// A reply is reserved, its handler has not been asked.
    ReplyReserved,
    /// The handler has decided, the reply is not recorded.
    ReplyDecided,
    /// The reply's row is written, the transaction is open.
    ReplyWithinCommit,
    /// The reply is durable, nobody has been answered.
    ReplyRecorded,
    /// Handlers have ended, neither their work nor their jobs' end is stored.
    SettleBeforeCommit,
    /// The rows of some are written, the transaction is open.
    SettleWithinCommit,
    /// All of it is durable, the worker has not been told.
    SettleAfterCommit,
}

impl FailPoint {
    /// Every point, by the name that it is armed with.
    pub const NAMES: [(&str, Self); 10] = [
        ("intake-before-commit", Self::IntakeBeforeCommit),
        ("intake-within-commit", Self::IntakeWithinCommit),
        ("intake-after-commit", Self::IntakeAfterCommit),
        ("reply-reserved", Self::ReplyReserved),
        ("reply-decided", Self::ReplyDecided),
        ("reply-within-commit", Self::ReplyWithinCommit),
        ("reply-recorded", Self::ReplyRecorded),
        ("settle-before-commit", Self::SettleBeforeCommit),
        ("settle-within-commit", Self::SettleWithinCommit),
        ("settle-after-commit", Self::SettleAfterCommit),
    ];

    /// Whether the batch is at this point before it is applied.
    fn is_before(self, batch: &Batch) -> bool {
        match self {
            Self::IntakeBeforeCommit => has_intake(batch),
            Self::ReplyDecided => !batch.replies.is_empty(),
            Self::SettleBeforeCommit => !batch.settles.is_empty(),
            _ => false,
        }
    }

    /// Whether the batch comes to this point when its last handler's work is run.
    fn is_within(self, batch: &Batch) -> bool {
        match self {
            Self::IntakeWithinCommit => has_intake(batch),
            Self::ReplyWithinCommit => !batch.replies.is_empty(),
            // More than one, so that the work of another is done.
            Self::SettleWithinCommit => batch.settles.len() > 1,
            _ => false,
        }
    }

    /// Whether a batch comes here only when a handler's work is among it.
    fn needs_work(self) -> bool {
        matches!(
            self,
            Self::IntakeWithinCommit | Self::ReplyWithinCommit | Self::SettleWithinCommit
        )
    }

    /// Whether what was applied has come to this point.
    fn is_after(self, applied: &Applied) -> bool {
        match self {
            Self::IntakeAfterCommit => !applied.inserts.is_empty() || !applied.reserves.is_empty(),
            Self::ReplyReserved => applied
                .reserves
                .iter()
                .any(|reserved| matches!(reserved, Reserved::New { .. })),
            Self::ReplyRecorded => !applied.replies.is_empty(),
            Self::SettleAfterCommit => !applied.settles.is_empty(),
            _ => false,
        }
    }
}

impl FromStr for FailPoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::NAMES
            .iter()
            .find_map(|(known, point)| (*known == name).then_some(*point))
            .ok_or_else(|| format!("no fail-point is called {name}"))
    }
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter();
        let name = names.find_map(|(name, point)| (point == self).then_some(*name));
        f.pad(name.unwrap_or("unnamed"))
    }
}

/// What a disk so fast that events and the end of handlers never share a batch
/// is slowed down by, where a point needs both in one.
const SLOWED: Duration = Duration::from_millis(4);

/// An inbox that ends its process when the armed point is passed for the n-th
/// time: by an abort, so that no destructor runs and no buffer is written, as
/// with SIGKILL.
#[derive(Debug)]
pub struct AbortingInbox<I> {
    inbox: I,
    armed: Option<(FailPoint, Passes)>,
}

/// How often the point may still be passed, that time included.
#[derive(Debug)]
struct Passes(AtomicU64);

impl Passes {
    /// Counts one; whether it is the last.
    fn is_last(&self) -> bool {
        let count = |left: u64| Some(left.saturating_sub(1));
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        left.is_ok_and(|left| left <= 1)
    }
}

impl<I: Inbox> AbortingInbox<I> {
    /// An inbox in front of this one; `armed` says where it ends the process,
    /// and at which time, from 1.
    pub fn new(inbox: I, armed: Option<(FailPoint, u64)>) -> Self {
        Self {
            inbox,
            armed: armed.map(|(point, nth)| (point, Passes(AtomicU64::new(nth)))),
        }
    }
}

impl<I: Inbox> Inbox for AbortingInbox<I> {
    fn apply(&self, mut batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        let Some((point, passes)) = &self.armed else {
            return self.inbox.apply(batch);
        };
        if point.is_before(&batch) && passes.is_last() {
            abort();
        }
        if point.is_within(&batch)
            && let Some(last) = last_done(&mut batch)
            && passes.is_last()
        {
            last.work = Some(SqliteWork::new(|_| -> Result<(), InboxError> { abort() }).into());
        }
        Box::pin(async move {
            if point.needs_work() {
                sleep(SLOWED).await;
            }
            let applied = self.inbox.apply(batch).await?;
            if point.is_after(&applied) && passes.is_last() {
                abort();
            }
            Ok(applied)
        })
    }

    forward_inbox!(self => self.inbox; writers begin settle_apart changed next_due list get stats replay
        prune retire erase check);
}

fn has_intake(batch: &Batch) -> bool {
    !batch.inserts.is_empty() || !batch.reserves.is_empty()
}

/// The job whose work runs last: everything else in the batch but its leases has
/// been done by then.
fn last_done(batch: &mut Batch) -> Option<&mut Settle> {
    let mut settles = batch.settles.iter_mut();
    settles.rfind(|settle| settle.outcome == Settlement::Done)
}
