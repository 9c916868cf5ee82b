//! Sequences that strand jobs or stop intake.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking; the figures are what a run is for"
)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering as Atomic},
    },
    time::{Duration, Instant, SystemTime},
};

use common::{Folder, claim, done, event, insert, register, settle_all, try_insert, want};
use tower_webhooks_core::ManualClock;
use tower_webhooks_inbox::{
    Batch, Erase, Inbox, JobState, NewEvent, Ordering, Pattern, Registration, Retention, Selection,
    Settle, Settlement,
};
use tower_webhooks_sqlite::SqliteInbox;

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_strands_no_job() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let today = SystemTime::now();
    let folder = Folder::new();
    let ahead = folder
        .builder()
        .with_clock(ManualClock::at(today + 10 * YEAR));
    let inbox = ahead.open().await.unwrap();
    register(&inbox, "ship").await;
    insert(&inbox, "1").await;
    inbox.close().await;

    let inbox = folder
        .builder()
        .with_clock(ManualClock::at(today + Duration::from_secs(3600)));
    let inbox = inbox.open().await.unwrap();
    let stats = inbox.stats().await.unwrap();
    eprintln!(
        "next due {:?}, oldest pending {:?}, orphaned {}",
        inbox.next_due(&[want("ship", 1)]).await.unwrap(),
        stats.oldest_pending,
        stats.orphaned(),
    );
    assert_eq!(claim(&inbox, "ship", 1).await.len(), 1);
}

#[tokio::test]
async fn what_no_handler_ever_saw_stays() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + DAY);
    let folder = Folder::new();
    let inbox = folder.builder().with_clock(clock.clone());
    let inbox = inbox.open().await.unwrap();
    let seq = insert(&inbox, "1").await.seq();
    clock.advance(31 * DAY);
    inbox.prune(&Retention::default(), 100).await.unwrap();
    let kept = inbox.get(seq).await.unwrap().unwrap();
    assert!(kept.event.body.is_some(), "the body of an unhandled event");
}

