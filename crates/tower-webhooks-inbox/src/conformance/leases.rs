//! Who holds a job, and for how long.

use std::{collections::BTreeSet, time::Duration};

use super::probe::{
    LEASE, Probe, SECOND, claim, dead, done, event, job_key, retry, seqs, settle, wants,
};
use crate::{Batch, Extend, Filter, JobState, Page, SettleResult, Settlement, Work, put_off};

pub(super) async fn a_claim_takes_no_more_than_the_free_slots(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    probe
        .insert_all((0..5).map(|id| event(&id.to_string())).collect())
        .await;
    let mut request = claim(&["a", "b"], 2);
    request.wants[1].free = 3;
    let batch = Batch {
        claim: Some(request),
        ..Batch::default()
    };
    let claimed = probe.apply(batch).await.claimed;
    let of = |handler: &str| claimed.iter().filter(|job| job.handler == handler).count();
    assert_eq!((of("a"), of("b")), (2, 3));
    assert!(probe.claim(&["a"], 0).await.is_empty(), "no slot, no job");
    assert_eq!(probe.claim(&["a", "b"], 10).await.len(), 5, "the rest");
}

pub(super) async fn the_oldest_due_job_comes_first(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut order = Vec::new();
    for id in ["1", "2", "3"] {
        order.push(probe.insert(event(id)).await.seq());
        probe.advance(SECOND).await;
    }
    let first = probe.claim(&["ship"], 1).await;
    assert_eq!(seqs(&first), order[..1]);
    probe.settled(&first[0], retry(Duration::ZERO)).await;
    probe.advance(SECOND).await;
    let rest = probe.claim(&["ship"], 10).await;
    assert_eq!(
        seqs(&rest),
        [order[1], order[2], order[0]],
        "due since, not stored since"
    );
}

pub(super) async fn an_unwanted_handler_is_left_alone(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let claimed = probe.claim(&["a"], 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].key(), job_key(seq, "a"));
    assert_eq!(probe.job(seq, "b").await.state, JobState::Pending);
    assert!(probe.claim(&["unknown"], 10).await.is_empty());
}

pub(super) async fn a_leased_job_is_not_given_twice(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let inserts = (0..4).map(|id| event(&id.to_string())).collect();
    probe.insert_all(inserts).await;
    let first = probe.claim(&["ship"], 2).await;
    let second = probe.claim_from(&probe.second, &["ship"], 10).await;
    let all: BTreeSet<_> = seqs(&first).into_iter().chain(seqs(&second)).collect();
    assert_eq!((first.len(), second.len(), all.len()), (2, 2, 4));
    probe.advance(LEASE - SECOND).await;
    assert!(probe.claim(&["ship"], 10).await.is_empty(), "still leased");
    assert_eq!(first[0].lease, LEASE);
}

pub(super) async fn an_ended_lease_is_taken_over_with_a_new_token(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let first = probe.claim_one("ship").await;
    probe.advance(LEASE).await;
    let taken = probe.claim_from(&probe.second, &["ship"], 10).await;
    assert_eq!(seqs(&taken), [seq]);
    assert!(taken[0].token > first.token, "tokens grow");
    assert_eq!((first.attempt, taken[0].attempt), (1, 2));
    probe.settled(&taken[0], Settlement::Done).await;
}

pub(super) async fn an_ended_lease_that_nobody_took_still_settles(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.advance(LEASE * 2).await;
    probe.settled(&job, Settlement::Done).await;
    assert_eq!(probe.job(seq, "ship").await.state, JobState::Done);
    assert!(probe.claim(&["ship"], 10).await.is_empty());
}

pub(super) async fn a_stale_token_settles_and_extends_nothing(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let stale = probe.claim_one("ship").await;
    probe.advance(LEASE).await;
    let current = probe.claim_one("ship").await;

    let outcomes = [Settlement::Done, dead(), Settlement::Release, retry(SECOND)];
    for outcome in outcomes {
        let result = probe.settle(settle(&stale, outcome.clone())).await;
        assert_eq!(result, SettleResult::LeaseLost, "{outcome:?}");
    }
    let extend = |token| Extend {
        key: job_key(seq, "ship"),
        token,
        by: LEASE * 9,
    };
    let batch = Batch {
        extends: vec![extend(stale.token), extend(0), extend(current.token + 1)],
        ..Batch::default()
    };
    assert_eq!(probe.apply(batch).await.extends, [false, false, false]);
    let job = probe.job(seq, "ship").await;
    assert_eq!((job.state, job.attempts), (JobState::Running, 2));
    assert!(job.due_in.is_some_and(|left| left <= LEASE), "{job:?}");

    probe.settled(&current, Settlement::Done).await;
    let twice = probe.settle(done(&current)).await;
    assert_eq!(twice, SettleResult::LeaseLost, "a token settles once");
    let mut unknown = done(&current);
    unknown.key = job_key(seq, "nobody");
    assert_eq!(probe.settle(unknown).await, SettleResult::LeaseLost);
}

