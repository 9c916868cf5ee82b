//! Who gets a job.

use tower_webhooks_core::Text;

use super::probe::{Probe, event, job_key, registration, typed, unusable};
use crate::{Batch, EventState, Inserted, JobState, Selection};

pub(super) async fn every_matching_handler_gets_a_job(probe: &Probe<'_>) {
    probe
        .register(&[
            registration("exact", "order.paid"),
            registration("prefix", "order.*"),
            registration("all", "*"),
            registration("other", "order.sent"),
        ])
        .await;
    let inserted = probe.insert(event("1")).await;
    let seq = inserted.seq();
    assert_eq!(inserted, Inserted::New { seq, jobs: 3 });
    let pending = |handler: &str| (handler.to_owned(), JobState::Pending);
    assert_eq!(
        probe.job_states(seq).await,
        [pending("all"), pending("exact"), pending("prefix")]
    );
    let claimed = probe.claim(&["all", "exact", "prefix", "other"], 9).await;
    assert_eq!(claimed.len(), 3);
    assert!(claimed.iter().all(|job| job.event.seq == seq));
}

pub(super) async fn a_fallback_gets_only_what_nothing_else_matched(probe: &Probe<'_>) {
    let mut fallback = registration("rest", "*");
    fallback.fallback = true;
    probe
        .register(&[registration("paid", "order.paid"), fallback])
        .await;
    let inserted = probe
        .insert_all(vec![event("1"), typed("2", "order.sent")])
        .await;
    let handled = probe.job_states(inserted[0].seq()).await;
    assert_eq!(handled, [("paid".to_owned(), JobState::Pending)]);
    let rest = probe.job_states(inserted[1].seq()).await;
    assert_eq!(rest, [("rest".to_owned(), JobState::Pending)]);
}

pub(super) async fn registering_again_changes_nothing_or_replaces(probe: &Probe<'_>) {
    for _ in 0..2 {
        probe.register(&[registration("ship", "order.paid")]).await;
    }
    let first = probe.insert(event("1")).await;
    assert_eq!(
        first,
        Inserted::New {
            seq: first.seq(),
            jobs: 1
        }
    );
    probe.register(&[registration("ship", "order.sent")]).await;
    let paid = probe.insert(event("2")).await;
    assert_eq!(paid, Inserted::Unhandled { seq: paid.seq() });
    let sent = probe.insert(typed("3", "order.sent")).await;
    assert_eq!(
        sent,
        Inserted::New {
            seq: sent.seq(),
            jobs: 1
        }
    );
    assert_eq!(
        probe.claim(&["ship"], 10).await.len(),
        2,
        "jobs made before are kept"
    );
}

pub(super) async fn handlers_of_an_endpoint_are_its_own(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut elsewhere = event("1");
    elsewhere.endpoint = Text::from_static("bank");
    let inserted = probe.insert(elsewhere.clone()).await;
    let seq = inserted.seq();
    assert_eq!(inserted, Inserted::Unhandled { seq });

    let mut of_bank = registration("ship", "*");
    of_bank.endpoint = Text::from_static("bank");
    probe.register(&[of_bank]).await;
    elsewhere.id = Some(Text::from_static("2"));
    probe.insert(elsewhere).await;
    assert!(
        probe.claim(&["ship"], 10).await.is_empty(),
        "the other's job"
    );
}

pub(super) async fn a_handler_registered_by_another_process_misses_nothing(probe: &Probe<'_>) {
    // The old deploy stores; it knows nothing of the handler that the new one adds.
    probe.register_all(&["ship"]).await;
    let before = probe.insert(event("1")).await.seq();
    let batch = Batch {
        registers: vec![registration("invoice", "order.*")],
        ..Batch::default()
    };
    probe.second.apply(batch).await.expect("register");
    let after = probe.insert(event("2")).await;
    let seq = after.seq();
    assert_eq!(after, Inserted::New { seq, jobs: 2 });

    let claimed = probe.claim_from(&probe.second, &["invoice"], 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].key(), job_key(seq, "invoice"));
    assert_eq!(probe.get(before).await.jobs.len(), 1, "no job for the past");
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 2);
}

