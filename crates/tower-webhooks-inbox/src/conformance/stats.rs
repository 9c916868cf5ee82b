//! What is counted.

use std::time::Duration;

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::probe::{Probe, SECOND, event, insert_dead, registration, retry, unusable};
use crate::{
    DecidedBy, EventState, HandlerStats, JobState, Ordering, RecordReply, Recorded, Reply,
    Reserved, Settlement,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) async fn stats_count_every_job_once(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    insert_dead(probe, "1", "ship").await;
    probe.insert(event("2")).await;
    let job = probe.claim_one("ship").await;
    probe.settled(&job, Settlement::Done).await;
    probe.insert(event("3")).await;
    let _running = probe.claim_one("ship").await;
    probe.insert(event("4")).await;
    probe.advance(SECOND * 10).await;
    probe.insert(event("5")).await;
    probe.insert(unusable("?")).await;

    let stats = probe.inbox.stats().await.expect("stats");
    assert_eq!(stats.events.get(&EventState::Routed), Some(&5));
    assert_eq!(stats.events.get(&EventState::Unusable), Some(&1));
    let states = [
        JobState::Pending,
        JobState::Running,
        JobState::Done,
        JobState::Dead,
    ];
    assert_eq!(states.map(|state| stats.jobs(state)), [2, 1, 1, 1]);
    let oldest = stats.oldest_pending.expect("a pending job");
    assert!(oldest >= SECOND * 10 && oldest < SECOND * 12, "{oldest:?}");
    let [ship] = &stats.handlers[..] else {
        panic!("one handler, not {:?}", stats.handlers);
    };
    assert_eq!((&*ship.endpoint, &*ship.handler), ("shop", "ship"));
    let unasked = ship.unasked.expect("a worker has asked");
    assert!(unasked >= SECOND * 10, "{unasked:?}");
    assert!(stats.held_bytes > 0);
}

pub(super) async fn stats_follow_what_begins_and_ends(probe: &Probe<'_>) {
    let mut ship = registration("ship", "*");
    ship.ordering = Ordering::Block;
    probe.register(&[ship]).await;
    let stats = async || probe.inbox.stats().await.expect("stats");
    let is_old = async || stats().await.oldest_pending.map(|age| age >= HOUR);
    assert_eq!(is_old().await, None);
    let keyed = |id: &str| {
        let mut event = event(id);
        event.ordering_key = Some(Text::from_static("account"));
        event
    };
    probe.insert(keyed("1")).await;
    probe.advance(HOUR).await;
    probe.insert(keyed("2")).await;
    assert_eq!(is_old().await, Some(true));
    let job = probe.claim_one("ship").await;
    assert_eq!(
        is_old().await,
        Some(false),
        "it runs, and the other waits for it"
    );
    probe.settled(&job, retry(HOUR)).await;
    assert_eq!(is_old().await, Some(true), "it is pending again");
    probe.advance(HOUR).await;
    for _ in 0..2 {
        let job = probe.claim_one("ship").await;
        probe.settled(&job, Settlement::Done).await;
    }
    assert_eq!(is_old().await, None);

    let Reserved::New { seq, token } = probe.reserve(event("3")).await else {
        panic!("it is new");
    };
    let other = probe.reserve(event("4")).await;
    assert!(matches!(other, Reserved::New { .. }), "{other:?}");
    assert_eq!(stats().await.undecided, 2);
    let reply = Reply {
        status: 200,
        content_type: None,
        body: Bytes::new(),
    };
    let by = DecidedBy::Handler;
    let recorded = probe
        .record(RecordReply {
            seq,
            token,
            reply,
            by,
        })
        .await;
    assert_eq!(recorded, Recorded::Stored);
    assert_eq!(stats().await.undecided, 1);
}

pub(super) async fn the_newest_event_is_as_old_as_its_storing(probe: &Probe<'_>) {
    let newest = async || probe.inbox.stats().await.expect("stats").newest_event;
    assert_eq!(newest().await, None);
    probe.insert(event("1")).await;
    probe.advance(HOUR).await;
    let old = newest().await.expect("there is one");
    assert!(old >= HOUR && old < HOUR * 2, "{old:?}");
    probe.insert(event("1")).await;
    assert!(newest().await >= Some(HOUR), "a duplicate is none");
    probe.insert(event("2")).await;
    assert!(newest().await < Some(HOUR));
}

pub(super) async fn jobs_that_nobody_asks_for_are_orphaned(probe: &Probe<'_>) {
    probe.register_all(&["asked", "never"]).await;
    probe.insert_all(vec![event("1"), event("2")]).await;
    let orphaned = async || {
        let stats = probe.inbox.stats().await.expect("stats");
        let of = |name: &str| {
            let mut handlers = stats.handlers.iter();
            let found = handlers.find(|one| one.handler == name);
            found.map(HandlerStats::orphaned)
        };
        (of("asked"), of("never"), stats.orphaned())
    };
    probe.claim(&["asked"], 1).await;
    assert_eq!(orphaned().await, (Some(0), Some(2), 2));
    probe.advance(SECOND * 30).await;
    assert_eq!(orphaned().await, (Some(0), Some(2), 2));
    probe.advance(SECOND * 30).await;
    let one_runs = (Some(1), Some(2), 3);
    assert_eq!(orphaned().await, one_runs);
    // Who has no free slot is alive too.
    assert!(probe.claim(&["asked"], 0).await.is_empty());
    assert_eq!(orphaned().await, (Some(0), Some(2), 2));
}