pub(super) async fn an_extended_lease_lasts_from_then_on(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    probe.insert(event("1")).await;
    let job = probe.claim_one("ship").await;
    probe.advance(LEASE - SECOND).await;
    let batch = Batch {
        extends: vec![Extend {
            key: job.key(),
            token: job.token,
            by: LEASE,
        }],
        ..Batch::default()
    };
    assert_eq!(probe.apply(batch).await.extends, [true]);
    probe.advance(LEASE - SECOND).await;
    assert!(probe.claim(&["ship"], 1).await.is_empty(), "extended");
    probe.advance(SECOND).await;
    assert_eq!(probe.claim(&["ship"], 1).await.len(), 1, "not for ever");
}

pub(super) async fn attempts_count_at_the_claim(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    for attempt in 1..=3 {
        assert_eq!(probe.claim_one("ship").await.attempt, attempt);
        assert_eq!(probe.job(seq, "ship").await.attempts, attempt);
        vanish(probe, "ship", attempt).await;
    }
    let job = probe.claim_one("ship").await;
    probe.settled(&job, retry(Duration::ZERO)).await;
    assert_eq!(probe.claim_one("ship").await.attempt, 5);
}

pub(super) async fn jobs_that_were_cut_short_together_come_back_apart(probe: &Probe<'_>) {
    const JOBS: usize = 20;
    const ATTEMPTS: u32 = 6;
    probe.register_all(&["ship"]).await;
    let inserts = (0..JOBS).map(|id| event(&id.to_string())).collect();
    probe.insert_all(inserts).await;
    let claim_all = async |attempt| {
        let claimed = probe.claim(&["ship"], JOBS).await;
        assert_eq!(claimed.len(), JOBS, "all are due for attempt {attempt}");
        assert!(claimed.iter().all(|job| job.attempt == attempt));
        claimed
    };
    let mut held = claim_all(1).await;
    for attempt in 2..=ATTEMPTS {
        vanish(probe, "ship", attempt - 1).await;
        held = claim_all(attempt).await;
    }
    probe.advance(LEASE).await;
    let found = probe.claim_from(&probe.second, &["ship"], JOBS).await;
    assert!(found.is_empty(), "a claim puts them off: {found:?}");
    let listing = probe.inbox.list(&Filter::default(), Page::default()).await;
    let events = listing.expect("list").events;
    let mut due = Vec::new();
    for job in events.iter().flat_map(|event| &event.jobs) {
        assert_eq!((job.state, job.attempts), (JobState::Pending, ATTEMPTS));
        due.push(job.due_in.expect("it is due again"));
    }
    due.sort_unstable();
    assert_eq!(due.len(), JOBS);
    // That so many lie that close together happens once in 10^12 times.
    let most = put_off(ATTEMPTS).expect("it was cut short often");
    let (first, last) = (due[0], due[JOBS - 1]);
    assert!(last <= most && last - first > most / 5, "{due:?}");
    assert_eq!(
        probe.settle(done(&held[0])).await,
        SettleResult::LeaseLost,
        "it is pending"
    );
    probe.advance(most).await;
    claim_all(ATTEMPTS + 1).await;
}

/// The worker that has this handler's jobs for an attempt vanishes without a word;
/// afterwards all are due again.
async fn vanish(probe: &Probe<'_>, handler: &str, attempt: u32) {
    probe.advance(LEASE).await;
    if let Some(later) = put_off(attempt) {
        let found = probe.claim(&[handler], 100).await;
        assert!(found.is_empty(), "cut short {attempt} times: {found:?}");
        probe.advance(later).await;
    }
}

pub(super) async fn a_release_gives_the_attempt_back(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, Settlement::Release).await;
    let record = probe.job(seq, "ship").await;
    assert_eq!((record.state, record.attempts), (JobState::Pending, 0));
    let again = probe.claim_one("ship").await;
    assert_eq!(again.attempt, 1);
    assert!(again.token > job.token);
}

