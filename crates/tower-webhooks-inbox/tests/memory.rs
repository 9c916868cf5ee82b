//! The inbox in memory passes the suite, and stays within its memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tower_webhooks_core::ManualClock;
use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, Claim, Durability, EventSeq, Filter, Inbox, InboxErrorKind,
    Inserted, JobState, Leased, MemoryInbox, NewEvent, Ordering, Page, Pattern, Registration,
    Reserve, Selection, Settle, Settlement, Want, conformance::Harness,
};

struct InMemory {
    inbox: MemoryInbox,
    clock: ManualClock,
}

impl Harness for InMemory {
    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.inbox.clone())
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(by);
        Box::pin(std::future::ready(()))
    }
}

async fn make() -> InMemory {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
    InMemory {
        inbox: MemoryInbox::new().with_clock(clock.clone()),
        clock,
    }
}

mod conformance {
    use super::make;

    tower_webhooks_inbox::conformance_tests!(make);
}

/// What an event with a body of 1 488 bytes counts for: 2 000 bytes.
const BODY_BYTES: usize = 1_488;

fn event(id: &str) -> NewEvent {
    let mut event = NewEvent::new("shop", vec![b'x'; BODY_BYTES], SystemTime::UNIX_EPOCH);
    event.id = Some(id.into());
    event
}

async fn apply(inbox: &MemoryInbox, batch: Batch) -> Applied {
    inbox.apply(batch).await.unwrap()
}

async fn insert(inbox: &MemoryInbox, id: &str) -> Result<Inserted, InboxErrorKind> {
    let batch = Batch {
        inserts: vec![event(id)],
        ..Batch::default()
    };
    match inbox.apply(batch).await {
        Ok(applied) => Ok(applied.inserts[0]),
        Err(error) => Err(error.kind()),
    }
}

async fn register(inbox: &MemoryInbox) {
    let registration = Registration {
        endpoint: "shop".into(),
        handler: "ship".into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    let batch = Batch {
        registers: vec![registration],
        ..Batch::default()
    };
    apply(inbox, batch).await;
}

async fn claim(inbox: &MemoryInbox) -> Leased {
    let batch = Batch {
        claim: Some(Claim {
            worker: "worker".into(),
            wants: vec![Want {
                endpoint: "shop".into(),
                handler: "ship".into(),
                free: 1,
            }],
            lease: Duration::from_secs(30),
        }),
        ..Batch::default()
    };
    apply(inbox, batch).await.claimed.remove(0)
}

async fn finish(inbox: &MemoryInbox, outcome: Settlement) -> EventSeq {
    let job = claim(inbox).await;
    let settle = Settle {
        key: job.key(),
        token: job.token,
        outcome,
        work: None,
    };
    let batch = Batch {
        settles: vec![settle],
        ..Batch::default()
    };
    apply(inbox, batch).await;
    job.event.seq
}

#[tokio::test]
async fn unfinished_events_beyond_the_limit_are_refused_until_one_is_done() {
    let inbox = MemoryInbox::new().with_max_body_bytes(4_000);
    register(&inbox).await;
    insert(&inbox, "1").await.unwrap();
    insert(&inbox, "2").await.unwrap();
    assert_eq!(insert(&inbox, "3").await, Err(InboxErrorKind::Full));
    let reserve = Batch {
        reserves: vec![Reserve {
            event: event("3"),
            hold: Duration::from_secs(1),
        }],
        ..Batch::default()
    };
    let refused = inbox.apply(reserve).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Full);
    assert_eq!(inbox.stats().await.unwrap().held_bytes, 4_000);
    assert!(
        matches!(insert(&inbox, "1").await, Ok(Inserted::Duplicate { .. })),
        "a known event needs no room"
    );
    finish(&inbox, Settlement::Done).await;
    assert_eq!(inbox.stats().await.unwrap().held_bytes, 2_000);
    assert!(matches!(
        insert(&inbox, "3").await,
        Ok(Inserted::New { .. })
    ));
    assert_eq!(inbox.pending_jobs(), 2);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_leaves_nothing_behind() {
    let inbox = MemoryInbox::new().with_max_body_bytes(4_000);
    register(&inbox).await;
    let batch = Batch {
        inserts: ["1", "2", "3"].map(event).to_vec(),
        ..Batch::default()
    };
    let refused = inbox.apply(batch).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Full);
    assert_eq!(inbox.pending_jobs(), 0);
    let listing = inbox.list(&Filter::default(), Page::default()).await;
    assert!(listing.unwrap().events.is_empty());
}