pub(super) async fn a_handler_registered_with_its_first_event_gets_it(probe: &Probe<'_>) {
    let batch = Batch {
        registers: vec![registration("ship", "*")],
        inserts: vec![event("1")],
        ..Batch::default()
    };
    let inserted = probe.apply(batch).await.inserts;
    let seq = inserted[0].seq();
    assert_eq!(inserted, [Inserted::New { seq, jobs: 1 }]);
}

pub(super) async fn an_unhandled_event_runs_when_replayed_after_its_handler_came(
    probe: &Probe<'_>,
) {
    let inserted = probe.insert(event("1")).await;
    let seq = inserted.seq();
    assert_eq!(inserted, Inserted::Unhandled { seq });
    assert_eq!(probe.get(seq).await.event.state, EventState::Unhandled);
    assert!(probe.get(seq).await.event.body.is_some());

    let nothing = probe.replay(&Selection::default()).await;
    assert!(nothing.runs.is_empty(), "still nobody handles it");
    assert_eq!(probe.get(seq).await.event.state, EventState::Unhandled);

    probe.register_all(&["ship"]).await;
    assert!(probe.claim(&["ship"], 10).await.is_empty());
    let replayed = probe.replay(&Selection::default()).await;
    assert_eq!(replayed.runs, [job_key(seq, "ship")]);
    assert_eq!(probe.get(seq).await.event.state, EventState::Routed);
    assert_eq!(probe.claim_one("ship").await.event.seq, seq);
}

pub(super) async fn an_unusable_event_is_stored_without_a_job(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut broken = unusable("{\"id\":");
    broken.id = Some(Text::from_static("1"));
    let inserted = probe.insert(broken.clone()).await;
    let seq = inserted.seq();
    assert_eq!(inserted, Inserted::Unusable { seq });
    let record = probe.get(seq).await;
    assert_eq!(record.event.state, EventState::Unusable);
    assert_eq!(record.event.unusable.as_deref(), Some("not JSON"));
    assert_eq!(record.event.body.as_deref(), Some(&b"{\"id\":"[..]));
    assert!(record.jobs.is_empty());

    let again = probe.insert(broken).await;
    assert_eq!(again, Inserted::Duplicate { seq });
    assert_eq!(probe.get(seq).await.event.suppressed, 1);
    let named = probe.insert(event("1")).await;
    assert!(
        matches!(named, Inserted::New { jobs: 1, .. }),
        "its id was not trusted: {named:?}"
    );
    let mut read = unusable("{\"id\":");
    read.unusable = None;
    let read = probe.insert(read).await;
    assert!(
        matches!(read, Inserted::New { jobs: 1, .. }),
        "readable now, so it must run: {read:?}"
    );
}

pub(super) async fn results_keep_the_order_of_the_batch(probe: &Probe<'_>) {
    probe.register(&[registration("paid", "order.paid")]).await;
    let mut other = event("1");
    other.body = "another body".into();
    let inserted = probe
        .insert_all(vec![
            typed("0", "order.sent"),
            event("1"),
            unusable("?"),
            event("1"),
            other,
            event("2"),
        ])
        .await;
    let seq = |place: usize| inserted[place].seq();
    assert_eq!(
        inserted,
        [
            Inserted::Unhandled { seq: seq(0) },
            Inserted::New {
                seq: seq(1),
                jobs: 1
            },
            Inserted::Unusable { seq: seq(2) },
            Inserted::Duplicate { seq: seq(1) },
            Inserted::Conflict { seq: seq(4) },
            Inserted::New {
                seq: seq(5),
                jobs: 1
            },
        ]
    );
    assert_eq!(probe.get(seq(5)).await.event.id.as_deref(), Some("2"));
}
