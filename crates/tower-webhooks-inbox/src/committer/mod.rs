//! Group commit: what waits shares one transaction.
//!
//! `request` is one thing asked for and its answer; each `task` gathers requests,
//! applies them and bisects a batch that fails on its data; `apart` does the same
//! within a delivery of several events and within a worker's request.

mod apart;
mod request;
mod task;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use self::request::{Answer, Request};
use crate::{
    Claim, Extend, Inbox, InboxError, InboxErrorKind, Inserted, Leased, NewEvent, RecordReply,
    Recorded, Registration, Reserve, Reserved, Settle, SettleResult,
};

/// A handle to the tasks that write to an inbox: as many as it has
/// [writers](Inbox::writers), most often one. Cheap to clone.
///
/// Whatever waits while a commit is made goes into the next one: one caller
/// waits for one commit, a thousand share a few. There is no timer. What one caller hands
/// over before another's answer has no order among several writers.
///
/// Intake (inserts and reservations) waits in a bounded queue and is refused
/// when that is full. Replies and a worker's requests are never refused for room,
/// because they finish what was let in; their callers bound them, by the
/// deliveries and jobs that they hold.
///
/// The tasks end when every handle is dropped or one is [closed](Self::close),
/// after they have applied what waits.
#[derive(Clone)]
pub struct Committer {
    intake: mpsc::Sender<Request>,
    rest: mpsc::UnboundedSender<Request>,
    wakeups: watch::Sender<u64>,
    closing: watch::Sender<bool>,
    running: watch::Receiver<()>,
}

impl Committer {
    /// Starts the tasks on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(inbox: Arc<dyn Inbox>, options: CommitterOptions) -> Self {
        let (intake, intake_queue) = mpsc::channel(options.max_queued_events);
        let (rest, rest_queue) = mpsc::unbounded_channel();
        let (wakeups, _) = watch::channel(0);
        let (closing, close) = watch::channel(false);
        let (alive, running) = watch::channel(());
        let alive = Arc::new(alive);
        let queues = Arc::new(Mutex::new(task::Queues {
            options,
            intake: intake_queue,
            rest: rest_queue,
            close,
            closing: false,
            held: None,
        }));
        for _ in 0..inbox.writers().get() {
            let task = task::Task {
                inbox: Arc::clone(&inbox),
                queues: Arc::clone(&queues),
                wakeups: wakeups.clone(),
            };
            let alive = Arc::clone(&alive);
            tokio::spawn(async move {
                task.run().await;
                drop(alive);
            });
        }
        tokio::spawn(pass_on(inbox, wakeups.clone(), running.clone()));
        Self {
            intake,
            rest,
            wakeups,
            closing,
            running,
        }
    }

    /// Hands over an event to store. Does not block: once this has returned `Ok`,
    /// the event is stored even if nobody waits for the answer.
    ///
    /// One that the store refuses as its data is stored as
    /// [unusable](Inserted::Unusable), with its bytes and headers and for the reason
    /// `refused-by-inbox`: its sender would send it again for ever, and in vain.
    ///
    /// `guard` is dropped when the event is applied or refused; a permit for its
    /// bytes, for example.
    ///
    /// # Errors
    ///
    /// `Full` when the queue is, `Closed` after [`close`](Self::close). The answer
    /// itself fails as [`Inbox::apply`] does; with `Data` where the store refuses
    /// also the bytes, or has such an event of the same body that came with other headers.
    pub fn insert(
        &self,
        event: NewEvent,
        guard: impl Send + 'static,
    ) -> Result<Pending<Inserted>, InboxError> {
        self.insert_then(event, move |_| drop(guard))
    }

    /// Like [`insert`](Self::insert); calls `stored` once the event is applied,
    /// whether or not anybody still waits for the answer. It is dropped uncalled
    /// when the event is refused. Keep it short: the next commit waits for it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_then(
        &self,
        event: NewEvent,
        stored: impl FnOnce(Inserted) + Send + 'static,
    ) -> Result<Pending<Inserted>, InboxError> {
        let stored = Box::new(stored);
        self.take_in(|answer| Request::Insert {
            event,
            stored,
            answer,
        })
    }

    /// Hands over the events of one delivery, which are stored in one transaction or not
    /// at all; otherwise like [`insert_then`](Self::insert_then), with an answer for each in
    /// their order. None at all are answered at once.
    ///
    /// Where the store refuses some of them as their data, they are stored in several
    /// transactions. Those that it refuses are unusable each by itself, as in
    /// [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert). After `Data`, or where the inbox went away between those
    /// transactions, the others are stored, and `stored` was called with them: sent again,
    /// they are duplicates.
    pub fn insert_all_then(
        &self,
        events: Vec<NewEvent>,
        stored: impl FnOnce(&[Inserted]) + Send + 'static,
    ) -> Result<Pending<Vec<Inserted>>, InboxError> {
        let stored = Box::new(stored);
        if events.is_empty() {
            let (answer, pending) = oneshot::channel();
            // Who waits holds the other end.
            let _ = answer.send(Ok(Vec::new()));
            return Ok(Pending(pending));
        }
        self.take_in(|answer| Request::InsertAll {
            events,
            stored,
            answer,
        })
    }

    /// Hands over an event whose reply is to be decided; like [`insert`](Self::insert),
    /// but that one which the store refuses is refused.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn reserve(
        &self,
        reserve: Reserve,
        guard: impl Send + 'static,
    ) -> Result<Pending<Reserved>, InboxError> {
        let guard = Box::new(guard);
        self.take_in(|answer| Request::Reserve {
            reserve,
            guard,
            answer,
        })
    }

    /// Records a decided reply. The reply may leave when the answer is
    /// [`Stored`](Recorded::Stored), not before.
    ///
    /// # Errors
    ///
    /// `Closed` after [`close`](Self::close). The answer itself fails as
    /// [`Inbox::apply`] does.
    pub fn record(&self, record: RecordReply) -> Result<Pending<Recorded>, InboxError> {
        self.finish(|answer| Request::Record { record, answer })
    }

    /// Settles, extends and claims jobs, in this order, in one transaction; in
    /// several where some of it fails on its data. A settle that cannot be stored
    /// is [refused](SettleResult::Refused) by itself.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record).
    pub fn work(
        &self,
        settles: Vec<Settle>,
        extends: Vec<Extend>,
        claim: Option<Claim>,
    ) -> Result<Pending<Worked>, InboxError> {
        self.finish(|answer| Request::Work {
            settles,
            extends,
            claim,
            answer,
        })
    }

    /// Registers handlers: every event whose insert is handed over after this
    /// has been answered makes jobs for them.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record).
    pub fn register(&self, registers: Vec<Registration>) -> Result<Pending<()>, InboxError> {
        self.finish(|answer| Request::Register { registers, answer })
    }

    /// Tells when jobs may have become due, from now on.
    #[must_use]
    pub fn wakeups(&self) -> Wakeups {
        Wakeups {
            count: self.wakeups.subscribe(),
            running: self.running.clone(),
        }
    }

    /// Wakes all [`Wakeups`]: after a replay, which does not come this way.
    pub fn wake(&self) {
        wake(&self.wakeups);
    }

    /// Refuses everything new, applies what waits, and stops the tasks. Returns
    /// when that is done, whichever handle asked for it first.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut running = self.running.clone();
        // An error says that the tasks are gone, which is what is waited for.
        while running.changed().await.is_ok() {}
    }

    fn take_in<T>(&self, ask: impl FnOnce(Answer<T>) -> Request) -> Result<Pending<T>, InboxError> {
        if *self.closing.borrow() {
            return Err(InboxError::closed());
        }
        let (answer, pending) = oneshot::channel();
        match self.intake.try_send(ask(answer)) {
            Ok(()) => Ok(Pending(pending)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(InboxError::closed()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(InboxError::new(
                InboxErrorKind::Full,
                "too many events wait to be stored",
            )),
        }
    }

    fn finish<T>(&self, ask: impl FnOnce(Answer<T>) -> Request) -> Result<Pending<T>, InboxError> {
        if *self.closing.borrow() {
            return Err(InboxError::closed());
        }
        let (answer, pending) = oneshot::channel();
        match self.rest.send(ask(answer)) {
            Ok(()) => Ok(Pending(pending)),
            Err(_) => Err(InboxError::closed()),
        }
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("free_events", &self.intake.capacity())
            .field("closed", &*self.closing.borrow())
            .finish_non_exhaustive()
    }
}

fn wake(wakeups: &watch::Sender<u64>) {
    wakeups.send_modify(|count| *count = count.wrapping_add(1));
}

/// Wakes workers for what other processes did, until the committer stops.
async fn pass_on(
    inbox: Arc<dyn Inbox>,
    wakeups: watch::Sender<u64>,
    mut running: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            biased;
            _ = running.changed() => return,
            () = inbox.changed() => wake(&wakeups),
        }
    }
}

