//! The worker over the inbox in memory, in tokio's paused time.

mod drain;
mod fairness;
mod leases;
mod measures;
mod outcomes;
mod transactions;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};
use tower_webhooks_core::{Clock, Text};
use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, Committer, CommitterOptions, Durability, EventSeq, Inbox,
    InboxError, InboxErrorKind, JobRecord, JobState, MemoryInbox, NewEvent, Settle, SettleResult,
    Settlement, Work, forward_inbox,
};

use self::transactions::Writes;
use super::{HandledEndpoint, Worker};
use crate::{EventRouter, fixtures};

/// Shows tokio's time, which tests turn.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.elapsed()
    }
}

/// The inbox in memory, which can say that it is durable, be away, and commit
/// what handlers write.
#[derive(Debug)]
struct Store {
    inner: MemoryInbox,
    durable: bool,
    away: AtomicBool,
    claims: AtomicUsize,
    /// What handlers wrote in transactions that were committed.
    written: Log,
    /// How transactions ended.
    apart: Mutex<Vec<SettleResult>>,
    /// Another process made jobs due.
    elsewhere: Notify,
    /// What no error that it stores may hold.
    forbidden: Mutex<Option<&'static str>>,
    refused: AtomicUsize,
    /// How often a job is in use when it is settled.
    busy: AtomicUsize,
}

impl Inbox for Store {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        if self.away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(InboxError::new(InboxErrorKind::Unavailable, "away")) });
        }
        let forbidden = *self.forbidden.lock().unwrap();
        let is_bad = |settle: &Settle| match (&settle.outcome, forbidden) {
            (Settlement::Dead { error } | Settlement::Retry { error, .. }, Some(word)) => {
                error.contains(word)
            }
            _ => false,
        };
        if batch.settles.iter().any(is_bad) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err(InboxError::new(InboxErrorKind::Data, "forbidden")) });
        }
        if batch.claim.is_some() {
            self.claims.fetch_add(1, Ordering::SeqCst);
        }
        let one_less = |left: usize| left.checked_sub(1);
        let settles = !batch.settles.is_empty();
        if settles
            && self
                .busy
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
        {
            return Box::pin(async move {
                let settles = vec![SettleResult::Busy; batch.settles.len()];
                let rest = Batch {
                    settles: vec![],
                    ..batch
                };
                let mut applied = self.inner.apply(rest).await?;
                applied.settles = settles;
                Ok(applied)
            });
        }
        self.inner.apply(batch)
    }

    fn begin(&self) -> BoxFuture<'_, Result<Option<Work>, InboxError>> {
        Box::pin(async { Ok(Some(Work::new(Writes::default()))) })
    }

    fn settle_apart(&self, settle: Settle) -> BoxFuture<'_, Result<SettleResult, InboxError>> {
        Box::pin(async move {
            let Writes(written) = settle.work.as_ref().and_then(Work::take).unwrap();
            if written.iter().any(|line| line == "refuse") {
                return Ok(SettleResult::WorkRefused("a constraint".into()));
            }
            let batch = Batch {
                settles: vec![Settle {
                    work: None,
                    ..settle
                }],
                ..Batch::default()
            };
            let result = self.inner.apply(batch).await?.settles.remove(0);
            if result == SettleResult::Settled {
                written.into_iter().for_each(|line| self.written.note(line));
            }
            self.apart.lock().unwrap().push(result.clone());
            Ok(result)
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.elsewhere.notified())
    }

    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>> {
        Box::pin(async { Ok(Durability::new(self.durable, "for tests")) })
    }

    forward_inbox!(self => self.inner; writers next_due list get stats replay prune retire erase);
}

/// One endpoint, `shop`, over a store.
struct Shop {
    store: Arc<Store>,
    committer: Committer,
}

impl Shop {
    fn open(durable: bool) -> Self {
        Self::over(durable, TokioClock(Instant::now()))
    }

    fn over(durable: bool, clock: impl Clock) -> Self {
        let store = Arc::new(Store {
            inner: MemoryInbox::new().with_clock(clock),
            durable,
            away: AtomicBool::new(false),
            claims: AtomicUsize::new(0),
            written: Log::default(),
            apart: Mutex::default(),
            elsewhere: Notify::new(),
            forbidden: Mutex::default(),
            refused: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        });
        let committer = Committer::start(store.clone(), CommitterOptions::new());
        Self { store, committer }
    }

    fn durable() -> Self {
        Self::open(true)
    }

    fn worker(&self, events: EventRouter) -> Worker {
        let shop = HandledEndpoint::new("shop", fixtures::provider(), events).unwrap();
        Worker::new(self.committer.clone(), self.store.clone(), [shop]).unwrap()
    }

    async fn receive(&self, event_type: &str, id: &str, data: &str) -> EventSeq {
        let body = fixtures::body(event_type, id, data);
        let mut event = NewEvent::new("shop", body, SystemTime::UNIX_EPOCH);
        event.id = Some(Text::from(id));
        event.event_type = Some(Text::from(event_type));
        self.committer
            .insert(event, ())
            .unwrap()
            .await
            .unwrap()
            .seq()
    }

    fn set_away(&self, away: bool) {
        self.store.away.store(away, Ordering::SeqCst);
    }

    async fn job(&self, seq: EventSeq, handler: &str) -> JobRecord {
        let record = self.store.get(seq).await.unwrap().unwrap();
        let job = record.jobs.into_iter().find(|job| job.handler == *handler);
        job.unwrap()
    }

    /// Waits until a job is in a state; time passes by itself.
    async fn until(&self, seq: EventSeq, handler: &str, state: JobState) -> JobRecord {
        let patience = Instant::now() + Duration::from_secs(30 * 24 * 60 * 60);
        loop {
            let job = self.job(seq, handler).await;
            if job.state == state {
                return job;
            }
            assert!(Instant::now() < patience, "{handler} is {:?}", job.state);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Notes what ran, in order.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Counts how many are inside at once.
#[derive(Debug, Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    async fn visit(&self, length: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(length).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

const SECOND: Duration = Duration::from_secs(1);
