//! The inbox in memory.
//!
//! `events` stores and matches; `queue` holds one handler's jobs by due time;
//! `jobs` claims and settles; `lines` keeps the jobs of one ordering key in a row;
//! `replies` reserves and records; `room` counts bytes and forgets; `operate` lists,
//! replays, prunes and erases; `retire` takes a handler out.

mod events;
mod jobs;
mod lines;
mod operate;
mod queue;
mod replies;
mod retire;
mod room;

use std::{
    fmt,
    future::ready,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tower_webhooks_core::{Clock, Text};

use self::events::State;
use crate::{
    Applied, Batch, BoxFuture, Durability, Erase, EventRecord, EventSeq, Filter, Inbox, InboxError,
    Listing, Page, Pruned, Replayed, Retention, Retire, Retired, Selection, Stats, Want,
};

/// An inbox that lives as long as the process. **A crash loses what it holds**:
/// events whose sender has heard 200, and every key, so that a redelivery after
/// a restart runs its handlers again. For tests, for trying out, and for events
/// that may be lost.
///
/// It matches, leases and replays like the durable stores. To stay bounded:
///
/// * An event whose jobs are all done loses its body and headers at once, so it
///   cannot be replayed.
/// * Unfinished events count with body, headers and 512 bytes each; beyond the
///   limit (64 MiB) intake fails as `Full`, which the sender hears as 503.
/// * Dead, unhandled, unusable and conflicting events keep their bodies only
///   while there is room.
/// * Beyond 100 000 events without unfinished jobs, the oldest is forgotten: a
///   redelivery of it is a new event. They take about half a KiB each.
///
/// Work to commit with a completion is refused: there is no transaction to join.
///
/// Clones share the inbox.
#[derive(Clone)]
pub struct MemoryInbox {
    shared: Arc<Shared>,
}

struct Shared {
    time: Time,
    state: Mutex<State>,
}

/// Time since the inbox was made. Monotonic, so that a clock that is set back
/// prolongs no lease; except with a clock that was handed in.
#[derive(Clone)]
enum Time {
    Clock(Arc<dyn Clock>, SystemTime),
    Monotonic(Instant),
}

impl MemoryInbox {
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Time::Monotonic(Instant::now()), State::default())
    }

    /// Tells due times and leases by this clock, in place of the operating
    /// system's monotonic one.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        let start = clock.now();
        let state = std::mem::take(&mut *self.lock());
        Self::with(Time::Clock(Arc::new(clock), start), state)
    }

    /// Refuses intake when unfinished events take this many bytes. Default 64 MiB.
    #[must_use]
    pub fn with_max_body_bytes(self, bytes: usize) -> Self {
        self.lock().set_max_bytes(bytes);
        self
    }

    /// Keeps the keys of at most this many events without unfinished jobs. Default 100 000.
    #[must_use]
    pub fn with_max_finished_events(self, events: NonZeroUsize) -> Self {
        self.lock().set_max_finished(events);
        self
    }

    /// How many jobs are not finished: what is lost if the process ends now.
    #[must_use]
    pub fn pending_jobs(&self) -> usize {
        self.lock().unfinished_jobs()
    }

    fn with(time: Time, state: State) -> Self {
        Self {
            shared: Arc::new(Shared {
                time,
                state: Mutex::new(state),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock leaves the state half changed by a panic
        // other than a failed allocation, which ends the process.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        match &self.shared.time {
            Time::Clock(clock, start) => clock.now().duration_since(*start).unwrap_or_default(),
            Time::Monotonic(start) => start.elapsed(),
        }
    }
}

impl Inbox for MemoryInbox {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        let now = self.now();
        Box::pin(ready(self.lock().apply(batch, now)))
    }

    fn next_due<'a>(
        &'a self,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Option<Duration>, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().next_due(wants, now))))
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().list(filter, page, now))))
    }

    fn get(&self, seq: EventSeq) -> BoxFuture<'_, Result<Option<EventRecord>, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().get(seq, now))))
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().stats(now))))
    }

    fn replay<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Replayed, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().replay(selection, now))))
    }

    fn prune<'a>(
        &'a self,
        retention: &'a Retention,
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Pruned, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().prune(retention, max_rows, now))))
    }

    fn retire<'a>(
        &'a self,
        what: &'a Retire,
        max_jobs: usize,
    ) -> BoxFuture<'a, Result<Retired, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().retire(what, max_jobs, now))))
    }

    fn erase<'a>(&'a self, what: &'a Erase) -> BoxFuture<'a, Result<u64, InboxError>> {
        let now = self.now();
        Box::pin(ready(Ok(self.lock().erase(what, now))))
    }

    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>> {
        let description = Text::from_static("in memory: a crash loses what it holds");
        Box::pin(ready(Ok(Durability::new(false, description))))
    }
}

impl Default for MemoryInbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryInbox")
            .field("pending_jobs", &self.pending_jobs())
            .finish_non_exhaustive()
    }
}