async fn fill(inbox: &dyn Inbox, from: u32, to: u32) {
    let all: Vec<u32> = (from..to).collect();
    for ids in all.chunks(2_000) {
        let inserts = ids
            .iter()
            .map(|id| {
                let mut event = NewEvent::new("shop", vec![b'x'; 500], SystemTime::now());
                event.id = Some(id.to_string().into());
                event.tenant = Some("acme".into());
                event
            })
            .collect();
        let batch = Batch {
            inserts,
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap();
    }
}

/// Stores an event every 20 ms while something else runs: the longest wait, and the failures.
async fn intake_beside(
    inbox: SqliteInbox,
    ended: Arc<AtomicBool>,
) -> (Duration, usize, usize, Option<String>) {
    let (mut longest, mut stored, mut failed, mut why) = (Duration::ZERO, 0, 0, None);
    let mut number = 0;
    while !ended.load(Atomic::Relaxed) {
        let began = Instant::now();
        match try_insert(&inbox, event(&format!("live-{number}"))).await {
            Ok(_) => stored += 1,
            Err(error) => {
                failed += 1;
                why = Some(format!("{error:?}"));
            }
        }
        longest = longest.max(began.elapsed());
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (longest, stored, failed, why)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_a_large_tenant_keeps_nobody_from_storing() {
    let events: u32 = std::env::var("ATTACK_EVENTS").map_or(100_000, |n| n.parse().unwrap());
    let folder = Folder::new();
    let inbox = folder.open().await;
    register(&inbox, "ship").await;
    fill(&inbox, 0, events).await;
    let ended = Arc::new(AtomicBool::new(false));
    let intake = tokio::spawn(intake_beside(inbox.clone(), ended.clone()));
    let beside = SqliteInbox::open_beside(folder.path()).await.unwrap();
    let began = Instant::now();
    let tenant = Erase::Tenant {
        endpoint: "shop".into(),
        tenant: "acme".into(),
    };
    let erased = beside.erase(&tenant).await.unwrap();
    let took = began.elapsed();
    ended.store(true, Atomic::Relaxed);
    let (longest, stored, failed, why) = intake.await.unwrap();
    eprintln!(
        "erased {erased} in {took:?}; intake: longest {longest:?}, {stored} stored, {failed} failed {why:?}"
    );
    assert_eq!(failed, 0);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaying_many_keeps_nobody_from_storing() {
    let events: u32 = std::env::var("ATTACK_EVENTS").map_or(50_000, |n| n.parse().unwrap());
    let folder = Folder::new();
    let inbox = folder.open().await;
    register(&inbox, "ship").await;
    fill(&inbox, 0, events).await;
    let ended = Arc::new(AtomicBool::new(false));
    let intake = tokio::spawn(intake_beside(inbox.clone(), ended.clone()));
    let beside = SqliteInbox::open_beside(folder.path()).await.unwrap();
    let began = Instant::now();
    let mut selection = Selection::default();
    let mut runs = 0;
    // As the command does.
    loop {
        let replayed = beside.replay(&selection).await.unwrap();
        runs += replayed.runs.len();
        selection.page.after = match replayed.next {
            None => break,
            next => next,
        };
    }
    let took = began.elapsed();
    ended.store(true, Atomic::Relaxed);
    let (longest, stored, failed, why) = intake.await.unwrap();
    eprintln!(
        "replayed {runs} in {took:?}; intake: longest {longest:?}, {stored} stored, {failed} failed {why:?}"
    );
    assert_eq!(failed, 0);
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn a_pruning_step_costs_what_it_removes() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let events: u32 = std::env::var("ATTACK_EVENTS").map_or(100_000, |n| n.parse().unwrap());
    let clock = ManualClock::at(SystemTime::now());
    let folder = Folder::new();
    let inbox = folder.builder().with_clock(clock.clone());
    let inbox = inbox.open().await.unwrap();
    // Under its old name: nobody runs these jobs.
    register(&inbox, "renamed").await;
    fill(&inbox, 0, events).await;
    clock.advance(100 * DAY);
    let began = Instant::now();
    let pruned = inbox.prune(&Retention::default(), 500).await.unwrap();
    let took = began.elapsed();
    let stats = inbox.stats().await.unwrap();
    eprintln!(
        "pruned {pruned:?} in {took:?}; pending {}, orphaned {}",
        stats.jobs(JobState::Pending),
        stats.orphaned()
    );
    assert!(took < Duration::from_millis(50), "{took:?}");
}

/// The process before had a handler for paid orders; this one leaves them to its fallback.
#[tokio::test]
async fn a_handler_that_was_taken_out_hides_no_event_from_the_fallback() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    let registration = |handler: &str, pattern: &str, fallback| Registration {
        endpoint: "shop".into(),
        handler: handler.into(),
        pattern: pattern.parse().unwrap(),
        fallback,
        ordering: Ordering::None,
    };
    let register = async |inbox: &SqliteInbox, registers| {
        let batch = Batch {
            registers,
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap();
    };
    let rest = registration("rest", "*", true);
    let paid = registration("paid", "order.paid", false);
    register(&inbox, vec![paid, rest.clone()]).await;
    inbox.close().await;

    let inbox = folder.open().await;
    register(&inbox, vec![rest]).await;
    insert(&inbox, "1").await;
    assert_eq!(claim(&inbox, "rest", 10).await.len(), 1);
}

/// The clock is 91 days ahead for the minute in which old events are pruned.
#[tokio::test]
async fn a_clock_that_was_ahead_for_a_while_makes_no_done_job_run_again() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let today = SystemTime::now();
    let clock = ManualClock::at(today);
    let folder = Folder::new();
    let inbox = folder.builder().with_clock(clock.clone());
    let inbox = inbox.open().await.unwrap();
    register(&inbox, "ship").await;
    insert(&inbox, "1").await;
    let jobs = claim(&inbox, "ship", 1).await;
    settle_all(&inbox, vec![done(&jobs[0], None)]).await;
    clock.advance(91 * DAY);
    inbox.prune(&Retention::default(), 500).await.unwrap();
    insert(&inbox, "1").await;
    assert_eq!(claim(&inbox, "ship", 1).await.len(), 0);
}

/// A heartbeat without an id: the same body again after each span.
#[tokio::test]
async fn storing_the_same_body_again_costs_the_same_however_often_it_came() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    let mut at = SystemTime::UNIX_EPOCH;
    let mut beats = |count: usize| -> Vec<NewEvent> {
        let beat = |_| {
            at += Duration::from_secs(2);
            let mut event = NewEvent::new("shop", "{\"beat\":1}", at);
            event.dedup_span = Duration::from_secs(1);
            event
        };
        (0..count).map(beat).collect()
    };
    let mut took = Vec::new();
    for before in [500, 4_000] {
        for inserts in [beats(before), beats(100)] {
            let began = Instant::now();
            let batch = Batch {
                inserts,
                ..Batch::default()
            };
            inbox.apply(batch).await.unwrap();
            took.push(began.elapsed());
        }
    }
    eprintln!(
        "100 after 500: {:?}; 100 after 4,600: {:?}",
        took[1], took[3]
    );
    assert!(took[3] < took[1] * 4, "{:?}, then {:?}", took[1], took[3]);
}
