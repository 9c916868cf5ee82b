//! A clock that was wrong, and was put right before the receiver started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{Folder, claim, event, insert, register, settle_all, settle_as, try_insert, want};
use tower_webhooks_core::ManualClock;
use tower_webhooks_inbox::{Inbox, JobState, Retention, Settlement};
use tower_webhooks_sqlite::SqliteInbox;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn open_at(folder: &Folder, now: SystemTime) -> SqliteInbox {
    let builder = folder.builder().with_clock(ManualClock::at(now));
    builder.open().await.unwrap()
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_strands_no_job() {
    let today = SystemTime::now();
    let folder = Folder::new();
    let ahead = open_at(&folder, today + 3650 * DAY).await;
    register(&ahead, "ship").await;
    insert(&ahead, "1").await;
    insert(&ahead, "2").await;
    let jobs = claim(&ahead, "ship", 1).await;
    let outcome = Settlement::Retry {
        after: HOUR,
        error: "away".into(),
    };
    settle_all(&ahead, vec![settle_as(&jobs[0], outcome)]).await;
    ahead.close().await;

    let right = open_at(&folder, today).await;
    assert_eq!(claim(&right, "ship", 10).await.len(), 1, "due at once");
    let due = right.next_due(&[want("ship", 1)]).await.unwrap();
    let due = due.unwrap();
    assert!(due <= HOUR, "a retry keeps its wait, not its date: {due:?}");
    let stats = right.stats().await.unwrap();
    assert_eq!(stats.jobs(JobState::Running), 1);
    assert!(stats.handlers[0].unasked.unwrap() < HOUR);
    right.close().await;

    // What was stored ahead of time ages like the rest.
    let later = open_at(&folder, today + 100 * DAY).await;
    for job in claim(&later, "ship", 10).await {
        let done = settle_as(&job, Settlement::Done);
        settle_all(&later, vec![done]).await;
    }
    let pruned = later.prune(&Retention::default(), 10).await.unwrap();
    assert_eq!(pruned.keys, 2);
}

#[tokio::test]
async fn a_clock_that_was_right_moves_nothing() {
    let today = SystemTime::now();
    let folder = Folder::new();
    let inbox = open_at(&folder, today).await;
    register(&inbox, "ship").await;
    try_insert(&inbox, event("1")).await.unwrap();
    let jobs = claim(&inbox, "ship", 1).await;
    let outcome = Settlement::Retry {
        after: DAY,
        error: "away".into(),
    };
    settle_all(&inbox, vec![settle_as(&jobs[0], outcome)]).await;
    inbox.close().await;
    let inbox = open_at(&folder, today + HOUR).await;
    let due = inbox.next_due(&[want("ship", 1)]).await.unwrap();
    assert_eq!(due, Some(DAY - HOUR));
}
