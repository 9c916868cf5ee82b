//! What people do: replay, look, prune, erase.

use std::time::Duration;

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::probe::{
    LEASE, Probe, SECOND, anonymous, dead, done, event, insert_dead, job_key, of, registration,
    retry, typed, unusable,
};
use crate::{
    Batch, Erase, EventSeq, EventState, Filter, Inserted, JobState, NewEvent, Page, Pruned,
    Reserve, Reserved, Retention, Selection, SettleResult, Settlement,
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const AN_HOUR: Retention = Retention {
    bodies: HOUR,
    keys: HOUR,
};

pub(super) async fn a_replay_runs_only_what_is_selected(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    let first = probe.insert(event("1")).await.seq();
    let other = probe.insert(event("2")).await.seq();
    for job in probe.claim(&["a"], 10).await {
        probe.settled(&job, dead()).await;
    }
    for job in probe.claim(&["b"], 10).await {
        probe.settled(&job, Settlement::Done).await;
    }
    let replayed = probe
        .replay(&Selection {
            filter: of(first),
            ..Selection::default()
        })
        .await;
    assert_eq!(replayed.runs, [job_key(first, "a")]);
    assert_eq!(
        replayed.done,
        [job_key(first, "b")],
        "named, and left alone"
    );
    assert_eq!(probe.job(first, "b").await.state, JobState::Done);
    assert_eq!(probe.job(other, "a").await.state, JobState::Dead);
    let claimed = probe.claim(&["a", "b"], 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].key(), job_key(first, "a"));

    let running = probe
        .replay(&Selection {
            filter: of(first),
            ..Selection::default()
        })
        .await;
    assert!(running.runs.is_empty(), "a running job is left alone");
    probe.settled(&claimed[0], Settlement::Done).await;

    let by_state = Selection {
        filter: Filter {
            handler: Some(Text::from_static("a")),
            job_state: Some(JobState::Dead),
            ..Filter::default()
        },
        ..Selection::default()
    };
    let replayed = probe.replay(&by_state).await;
    assert_eq!(replayed.runs, [job_key(other, "a")]);
}

pub(super) async fn a_dry_run_replays_nothing(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = insert_dead(probe, "1", "ship").await;
    let selection = Selection {
        dry_run: true,
        ..Selection::default()
    };
    for _ in 0..2 {
        let replayed = probe.replay(&selection).await;
        assert_eq!(replayed.runs, [job_key(seq, "ship")]);
    }
    assert_eq!(probe.job(seq, "ship").await.state, JobState::Dead);
    assert!(probe.claim(&["ship"], 1).await.is_empty());
}

pub(super) async fn a_replayed_job_starts_over_and_keeps_its_history(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, retry(Duration::ZERO)).await;
    let job = probe.claim_one("ship").await;
    probe.settled(&job, dead()).await;
    probe.replay(&Selection::default()).await;
    let record = probe.job(seq, "ship").await;
    assert_eq!(record.state, JobState::Pending);
    assert_eq!((record.attempts, record.earlier_attempts), (0, 2));
    assert_eq!(record.last_error.as_deref(), Some("no such order"));
    let again = probe.claim_one("ship").await;
    assert_eq!(again.attempt, 1);
    assert!(again.token > job.token);

    probe.settled(&again, retry(HOUR)).await;
    probe.replay(&Selection::default()).await;
    assert_eq!(probe.claim_one("ship").await.attempt, 1, "at once");
}

pub(super) async fn a_conflict_runs_when_it_is_replayed(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let known = insert_dead(probe, "1", "ship").await;
    let mut other = event("1");
    other.body = Bytes::from_static(b"the corrected order");
    let seq = probe.insert(other.clone()).await.seq();
    let selection = Selection {
        filter: Filter {
            state: Some(EventState::Conflict),
            ..Filter::default()
        },
        ..Selection::default()
    };
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(seq, "ship")]);
    let job = probe.claim_one("ship").await;
    assert_eq!(job.event.seq, seq);
    assert_eq!(job.event.body.as_ref(), Some(&other.body));
    assert_eq!(probe.job(known, "ship").await.state, JobState::Dead);
    let again = probe.insert(other).await;
    assert_eq!(again, Inserted::Duplicate { seq }, "its key has stayed");
    assert!(probe.replay(&selection).await.runs.is_empty());
}