/// How large a batch and the queue before it may grow.
#[derive(Debug, Clone, Copy)]
pub struct CommitterOptions {
    max_batch_bytes: usize,
    max_batch_events: usize,
    max_queued_events: usize,
}

impl CommitterOptions {
    /// The defaults: batches of 1 024 events or 4 MiB each, which one commit of an
    /// ordinary disk carries in a few milliseconds, and a queue of 4 096 events.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_batch_bytes: 4 * 1024 * 1024,
            max_batch_events: 1024,
            max_queued_events: 4096,
        }
    }

    /// Closes a batch once its headers and bodies have this many bytes; the event
    /// that reaches it is the last one in.
    #[must_use]
    pub fn with_max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// Closes a batch once it has this many events; zero counts as one. Those of one
    /// delivery stay together.
    #[must_use]
    pub fn with_max_batch_events(mut self, events: usize) -> Self {
        self.max_batch_events = events.max(1);
        self
    }

    /// Refuses intake while this many events wait; zero counts as one.
    #[must_use]
    pub fn with_max_queued_events(mut self, events: usize) -> Self {
        self.max_queued_events = events.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// An answer to come. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "the answer comes only when it is awaited"]
pub struct Pending<T>(oneshot::Receiver<Result<T, InboxError>>);

impl<T> Future for Pending<T> {
    type Output = Result<T, InboxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err(InboxError::closed())))
    }
}

/// What a worker's request did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Worked {
    /// For each settle, whether it counts.
    pub settles: Vec<SettleResult>,
    /// For each extension, whether the lease was still the caller's.
    pub extends: Vec<bool>,
    /// The jobs leased.
    pub claimed: Vec<Leased>,
}

/// Tells when jobs may have become due. A hint: a wake-up may find nothing, and
/// jobs stored by another process need make none, so a worker also sleeps no longer
/// than [`Inbox::next_due`] says.
#[derive(Debug)]
pub struct Wakeups {
    count: watch::Receiver<u64>,
    running: watch::Receiver<()>,
}

impl Wakeups {
    /// Waits for the next hint; returns at once if there was one since the last
    /// call. `false` when the committer has stopped and there will be no more.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            changed = self.count.changed() => changed.is_ok(),
            // Never sent on: it only ends, with the task.
            _ = self.running.changed() => false,
        }
    }
}
