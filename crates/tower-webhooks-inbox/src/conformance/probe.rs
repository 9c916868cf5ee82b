//! Short ways to ask an inbox.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tower_webhooks_core::Text;

use super::Harness;
use crate::{
    Applied, Batch, Claim, EventRecord, EventSeq, Filter, Inbox, Inserted, JobKey, JobRecord,
    JobState, Leased, NewEvent, Ordering, Page, RecordReply, Recorded, Registration, Replayed,
    Reserve, Reserved, Selection, Settle, SettleResult, Settlement, Want,
};

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The endpoint of every event that does not say otherwise.
pub(super) const SHOP: &str = "shop";

/// The store under test.
pub(super) struct Probe<'a> {
    harness: &'a dyn Harness,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) second: Arc<dyn Inbox>,
}

/// When the tests' events are received.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// An event of type `order.paid` with a body of its own.
pub(super) fn event(id: &str) -> NewEvent {
    let mut event = anonymous(&format!(r#"{{"order":"{id}"}}"#));
    event.id = Some(Text::from(id));
    event
}

/// An event of type `order.paid` without an id.
pub(super) fn anonymous(body: &str) -> NewEvent {
    let mut event = NewEvent::new(SHOP, body.to_owned(), start());
    event.event_type = Some(Text::from_static("order.paid"));
    event
}

pub(super) fn unusable(body: &str) -> NewEvent {
    let mut event = NewEvent::new(SHOP, body.to_owned(), start());
    event.unusable = Some(Text::from_static("not JSON"));
    event
}

pub(super) fn typed(id: &str, event_type: &str) -> NewEvent {
    let mut event = event(id);
    event.event_type = Some(Text::from(event_type));
    event
}

pub(super) fn registration(handler: &str, pattern: &str) -> Registration {
    Registration {
        endpoint: Text::from_static(SHOP),
        handler: Text::from(handler),
        pattern: pattern.parse().expect("a pattern"),
        fallback: false,
        ordering: Ordering::None,
    }
}

pub(super) fn claim(handlers: &[&str], free: usize) -> Claim {
    Claim {
        worker: Text::from_static("worker"),
        wants: wants(handlers, free),
        lease: LEASE,
    }
}

pub(super) fn wants(handlers: &[&str], free: usize) -> Vec<Want> {
    handlers
        .iter()
        .map(|handler| Want {
            endpoint: Text::from_static(SHOP),
            handler: Text::from(*handler),
            free,
        })
        .collect()
}

pub(super) fn done(job: &Leased) -> Settle {
    settle(job, Settlement::Done)
}

pub(super) fn settle(job: &Leased, outcome: Settlement) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome,
        work: None,
    }
}

pub(super) fn dead() -> Settlement {
    Settlement::Dead {
        error: Text::from_static("no such order"),
    }
}

pub(super) fn retry(after: Duration) -> Settlement {
    Settlement::Retry {
        after,
        error: Text::from_static("bank away"),
    }
}

pub(super) fn job_key(seq: EventSeq, handler: &str) -> JobKey {
    JobKey {
        seq,
        handler: Text::from(handler),
    }
}

pub(super) fn seqs(jobs: &[Leased]) -> Vec<EventSeq> {
    jobs.iter().map(|job| job.event.seq).collect()
}

/// Stores an event whose one due job ends dead.
pub(super) async fn insert_dead(probe: &Probe<'_>, id: &str, handler: &str) -> EventSeq {
    let seq = probe.insert(event(id)).await.seq();
    let job = probe.claim_one(handler).await;
    probe.settled(&job, dead()).await;
    seq
}

/// This event only.
pub(super) fn of(seq: EventSeq) -> Filter {
    Filter {
        seq: Some(seq),
        ..Filter::default()
    }
}

impl<'a> Probe<'a> {
    pub(super) fn new(harness: &'a dyn Harness) -> Self {
        Self {
            harness,
            inbox: harness.inbox(),
            second: harness.second(),
        }
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
    }

    pub(super) async fn apply(&self, batch: Batch) -> Applied {
        self.inbox.apply(batch).await.expect("apply")
    }

