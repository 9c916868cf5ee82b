//! Who waits for whom.

use std::time::Duration;

use tower_webhooks_core::Text;

use super::probe::{
    LEASE, Probe, SECOND, dead, event, of, registration, retry, seqs, start, unusable,
};
use crate::{
    Erase, EventSeq, JobState, NewEvent, Ordering, Reading, Retention, Selection, Settlement,
};

async fn register(probe: &Probe<'_>, handlers: &[&str], ordering: Ordering) {
    let all: Vec<_> = handlers
        .iter()
        .map(|name| {
            let mut one = registration(name, "*");
            one.ordering = ordering;
            one
        })
        .collect();
    probe.register(&all).await;
}

fn keyed(id: &str, key: &str) -> NewEvent {
    let mut event = event(id);
    event.ordering_key = Some(Text::from(key));
    event
}

/// Three events of one key.
async fn three(probe: &Probe<'_>) -> [EventSeq; 3] {
    let inserted = probe
        .insert_all(["1", "2", "3"].map(|id| keyed(id, "account")).to_vec())
        .await;
    [0, 1, 2].map(|place: usize| inserted[place].seq())
}

fn replay_of(seq: EventSeq) -> Selection {
    Selection {
        filter: of(seq),
        ..Selection::default()
    }
}

/// Claims all that can be, and settles the one job that was.
async fn run(probe: &Probe<'_>, expected: EventSeq, outcome: Settlement) {
    let claimed = probe.claim(&["ship"], 10).await;
    assert_eq!(seqs(&claimed), [expected]);
    probe.settled(&claimed[0], outcome).await;
}

pub(super) async fn jobs_of_one_key_run_one_after_another(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Block).await;
    let order = three(probe).await;
    let waiting = probe.job(order[1], "ship").await;
    assert_eq!((waiting.state, waiting.due_in), (JobState::Pending, None));
    let stats = probe.inbox.stats().await.expect("stats");
    assert_eq!(stats.jobs(JobState::Pending), 3, "who waits is pending");
    for seq in order {
        run(probe, seq, Settlement::Done).await;
    }
    assert_eq!(probe.next_due(&["ship"]).await, None);
    let later = probe.insert(keyed("4", "account")).await.seq();
    run(probe, later, Settlement::Done).await;
}

pub(super) async fn keys_tenants_and_handlers_do_not_wait_for_each_other(probe: &Probe<'_>) {
    register(probe, &["ship", "bill"], Ordering::Block).await;
    let mut of_tenant = keyed("3", "a");
    of_tenant.tenant = Some(Text::from_static("t"));
    probe
        .insert_all(vec![keyed("1", "a"), keyed("2", "b"), of_tenant])
        .await;
    assert_eq!(probe.claim(&["ship", "bill"], 10).await.len(), 6);
}

pub(super) async fn without_a_key_or_an_ordering_nothing_waits(probe: &Probe<'_>) {
    register(probe, &["ordered"], Ordering::Block).await;
    register(probe, &["free"], Ordering::None).await;
    probe
        .insert_all(vec![
            event("1"),
            event("2"),
            keyed("3", "a"),
            keyed("4", "a"),
        ])
        .await;
    assert_eq!(probe.claim(&["free"], 10).await.len(), 4);
    assert_eq!(probe.claim(&["ordered"], 10).await.len(), 3);
}

pub(super) async fn a_retry_keeps_its_place(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Skip).await;
    let [first, second, _] = three(probe).await;
    run(probe, first, retry(SECOND * 10)).await;
    assert!(probe.claim(&["ship"], 10).await.is_empty(), "not due yet");
    probe.advance(SECOND * 10).await;
    run(probe, first, Settlement::Release).await;
    run(probe, first, Settlement::Done).await;
    run(probe, second, Settlement::Done).await;
}

pub(super) async fn a_job_that_was_put_off_keeps_its_place(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Skip).await;
    let [first, second, _] = three(probe).await;
    for _ in 1..=2 {
        assert_eq!(seqs(&probe.claim(&["ship"], 10).await), [first]);
        // The worker vanishes without a word.
        probe.advance(LEASE).await;
    }
    assert!(probe.claim(&["ship"], 10).await.is_empty(), "put off");
    let waiting = probe.job(second, "ship").await;
    assert_eq!(waiting.due_in, None, "it is not its turn");
    probe.advance(SECOND).await;
    run(probe, first, Settlement::Done).await;
    run(probe, second, Settlement::Done).await;
}

pub(super) async fn a_dead_job_blocks_its_key_until_it_is_replayed(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Block).await;
    let [first, second, third] = three(probe).await;
    run(probe, first, dead()).await;
    let fourth = probe.insert(keyed("4", "account")).await.seq();
    probe.advance(LEASE * 10).await;
    assert!(probe.claim(&["ship"], 10).await.is_empty(), "blocked");
    assert_eq!(probe.next_due(&["ship"]).await, None);
    let replayed = probe.replay(&replay_of(second)).await;
    assert_eq!(replayed.runs.len(), 1, "asked for, but not its turn");
    assert!(probe.claim(&["ship"], 10).await.is_empty());

    probe.replay(&replay_of(first)).await;
    for seq in [first, second, third, fourth] {
        run(probe, seq, Settlement::Done).await;
    }
}