#[tokio::test]
async fn what_is_done_loses_its_body_and_keeps_its_key() {
    let inbox = MemoryInbox::new();
    register(&inbox).await;
    let seq = insert(&inbox, "1").await.unwrap().seq();
    finish(&inbox, Settlement::Done).await;
    let kept = inbox.get(seq).await.unwrap().unwrap();
    assert_eq!(kept.event.body, None);
    assert_eq!(kept.event.id.as_deref(), Some("1"));
    assert_eq!(insert(&inbox, "1").await, Ok(Inserted::Duplicate { seq }));
    let replayed = inbox
        .replay(&Selection {
            done: true,
            ..Selection::default()
        })
        .await
        .unwrap();
    assert_eq!(replayed.gone, [seq]);
    assert!(replayed.runs.is_empty());
}

#[tokio::test]
async fn dead_events_give_way_to_new_ones_oldest_first() {
    let inbox = MemoryInbox::new().with_max_body_bytes(4_000);
    register(&inbox).await;
    let mut dead = Vec::new();
    for id in ["1", "2"] {
        insert(&inbox, id).await.unwrap();
        let error = "no".into();
        dead.push(finish(&inbox, Settlement::Dead { error }).await);
    }
    let body = async |seq| inbox.get(seq).await.unwrap().unwrap().event.body.clone();
    assert!(body(dead[0]).await.is_some(), "there is room");
    insert(&inbox, "3").await.unwrap();
    assert_eq!(body(dead[0]).await, None);
    assert!(body(dead[1]).await.is_some());
    let record = inbox.get(dead[0]).await.unwrap().unwrap();
    assert_eq!(record.jobs[0].state, JobState::Dead, "still visible");
}

#[tokio::test]
async fn unhandled_events_never_fill_the_inbox() {
    let inbox = MemoryInbox::new().with_max_body_bytes(4_000);
    for id in 0..50 {
        let inserted = insert(&inbox, &id.to_string()).await;
        assert!(matches!(inserted, Ok(Inserted::Unhandled { .. })));
    }
    assert_eq!(inbox.stats().await.unwrap().held_bytes, 4_000);
}

#[tokio::test]
async fn the_oldest_finished_events_are_forgotten_and_no_others() {
    let inbox = MemoryInbox::new().with_max_finished_events(NonZeroUsize::new(2).unwrap());
    register(&inbox).await;
    insert(&inbox, "pending").await.unwrap();
    let held = claim(&inbox).await;
    for id in ["1", "2", "3"] {
        insert(&inbox, id).await.unwrap();
        finish(&inbox, Settlement::Done).await;
    }
    let seqs = [1, 2, 3, 4].map(EventSeq);
    let mut known = Vec::new();
    for seq in seqs {
        known.push(inbox.get(seq).await.unwrap().is_some());
    }
    assert_eq!(known, [true, false, true, true]);
    assert_eq!(held.event.seq, seqs[0]);
    assert!(matches!(
        insert(&inbox, "1").await,
        Ok(Inserted::New { .. })
    ));
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.jobs(JobState::Done), 2, "counts follow");
}

#[tokio::test]
async fn an_undecided_event_is_not_forgotten() {
    let inbox = MemoryInbox::new().with_max_finished_events(NonZeroUsize::MIN);
    let batch = Batch {
        reserves: vec![Reserve {
            event: event("undecided"),
            hold: Duration::from_secs(1),
        }],
        ..Batch::default()
    };
    apply(&inbox, batch).await;
    for id in ["1", "2"] {
        insert(&inbox, id).await.unwrap();
    }
    let mut known = Vec::new();
    for seq in [1, 2, 3].map(EventSeq) {
        known.push(inbox.get(seq).await.unwrap().is_some());
    }
    assert_eq!(known, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn without_a_clock_leases_follow_the_runtime() {
    let inbox = MemoryInbox::new();
    register(&inbox).await;
    insert(&inbox, "1").await.unwrap();
    claim(&inbox).await;
    let wants = [Want {
        endpoint: "shop".into(),
        handler: "ship".into(),
        free: 1,
    }];
    let due = inbox.next_due(&wants).await.unwrap();
    assert_eq!(due, Some(Duration::from_secs(30)));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(claim(&inbox).await.attempt, 2);
}

#[tokio::test]
async fn it_says_that_it_is_not_durable() {
    let checked = MemoryInbox::new().check().await.unwrap();
    assert_eq!(
        checked,
        Durability::new(false, "in memory: a crash loses what it holds")
    );
}