pub(super) async fn a_backfill_gives_a_new_handler_the_old_events(probe: &Probe<'_>) {
    probe.register_all(&["old"]).await;
    let paid = insert_dead(probe, "1", "old").await;
    let sent = probe.insert(typed("2", "order.sent")).await.seq();
    probe
        .register(&[
            registration("new", "order.paid"),
            registration("newer", "*"),
        ])
        .await;
    let mut selection = Selection {
        filter: Filter {
            handler: Some(Text::from_static("new")),
            ..Filter::default()
        },
        ..Selection::default()
    };
    assert!(
        probe.replay(&selection).await.runs.is_empty(),
        "not asked for"
    );
    selection.backfill = true;
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(paid, "new")]);
    assert_eq!(probe.job(paid, "old").await.state, JobState::Dead);
    assert_eq!(probe.get(sent).await.jobs.len(), 1, "not for its pattern");
    assert_eq!(probe.claim_one("new").await.event.seq, paid);
}

pub(super) async fn lists_are_filtered_and_paged(probe: &Probe<'_>) {
    probe.register(&[registration("paid", "order.paid")]).await;
    let mut tenant = event("1");
    tenant.tenant = Some(Text::from_static("a"));
    let mut late = typed("2", "order.sent");
    late.received_at += HOUR;
    let inserted = probe
        .insert_all(vec![event("1"), tenant, late.clone()])
        .await;
    let [plain, tenant, sent] = [0, 1, 2].map(|place: usize| inserted[place].seq());
    let all = Filter::default();
    assert_eq!(probe.list(&all).await, [plain, tenant, sent]);

    let only = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let edge = Some(late.received_at);
    let pattern: crate::Pattern = "order.sent".parse().expect("a pattern");
    let choices = [
        (only(&|f| f.seq = Some(tenant)), vec![tenant]),
        (only(&|f| f.tenant = Some("a".into())), vec![tenant]),
        (only(&|f| f.endpoint = Some("bank".into())), vec![]),
        (only(&|f| f.id = Some("1".into())), vec![plain, tenant]),
        (only(&|f| f.state = Some(EventState::Unhandled)), vec![sent]),
        (only(&|f| f.event_type = Some(pattern.clone())), vec![sent]),
        (
            only(&|f| f.handler = Some("paid".into())),
            vec![plain, tenant],
        ),
        (
            only(&|f| f.job_state = Some(JobState::Pending)),
            vec![plain, tenant],
        ),
        (only(&|f| f.job_state = Some(JobState::Dead)), vec![]),
        (only(&|f| f.received_from = edge), vec![sent]),
        (only(&|f| f.received_until = edge), vec![plain, tenant]),
        (only(&|f| f.suppressed = true), vec![]),
    ];
    for (filter, expected) in choices {
        assert_eq!(probe.list(&filter).await, expected, "{filter:?}");
    }

    let mut page = Page {
        limit: 2,
        ..Page::default()
    };
    let first = probe.inbox.list(&all, page).await.expect("list");
    assert_eq!((first.events.len(), first.next), (2, Some(tenant)));
    page.after = first.next;
    let last = probe.inbox.list(&all, page).await.expect("list");
    assert_eq!((last.events.len(), last.next), (1, None));
    assert_eq!(last.events[0].event.seq, sent);
    let nobody = EventSeq(sent.0 + 1_000);
    assert!(probe.inbox.get(nobody).await.expect("get").is_none());
}