pub(super) async fn a_dead_job_is_skipped_where_that_is_asked_for(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Skip).await;
    let [first, second, third] = three(probe).await;
    run(probe, first, dead()).await;
    run(probe, second, dead()).await;
    run(probe, third, Settlement::Done).await;
    let fourth = probe.insert(keyed("4", "account")).await.seq();
    run(probe, fourth, Settlement::Done).await;
}

/// Three jobs of two keys wait behind dead ones, and the handler is registered
/// with this ordering.
async fn blocked_until(probe: &Probe<'_>, ordering: Ordering) -> [EventSeq; 3] {
    register(probe, &["ship"], Ordering::Block).await;
    let events = [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b"), ("5", "b")];
    let inserted = probe
        .insert_all(events.map(|(id, key)| keyed(id, key)).to_vec())
        .await;
    for job in probe.claim(&["ship"], 10).await {
        probe.settled(&job, dead()).await;
    }
    assert_eq!(probe.next_due(&["ship"]).await, None, "blocked");
    register(probe, &["ship"], ordering).await;
    assert_eq!(probe.next_due(&["ship"]).await, Some(Duration::ZERO));
    [2, 3, 4].map(|place: usize| inserted[place].seq())
}

pub(super) async fn a_blocked_line_goes_on_once_its_handler_skips_dead_jobs(probe: &Probe<'_>) {
    let [a, b, later] = blocked_until(probe, Ordering::Skip).await;
    let claimed = probe.claim(&["ship"], 10).await;
    assert_eq!(seqs(&claimed), [a, b], "one of each key");
    for job in &claimed {
        probe.settled(job, dead()).await;
    }
    run(probe, later, Settlement::Done).await;
    assert_eq!(probe.next_due(&["ship"]).await, None);
}

pub(super) async fn a_blocked_line_goes_on_once_its_handler_orders_nothing(probe: &Probe<'_>) {
    let waiting = blocked_until(probe, Ordering::None).await;
    let claimed = probe.claim(&["ship"], 10).await;
    assert_eq!(seqs(&claimed), waiting, "none waits for another");
    for job in &claimed {
        probe.settled(job, Settlement::Done).await;
    }
    assert_eq!(probe.next_due(&["ship"]).await, None);
}

pub(super) async fn a_replayed_job_waits_for_the_one_that_runs(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Skip).await;
    let [first, second, third] = three(probe).await;
    run(probe, first, dead()).await;
    let running = probe.claim_one("ship").await;
    assert_eq!(running.event.seq, second);
    probe.replay(&replay_of(first)).await;
    assert!(probe.claim(&["ship"], 10).await.is_empty(), "one at a time");
    probe.settled(&running, Settlement::Done).await;
    run(probe, first, Settlement::Done).await;
    run(probe, third, Settlement::Done).await;
}

pub(super) async fn an_erased_job_gives_its_place_away(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Block).await;
    let [first, second, third] = three(probe).await;
    run(probe, first, dead()).await;
    let erase = async |seq| probe.inbox.erase(&Erase::Event(seq)).await.expect("erase");
    erase(first).await;
    assert_eq!(probe.get(first).await.event.ordering_key, None);
    let running = probe.claim_one("ship").await;
    assert_eq!(running.event.seq, second);
    erase(second).await;
    run(probe, third, Settlement::Done).await;

    probe.advance(LEASE * 10).await;
    let all = Retention {
        bodies: Duration::ZERO,
        keys: Duration::ZERO,
    };
    let pruned = probe.inbox.prune(&all, 10).await.expect("prune");
    assert_eq!(pruned.keys, 3);
    let mut later = keyed("4", "account");
    later.received_at = start() + LEASE;
    let later = probe.insert(later).await.seq();
    run(probe, later, Settlement::Done).await;
}

pub(super) async fn an_event_read_anew_stands_in_its_line(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Block).await;
    let sealed = probe.insert(unusable("sealed")).await.seq();
    let later = probe.insert(keyed("2", "account")).await.seq();
    let mut reading = Reading::new(sealed);
    reading.ordering_key = Some(Text::from_static("account"));
    let mut selection = replay_of(sealed);
    selection.readings = vec![reading];
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs.len(), 1);
    let kept = probe.get(sealed).await.event.ordering_key.clone();
    assert_eq!(kept.as_deref(), Some("account"));
    run(probe, later, Settlement::Done).await;
    run(probe, sealed, Settlement::Done).await;
}

pub(super) async fn a_key_waits_for_an_ended_lease_that_nobody_took(probe: &Probe<'_>) {
    register(probe, &["ship"], Ordering::Skip).await;
    let [first, second, _] = three(probe).await;
    let lost = probe.claim_one("ship").await;
    assert_eq!(lost.event.seq, first);
    probe.advance(LEASE).await;
    let taken = probe.claim_one("ship").await;
    assert_eq!(taken.event.seq, first, "the same one again");
    probe.settled(&taken, Settlement::Done).await;
    run(probe, second, Settlement::Done).await;
}