    pub(super) async fn register(&self, registers: &[Registration]) {
        let registers = registers.to_vec();
        self.apply(Batch {
            registers,
            ..Batch::default()
        })
        .await;
    }

    /// Registers one handler of everything.
    pub(super) async fn register_all(&self, handlers: &[&str]) {
        let all: Vec<_> = handlers
            .iter()
            .map(|name| registration(name, "*"))
            .collect();
        self.register(&all).await;
    }

    pub(super) async fn insert(&self, event: NewEvent) -> Inserted {
        self.insert_all(vec![event]).await.remove(0)
    }

    pub(super) async fn insert_all(&self, inserts: Vec<NewEvent>) -> Vec<Inserted> {
        let count = inserts.len();
        let batch = Batch {
            inserts,
            ..Batch::default()
        };
        let inserted = self.apply(batch).await.inserts;
        assert_eq!(inserted.len(), count, "one answer for each insert");
        inserted
    }

    pub(super) async fn reserve(&self, event: NewEvent) -> Reserved {
        let reserve = Reserve { event, hold: LEASE };
        let batch = Batch {
            reserves: vec![reserve],
            ..Batch::default()
        };
        self.apply(batch).await.reserves.remove(0)
    }

    pub(super) async fn record(&self, record: RecordReply) -> Recorded {
        let batch = Batch {
            replies: vec![record],
            ..Batch::default()
        };
        self.apply(batch).await.replies.remove(0)
    }

    pub(super) async fn claim(&self, handlers: &[&str], free: usize) -> Vec<Leased> {
        self.claim_from(&self.inbox, handlers, free).await
    }

    pub(super) async fn claim_from(
        &self,
        inbox: &Arc<dyn Inbox>,
        handlers: &[&str],
        free: usize,
    ) -> Vec<Leased> {
        let batch = Batch {
            claim: Some(claim(handlers, free)),
            ..Batch::default()
        };
        inbox.apply(batch).await.expect("claim").claimed
    }

    /// Claims the one job that this handler has due.
    pub(super) async fn claim_one(&self, handler: &str) -> Leased {
        let mut claimed = self.claim(&[handler], 10).await;
        assert_eq!(claimed.len(), 1, "{handler} has one job due");
        claimed.remove(0)
    }

    pub(super) async fn settle(&self, settle: Settle) -> SettleResult {
        let batch = Batch {
            settles: vec![settle],
            ..Batch::default()
        };
        self.apply(batch).await.settles.remove(0)
    }

    pub(super) async fn settled(&self, job: &Leased, outcome: Settlement) {
        let result = self.settle(settle(job, outcome)).await;
        assert_eq!(result, SettleResult::Settled, "the lease is held");
    }

    pub(super) async fn next_due(&self, handlers: &[&str]) -> Option<Duration> {
        let wants = wants(handlers, 1);
        self.inbox.next_due(&wants).await.expect("next due")
    }

    pub(super) async fn get(&self, seq: EventSeq) -> EventRecord {
        let found = self.inbox.get(seq).await.expect("get");
        found.expect("the event is there")
    }

    pub(super) async fn job(&self, seq: EventSeq, handler: &str) -> JobRecord {
        let jobs = self.get(seq).await.jobs;
        let job = jobs.into_iter().find(|job| job.handler == handler);
        job.expect("the handler has a job")
    }

    pub(super) async fn job_states(&self, seq: EventSeq) -> Vec<(String, JobState)> {
        let jobs = self.get(seq).await.jobs;
        jobs.iter()
            .map(|job| (job.handler.to_string(), job.state))
            .collect()
    }

    pub(super) async fn list(&self, filter: &Filter) -> Vec<EventSeq> {
        let listing = self.inbox.list(filter, Page::default()).await;
        let events = listing.expect("list").events;
        events.iter().map(|record| record.event.seq).collect()
    }

    pub(super) async fn replay(&self, selection: &Selection) -> Replayed {
        self.inbox.replay(selection).await.expect("replay")
    }
}