pub(super) async fn pruning_keeps_what_is_unfinished_or_dead(probe: &Probe<'_>) {
    probe.register(&[registration("ship", "order.paid")]).await;
    let dead = insert_dead(probe, "1", "ship").await;
    let finished = probe.insert(event("2")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, Settlement::Done).await;
    let running = probe.insert(event("3")).await.seq();
    let lease = probe.claim_one("ship").await;
    let pending = probe.insert(event("4")).await.seq();
    let unusable = probe.insert(unusable("?")).await.seq();
    let unhandled = probe.insert(typed("5", "order.sent")).await.seq();
    let undecided = Reserve {
        event: typed("6", "card.charge"),
        hold: HOUR * 2,
    };
    let reserves = vec![undecided];
    let batch = Batch {
        reserves,
        ..Batch::default()
    };
    let undecided = probe.apply(batch).await.reserves.remove(0);
    let Reserved::New { seq: undecided, .. } = undecided else {
        panic!("it is new");
    };

    probe.advance(HOUR - SECOND).await;
    let early = probe.inbox.prune(&AN_HOUR, 100).await.expect("prune");
    assert_eq!(early, Pruned::default(), "nothing is an hour old");
    probe.advance(SECOND * 2).await;
    let young = probe.insert(typed("7", "order.sent")).await.seq();
    let pruned = probe.inbox.prune(&AN_HOUR, 100).await.expect("prune");
    assert_eq!((pruned.keys, pruned.more), (2, false));
    for gone in [finished, unhandled] {
        assert!(probe.inbox.get(gone).await.expect("get").is_none());
    }
    let kept = [dead, running, pending, unusable, undecided, young];
    assert_eq!(probe.list(&Filter::default()).await, kept);
    assert!(
        probe.get(dead).await.event.body.is_some(),
        "still replayable"
    );
    probe.settled(&lease, Settlement::Done).await;
}

pub(super) async fn pruning_bodies_keeps_keys(probe: &Probe<'_>) {
    let retention = Retention {
        bodies: HOUR,
        keys: HOUR * 2,
    };
    let inserted = ["1", "2", "3"].map(|id| typed(id, "order.sent")).to_vec();
    let seq = probe.insert_all(inserted).await[0].seq();
    probe.advance(HOUR).await;
    let first = probe.inbox.prune(&retention, 2).await.expect("prune");
    let step = |bodies, more| Pruned {
        bodies,
        keys: 0,
        more,
    };
    assert_eq!(first, step(2, true), "bounded");
    let rest = probe.inbox.prune(&retention, 2).await.expect("prune");
    assert_eq!(rest, step(1, false));
    let none = probe.inbox.prune(&retention, 2).await.expect("prune");
    assert_eq!(none, step(0, false), "once");

    let kept = probe.get(seq).await.event;
    assert_eq!((&kept.body, kept.headers.len()), (&None, 0));
    assert_eq!(kept.body_bytes, event("1").body.len() as u64);
    let again = probe.insert(typed("1", "order.sent")).await;
    assert_eq!(again, Inserted::Duplicate { seq }, "the key has stayed");
    probe.register_all(&["ship"]).await;
    let replayed = probe
        .replay(&Selection {
            filter: of(seq),
            ..Selection::default()
        })
        .await;
    assert_eq!((replayed.gone, replayed.runs), (vec![seq], vec![]));
}

pub(super) async fn pruning_keys_forgets_the_event(probe: &Probe<'_>) {
    let mut by_body = anonymous("ping");
    by_body.event_type = Some(Text::from_static("ping"));
    let events = vec![typed("1", "order.sent"), by_body];
    let before = probe.insert_all(events.clone()).await;
    probe.advance(HOUR).await;
    let pruned = probe.inbox.prune(&AN_HOUR, 100).await.expect("prune");
    assert_eq!((pruned.keys, pruned.more), (2, false));
    let after = probe.insert_all(events).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(*after, Inserted::Unhandled { seq: after.seq() });
        assert!(after.seq() > before.seq(), "a number is used once");
    }
}

