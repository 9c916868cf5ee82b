//! A handler that is taken out for good.

use std::time::Duration;

use tower_webhooks_core::Text;

use super::probe::{
    LEASE, Probe, SECOND, dead, done, event, insert_dead, job_key, of, registration, typed,
};
use crate::{
    EventState, Inserted, JobState, Ordering, Pruned, Retention, Retire, Retired, Selection,
    SettleResult, Settlement,
};

const MINUTE: Duration = Duration::from_secs(60);

fn handler(name: &str) -> Retire {
    Retire {
        endpoint: Text::from_static("shop"),
        handler: Text::from(name),
        force: false,
    }
}

async fn retire(probe: &Probe<'_>, what: &Retire, max_jobs: usize) -> Retired {
    let retired = probe.inbox.retire(what, max_jobs).await;
    retired.expect("retire")
}

pub(super) async fn a_retired_handler_gets_nothing_and_holds_nothing(probe: &Probe<'_>) {
    probe.register_all(&["old", "new"]).await;
    let dead_one = insert_dead(probe, "1", "old").await;
    let finished = probe.insert(event("2")).await.seq();
    let job = probe.claim_one("old").await;
    probe.settled(&job, Settlement::Done).await;
    let running = probe.insert(event("3")).await.seq();
    let lease = probe.claim_one("old").await;
    let pending = probe.insert(event("4")).await.seq();
    for job in probe.claim(&["new"], 10).await {
        probe.settled(&job, Settlement::Done).await;
    }
    probe.advance(MINUTE).await;

    let retired = retire(probe, &handler("old"), 10).await;
    let mut expected = Retired::default();
    (expected.registered, expected.jobs) = (true, 3);
    assert_eq!(retired, expected);
    assert_eq!(probe.settle(done(&lease)).await, SettleResult::LeaseLost);
    let new_only = vec![("new".to_owned(), JobState::Done)];
    for seq in [dead_one, running, pending] {
        assert_eq!(probe.job_states(seq).await, new_only);
        assert_eq!(probe.get(seq).await.event.state, EventState::Routed);
    }
    let history = probe.job(finished, "old").await.state;
    assert_eq!(history, JobState::Done, "what is done stays");
    let seq = probe.insert(event("5")).await;
    assert_eq!(
        seq,
        Inserted::New {
            seq: seq.seq(),
            jobs: 1
        }
    );
    let stats = probe.inbox.stats().await.expect("stats");
    assert_eq!((stats.jobs(JobState::Pending), stats.orphaned()), (1, 1));
    assert_eq!(stats.jobs(JobState::Dead), 0);
    assert_eq!(stats.jobs(JobState::Running), 0);
    assert_eq!(probe.next_due(&["old"]).await, None);

    let again = retire(probe, &handler("old"), 10).await;
    assert_eq!(again, Retired::default(), "there is nothing left");
    let old = Retention {
        bodies: SECOND * 30,
        keys: SECOND * 30,
    };
    let pruned: Pruned = probe.inbox.prune(&old, 10).await.expect("prune");
    assert_eq!(pruned.keys, 4, "nobody waits for them any more");
}

pub(super) async fn a_handler_that_a_worker_asks_for_is_retired_only_by_force(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    probe.claim_one("ship").await;
    probe.advance(LEASE).await;
    let mut what = handler("ship");
    let refused = retire(probe, &what, 10).await;
    assert!(
        refused.asked.is_some_and(|asked| asked >= LEASE),
        "{refused:?}"
    );
    assert_eq!((refused.registered, refused.jobs), (false, 0));
    assert_eq!(probe.job(seq, "ship").await.state, JobState::Running);
    what.force = true;
    let retired = retire(probe, &what, 10).await;
    assert_eq!((retired.asked, retired.registered), (None, true));
    assert_eq!((retired.jobs, retired.unhandled), (1, 1));
}

pub(super) async fn a_retired_handler_leaves_its_events_to_others(probe: &Probe<'_>) {
    let mut rest = registration("rest", "*");
    rest.fallback = true;
    let paid = registration("paid", "order.paid");
    probe.register(&[paid, rest]).await;
    let mine = probe.insert(event("1")).await.seq();
    let other = probe.insert(typed("2", "order.sent")).await.seq();
    let retired = retire(probe, &handler("paid"), 10).await;
    assert_eq!((retired.jobs, retired.unhandled), (1, 1));
    assert_eq!(probe.get(mine).await.event.state, EventState::Unhandled);
    assert_eq!(probe.get(other).await.event.state, EventState::Routed);

    let next = probe.insert(event("3")).await.seq();
    let states = probe.job_states(next).await;
    assert_eq!(states, [("rest".to_owned(), JobState::Pending)]);
    let selection = Selection {
        filter: of(mine),
        ..Selection::default()
    };
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(mine, "rest")]);
}

pub(super) async fn retiring_goes_in_steps_and_stops_no_line(probe: &Probe<'_>) {
    let mut ordered = registration("ship", "*");
    ordered.ordering = Ordering::Block;
    probe.register(&[ordered.clone()]).await;
    let inserts = ["1", "2", "3", "4", "5"].map(|id| {
        let mut event = event(id);
        event.ordering_key = Some(Text::from_static("account"));
        event
    });
    probe.insert_all(inserts.to_vec()).await;
    let job = probe.claim_one("ship").await;
    probe.settled(&job, dead()).await;
    probe.advance(MINUTE).await;
    let mut left = 5;
    for (registered, jobs) in [(true, 2), (false, 2)] {
        let retired = retire(probe, &handler("ship"), 2).await;
        assert_eq!((retired.registered, retired.more), (registered, true));
        assert_eq!(retired.jobs, jobs);
        left -= jobs;
    }
    // It comes back in between: what is left runs.
    ordered.ordering = Ordering::Skip;
    probe.register(&[ordered]).await;
    let claimed = probe.claim(&["ship"], 10).await;
    let dead = probe.inbox.stats().await.expect("stats");
    let dead = usize::try_from(dead.jobs(JobState::Dead)).expect("a few");
    assert_eq!(claimed.len() + dead, left);

    let mut what = handler("ship");
    what.force = true;
    let last = retire(probe, &what, 2).await;
    assert_eq!((last.jobs, last.more), (left, false));
}