pub(super) async fn a_retry_is_not_due_before_its_time(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, retry(SECOND * 10)).await;
    let record = probe.job(seq, "ship").await;
    assert_eq!(record.state, JobState::Pending);
    assert_eq!(record.last_error.as_deref(), Some("bank away"));
    assert_eq!(record.worker.as_deref(), Some("worker"));
    probe.advance(SECOND * 9).await;
    assert!(probe.claim(&["ship"], 1).await.is_empty());
    probe.advance(SECOND).await;
    assert_eq!(probe.claim_one("ship").await.attempt, 2);
}

pub(super) async fn a_dead_job_does_not_run_again(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, dead()).await;
    probe.advance(LEASE * 100).await;
    assert!(probe.claim(&["ship"], 1).await.is_empty());
    let record = probe.job(seq, "ship").await;
    assert_eq!((record.state, record.due_in), (JobState::Dead, None));
    assert_eq!(record.last_error.as_deref(), Some("no such order"));
    assert!(probe.get(seq).await.event.body.is_some(), "replayable");
}

pub(super) async fn one_handler_done_leaves_the_other_pending(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("a").await;
    probe.settled(&job, Settlement::Done).await;
    assert_eq!(probe.job(seq, "a").await.state, JobState::Done);
    for _ in 0..5 {
        let failing = probe.claim_one("b").await;
        assert!(failing.event.body.is_some());
        probe.settled(&failing, retry(Duration::ZERO)).await;
    }
    assert_eq!(probe.job(seq, "a").await.attempts, 1, "done is done");
    assert!(probe.claim(&["a"], 1).await.is_empty());
}

pub(super) async fn next_due_tells_when_a_claim_will_find_something(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    assert_eq!(probe.next_due(&["a"]).await, None);
    probe.insert(event("1")).await;
    assert_eq!(probe.next_due(&["a"]).await, Some(Duration::ZERO));
    let full = wants(&["a", "b"], 0);
    let due = probe.inbox.next_due(&full).await.expect("next due");
    assert_eq!(due, None, "no free slot, nothing to wait for");

    let within = |due: Option<Duration>, least: Duration, most: Duration| {
        due.is_some_and(|due| due >= least && due <= most)
    };
    let a = probe.claim_one("a").await;
    let due = probe.next_due(&["a"]).await;
    assert!(
        within(due, LEASE - SECOND, LEASE),
        "the lease's end: {due:?}"
    );
    assert_eq!(probe.next_due(&["a", "b"]).await, Some(Duration::ZERO));
    probe.settled(&a, retry(SECOND * 10)).await;
    let due = probe.next_due(&["a"]).await;
    assert!(within(due, SECOND * 9, SECOND * 10), "the retry: {due:?}");
    probe.advance(SECOND * 20).await;
    assert_eq!(probe.next_due(&["a"]).await, Some(Duration::ZERO));
    let a = probe.claim_one("a").await;
    probe.settled(&a, Settlement::Done).await;
    assert_eq!(probe.next_due(&["a"]).await, None);
}

pub(super) async fn unknown_work_is_refused_and_the_lease_kept(probe: &Probe<'_>) {
    struct Unknown;
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    let mut with_work = done(&job);
    with_work.work = Some(Work::new(Unknown));
    let refused = probe.settle(with_work).await;
    assert!(
        matches!(refused, SettleResult::WorkRefused(_)),
        "{refused:?}"
    );
    assert_eq!(probe.job(seq, "ship").await.state, JobState::Running);
    probe.settled(&job, dead()).await;
}

pub(super) async fn a_batch_settles_before_it_claims(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    probe.insert(event("1")).await;
    let job = probe.claim_one("ship").await;
    let batch = Batch {
        inserts: vec![event("2")],
        settles: vec![settle(&job, Settlement::Release)],
        extends: vec![Extend {
            key: job.key(),
            token: job.token,
            by: LEASE,
        }],
        claim: Some(claim(&["ship"], 10)),
        ..Batch::default()
    };
    let applied = probe.apply(batch).await;
    assert_eq!(applied.settles, [SettleResult::Settled]);
    assert_eq!(applied.extends, [false], "settled just before");
    assert_eq!(applied.claimed.len(), 2, "the released and the new one");
}