pub(super) async fn erasing_wipes_the_body_and_keeps_the_key(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut personal = event("1");
    personal.headers = [(Text::from_static("x-user"), Bytes::from_static(b"ann"))].into();
    let seq = probe.insert(personal.clone()).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, dead()).await;
    let other = probe.insert(event("2")).await.seq();

    let erase = Erase::Event(seq);
    assert_eq!(probe.inbox.erase(&erase).await.expect("erase"), 1);
    assert_eq!(probe.inbox.erase(&erase).await.expect("erase"), 0, "once");
    let kept = probe.get(seq).await;
    assert!(kept.event.erased);
    assert_eq!((&kept.event.body, kept.event.headers.len()), (&None, 0));
    assert_eq!(kept.jobs[0].last_error, None);
    assert_eq!(kept.jobs[0].state, JobState::Dead);
    let again = probe.insert(personal).await;
    assert_eq!(again, Inserted::Duplicate { seq }, "the key has stayed");
    assert!(probe.get(other).await.event.body.is_some());
    let nobody = Erase::Event(EventSeq(other.0 + 1_000));
    assert_eq!(probe.inbox.erase(&nobody).await.expect("erase"), 0);

    probe.advance(HOUR).await;
    probe.inbox.prune(&AN_HOUR, 10).await.expect("prune");
    let left = probe.list(&Filter::default()).await;
    assert_eq!(left, [other], "nothing waits for an erased event");
}

pub(super) async fn erasing_a_tenant_leaves_the_others(probe: &Probe<'_>) {
    let of = |id: &str, tenant: &str| -> NewEvent {
        let mut event = event(id);
        event.tenant = Some(Text::from(tenant));
        event
    };
    let mut elsewhere = of("1", "a");
    elsewhere.endpoint = Text::from_static("bank");
    let events = vec![
        of("1", "a"),
        of("2", "a"),
        of("1", "b"),
        elsewhere,
        event("1"),
    ];
    let inserted = probe.insert_all(events).await;
    let erased = probe
        .inbox
        .erase(&Erase::Tenant {
            endpoint: Text::from_static("shop"),
            tenant: Text::from_static("a"),
        })
        .await;
    assert_eq!(erased.expect("erase"), 2);
    let mut gone = Vec::new();
    for one in &inserted {
        gone.push(probe.get(one.seq()).await.event.body.is_none());
    }
    assert_eq!(gone, [true, true, false, false, false]);
}

pub(super) async fn erasing_a_large_tenant_erases_all_of_it(probe: &Probe<'_>) {
    let of = |number: u32, tenant: &str| {
        let mut event = event(&number.to_string());
        event.tenant = Some(Text::from(tenant));
        event
    };
    // More than one transaction takes, and others' events among them.
    let of_number = |number: u32| of(number, if number.is_multiple_of(5) { "b" } else { "a" });
    let inserted = probe.insert_all((0..750).map(of_number).collect()).await;
    let what = Erase::Tenant {
        endpoint: Text::from_static("shop"),
        tenant: Text::from_static("a"),
    };
    assert_eq!(probe.inbox.erase(&what).await.expect("erase"), 600);
    assert_eq!(probe.inbox.erase(&what).await.expect("erase"), 0, "once");
    for place in [1, 249, 251, 499, 501, 749] {
        let event = probe.get(inserted[place].seq()).await.event;
        assert!(event.erased && event.body.is_none(), "{place}");
    }
    let other = probe.get(inserted[745].seq()).await.event;
    assert!(!other.erased && other.body.is_some());
}

pub(super) async fn an_erased_job_cannot_settle(probe: &Probe<'_>) {
    probe.register_all(&["a", "b"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let running = probe.claim_one("a").await;
    probe.inbox.erase(&Erase::Event(seq)).await.expect("erase");
    let late = probe.settle(done(&running)).await;
    assert_eq!(late, SettleResult::LeaseLost);
    probe.advance(LEASE).await;
    assert!(probe.claim(&["a", "b"], 10).await.is_empty());
    for handler in ["a", "b"] {
        assert_eq!(probe.job(seq, handler).await.state, JobState::Dead);
    }
}
