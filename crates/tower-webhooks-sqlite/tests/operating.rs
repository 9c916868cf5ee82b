//! What people do beside a receiver: in steps, between which it stores.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{Folder, claim, done, insert, register, settle_all};
use tower_webhooks_core::ManualClock;
use tower_webhooks_inbox::{
    Batch, Erase, Inbox, InboxErrorKind, Inserted, NewEvent, Retention, Selection,
};
use tower_webhooks_sqlite::SqliteInbox;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn fill(inbox: &dyn Inbox, events: u32) {
    let tenants = (0..events).map(|id| {
        let mut event = NewEvent::new("shop", vec![b'x'; 500], SystemTime::now());
        event.id = Some(id.to_string().into());
        event.tenant = Some("acme".into());
        event
    });
    let batch = Batch {
        inserts: tenants.collect(),
        ..Batch::default()
    };
    inbox.apply(batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_stored_while_a_large_tenant_is_being_erased() {
    const EVENTS: u32 = 20_000;
    let folder = Folder::new();
    let inbox = folder.open().await;
    fill(&inbox, EVENTS).await;
    let beside = SqliteInbox::open_beside(folder.path()).await.unwrap();
    let erasing = tokio::spawn(async move {
        let tenant = Erase::Tenant {
            endpoint: "shop".into(),
            tenant: "acme".into(),
        };
        beside.erase(&tenant).await.unwrap()
    });
    let held = "SELECT count(*) FROM event WHERE erased = 0 AND tenant = 'acme'";
    let mut stored = 0;
    while folder.count(held) == i64::from(EVENTS) && !erasing.is_finished() {
        tokio::task::yield_now().await;
    }
    while folder.count(held) > 0 && !erasing.is_finished() {
        insert(&inbox, &format!("live-{stored}")).await;
        stored += 1;
    }
    assert!(stored > 1, "{stored} were stored meanwhile");
    assert_eq!(erasing.await.unwrap(), u64::from(EVENTS));
}

#[tokio::test]
async fn a_dry_run_waits_for_nobody_who_writes() {
    let folder = Folder::new();
    let inbox = folder
        .builder()
        .with_busy_timeout(Duration::from_millis(50))
        .open()
        .await
        .unwrap();
    register(&inbox, "ship").await;
    insert(&inbox, "1").await;
    let shell = folder.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut selection = Selection {
        dry_run: true,
        ..Selection::default()
    };
    let would = inbox.replay(&selection).await.unwrap();
    assert_eq!(would.runs.len(), 1);
    selection.dry_run = false;
    let busy = inbox.replay(&selection).await.unwrap_err();
    assert_eq!(busy.kind(), InboxErrorKind::Unavailable);
    shell.execute_batch("ROLLBACK").unwrap();
    let runs = inbox.replay(&selection).await.unwrap();
    assert_eq!(runs.runs, would.runs);
}

/// A handler that no worker has any more, and more jobs of it than one step looks at.
#[tokio::test]
async fn what_may_not_go_is_looked_at_once_and_not_at_each_step() {
    const STEP: usize = 10;
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + DAY);
    let folder = Folder::new();
    let inbox = folder.builder().with_clock(clock.clone());
    let inbox = inbox.open().await.unwrap();
    register(&inbox, "renamed").await;
    fill(&inbox, 200).await;
    clock.advance(Duration::from_secs(1));
    let Inserted::New { seq, .. } = insert(&inbox, "done").await else {
        panic!("it is new");
    };
    let jobs = claim(&inbox, "renamed", 201).await;
    let last = jobs.iter().find(|job| job.event.seq == seq).unwrap();
    settle_all(&inbox, vec![done(last, None)]).await;
    clock.advance(100 * DAY);
    let mut steps = Vec::new();
    for _ in 0..20 {
        let pruned = inbox.prune(&Retention::default(), STEP).await.unwrap();
        steps.push(pruned.keys);
        if !pruned.more {
            break;
        }
    }
    // 200 that stay, 40 a step, and then the one that goes.
    assert_eq!(steps, [0, 0, 0, 0, 0, 1]);
    assert!(inbox.get(seq).await.unwrap().is_none());
    // The next round begins at the oldest.
    for job in jobs.iter().filter(|job| job.event.seq != seq).take(1) {
        settle_all(&inbox, vec![done(job, None)]).await;
    }
    let pruned = inbox.prune(&Retention::default(), STEP).await.unwrap();
    assert_eq!(pruned.keys, 1);
}
