//! What is a duplicate, and what is not.

use std::time::Duration;

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::probe::{Probe, SECOND, anonymous, event, settle, start};
use crate::{Batch, EventState, Filter, Inserted, Settlement, body_key, unsigned_key};

pub(super) async fn a_duplicate_within_a_batch_is_known(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let inserted = probe
        .insert_all(vec![event("1"), event("2"), event("1")])
        .await;
    let seq = inserted[0].seq();
    assert_eq!(inserted[0], Inserted::New { seq, jobs: 1 });
    assert_eq!(inserted[2], Inserted::Duplicate { seq });
    assert_eq!(
        probe.claim(&["ship"], 10).await.len(),
        2,
        "one job an event"
    );
}

pub(super) async fn a_duplicate_in_a_later_batch_is_known_to_every_writer(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    for inbox in [&probe.inbox, &probe.second] {
        let batch = Batch {
            inserts: vec![event("1")],
            ..Batch::default()
        };
        let applied = inbox.apply(batch).await.expect("insert");
        assert_eq!(applied.inserts, [Inserted::Duplicate { seq }]);
    }
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 1);
    let suppressed = probe.get(seq).await.event.suppressed;
    assert_eq!(suppressed, 0, "known by its signed id, not by its body");
}

pub(super) async fn a_duplicate_is_known_after_its_jobs_are_done(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(event("1")).await.seq();
    let job = probe.claim_one("ship").await;
    probe.settled(&job, Settlement::Done).await;
    assert_eq!(probe.insert(event("1")).await, Inserted::Duplicate { seq });
    assert!(probe.claim(&["ship"], 10).await.is_empty());
}

pub(super) async fn tenants_are_apart(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let of = |tenant: Option<&str>| {
        let mut event = event("1");
        event.tenant = tenant.map(Text::from);
        event
    };
    let inserted = probe
        .insert_all(vec![of(None), of(Some("a")), of(Some("b")), of(Some(""))])
        .await;
    for one in &inserted {
        assert!(matches!(one, Inserted::New { jobs: 1, .. }), "{one:?}");
    }
    let seq = inserted[1].seq();
    assert_eq!(
        probe.insert(of(Some("a"))).await,
        Inserted::Duplicate { seq }
    );
}

pub(super) async fn endpoints_are_apart(probe: &Probe<'_>) {
    let mut elsewhere = event("1");
    elsewhere.endpoint = Text::from_static("bank");
    let first = probe.insert(event("1")).await.seq();
    let second = probe.insert(elsewhere).await;
    assert_ne!(second.seq(), first);
    assert_eq!(second, Inserted::Unhandled { seq: second.seq() });
}

pub(super) async fn a_known_id_with_another_body_is_stored_apart(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let known = probe.insert(event("1")).await.seq();
    let mut other = event("1");
    other.body = Bytes::from_static(b"{\"order\":\"a larger one\"}");
    let conflict = probe.insert(other.clone()).await;
    let seq = conflict.seq();
    assert_eq!(conflict, Inserted::Conflict { seq });
    assert_ne!(seq, known);

    let record = probe.get(seq).await;
    assert_eq!(record.event.state, EventState::Conflict);
    assert_eq!(record.event.id.as_deref(), Some("1"));
    assert_eq!(record.event.body.as_deref(), Some(&other.body[..]));
    assert!(record.jobs.is_empty(), "a conflict has no job");
    assert_eq!(probe.get(known).await.event.state, EventState::Routed);

    let again = probe.insert(other).await;
    assert_eq!(
        again,
        Inserted::Duplicate { seq },
        "the same conflict again"
    );
    let first = probe.insert(event("1")).await;
    assert_eq!(first, Inserted::Duplicate { seq: known });
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 1);
}

pub(super) async fn an_equal_body_without_id_is_known_until_its_span_ends(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let span = Duration::from_secs(60);
    let at = |after: Duration| {
        let mut event = anonymous("ping");
        event.received_at = start() + after;
        event.dedup_span = span;
        event
    };
    let first = probe.insert(at(Duration::ZERO)).await;
    let seq = first.seq();
    assert_eq!(first, Inserted::New { seq, jobs: 1 });
    let known = probe.insert(at(span)).await;
    assert_eq!(known, Inserted::Duplicate { seq }, "the edge is inside");
    assert_eq!(probe.get(seq).await.event.suppressed, 1);
    let earlier = probe.insert(at(Duration::ZERO)).await;
    assert_eq!(earlier, Inserted::Duplicate { seq }, "never negative");
    assert_eq!(probe.get(seq).await.event.suppressed, 2);

    let again = probe.insert(at(span + SECOND)).await;
    let next = again.seq();
    assert_eq!(
        again,
        Inserted::New { seq: next, jobs: 1 },
        "the span is over"
    );
    let known = probe.insert(at(span + span)).await;
    assert_eq!(
        known,
        Inserted::Duplicate { seq: next },
        "the latest counts"
    );
    let third = probe.insert(at(span * 3)).await;
    assert!(matches!(third, Inserted::New { jobs: 1, .. }), "{third:?}");
    assert_eq!(probe.get(seq).await.event.suppressed, 2);
    assert_eq!(probe.get(next).await.event.suppressed, 1);
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 3);
}

pub(super) async fn an_equal_body_is_new_under_another_signed_id(probe: &Probe<'_>) {
    let mut other = event("2");
    other.body = event("1").body;
    let inserted = probe.insert_all(vec![event("1"), other]).await;
    let seq = inserted[1].seq();
    assert_ne!(seq, inserted[0].seq());
    assert_eq!(inserted[1], Inserted::Unhandled { seq });
}

pub(super) async fn an_unsigned_id_cannot_rename_a_known_body(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let named = |id: &str, after: Duration| {
        let mut event = anonymous("the captured body");
        event.id = Some(Text::from(id));
        event.id_signed = false;
        event.received_at = start() + after;
        event.dedup_span = Duration::from_secs(60);
        event
    };
    let seq = probe.insert(named("1", Duration::ZERO)).await.seq();
    let renamed = probe.insert(named("2", SECOND)).await;
    assert_eq!(renamed, Inserted::Duplicate { seq });
    assert_eq!(probe.get(seq).await.event.suppressed, 1, "and is recorded");
    let same = probe.insert(named("1", Duration::from_secs(61))).await;
    assert_eq!(same, Inserted::Duplicate { seq }, "the id has no span");
    let late = probe.insert(named("2", Duration::from_secs(61))).await;
    assert!(matches!(late, Inserted::New { jobs: 1, .. }), "{late:?}");
}

pub(super) async fn an_equal_body_of_another_unsigned_type_is_new(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let of = |id: Option<&str>, event_type: &str| {
        let mut event = anonymous("one order, made and paid at once");
        event.id = id.map(Text::from);
        event.id_signed = false;
        event.event_type = Some(Text::from(event_type));
        event.type_signed = false;
        event
    };
    for [made, paid, renamed] in [
        [Some("1"), Some("2"), Some("3")],
        [Some("4"), Some("4"), Some("5")],
        [None, None, None],
    ] {
        probe.advance(SECOND).await;
        let tenant = made.unwrap_or("nobody");
        let of = |id, event_type| {
            let mut event = of(id, event_type);
            event.tenant = Some(Text::from(tenant));
            event
        };
        let first = probe.insert(of(made, "order.made")).await;
        let second = probe.insert(of(paid, "order.paid")).await;
        for one in [first, second] {
            assert_eq!(
                one,
                Inserted::New {
                    seq: one.seq(),
                    jobs: 1
                }
            );
        }
        for (id, event_type, seq) in [
            (made, "order.made", first.seq()),
            (paid, "order.paid", second.seq()),
            (renamed, "order.made", first.seq()),
            (renamed, "order.paid", second.seq()),
        ] {
            let again = probe.insert(of(id, event_type)).await;
            assert_eq!(again, Inserted::Duplicate { seq }, "{id:?} {event_type}");
        }
    }
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 6);
}

pub(super) async fn a_signed_id_is_known_under_every_type(probe: &Probe<'_>) {
    let of = |event_type: &str| {
        let mut event = event("1");
        event.event_type = Some(Text::from(event_type));
        event.type_signed = false;
        event
    };
    let seq = probe.insert(of("order.made")).await.seq();
    let again = probe.insert(of("order.paid")).await;
    assert_eq!(again, Inserted::Duplicate { seq });
}

pub(super) async fn an_unsigned_id_with_another_body_is_new_and_both_run(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let named = |id: &str, body: &str, after: Duration| {
        let mut event = anonymous(body);
        event.id = Some(Text::from(id));
        event.id_signed = false;
        event.received_at = start() + after;
        event.dedup_span = Duration::from_secs(60);
        event
    };
    // Captured, and sent ahead under an id that the provider has still to give.
    let ahead = probe.insert(named("2", "captured", Duration::ZERO)).await;
    let ahead = ahead.seq();
    let genuine = probe.insert(named("2", "genuine", SECOND)).await;
    let seq = genuine.seq();
    assert_eq!(genuine, Inserted::New { seq, jobs: 1 });
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 2, "both run");
    let kept = probe.get(seq).await.event;
    assert_eq!(kept.state, EventState::Routed);
    assert_eq!(kept.key, unsigned_key("2", &kept.body_sha256));
    let filter = Filter {
        id: Some(Text::from_static("2")),
        ..Filter::default()
    };
    assert_eq!(probe.list(&filter).await, [ahead, seq]);

    for after in [SECOND, Duration::from_secs(600)] {
        let again = probe.insert(named("2", "genuine", after)).await;
        assert_eq!(again, Inserted::Duplicate { seq }, "the id has no span");
        let again = probe.insert(named("2", "captured", after)).await;
        assert_eq!(again, Inserted::Duplicate { seq: ahead });
    }
    let suppressed = probe.get(seq).await.event.suppressed;
    assert_eq!(suppressed, 0, "known by its id and body");
}

pub(super) async fn a_known_body_is_a_duplicate_under_every_known_unsigned_id(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let named = |id: &str, body: &str| {
        let mut event = anonymous(body);
        event.id = Some(Text::from(id));
        event.id_signed = false;
        event
    };
    let first = probe.insert(named("1", "a")).await.seq();
    let other = probe.insert(named("2", "b")).await.seq();
    // Neither swapped nor renamed does a captured body run again.
    for (id, body, seq) in [("1", "b", other), ("2", "a", first), ("3", "a", first)] {
        let again = probe.insert(named(id, body)).await;
        assert_eq!(again, Inserted::Duplicate { seq }, "{id} {body}");
    }
    assert_eq!(probe.claim(&["ship"], 10).await.len(), 2);
    assert_eq!(probe.get(first).await.event.suppressed, 2);
}

pub(super) async fn an_id_that_looks_like_a_key_is_only_an_id(probe: &Probe<'_>) {
    let mut hashed = anonymous("a body");
    let sha256 = hashed.hash_body();
    let by_body = probe.insert(hashed).await.seq();
    let mut posing = event("1");
    posing.id = Some(body_key(&sha256));
    let posed = probe.insert(posing).await;
    assert_eq!(posed, Inserted::Unhandled { seq: posed.seq() });
    assert_ne!(posed.seq(), by_body);

    let named = |id: &str, body: &str| {
        let mut event = anonymous(body);
        event.id = Some(Text::from(id));
        event.id_signed = false;
        event
    };
    probe.insert(named("2", "b")).await;
    let apart = probe.insert(named("2", "c")).await.seq();
    let key = probe.get(apart).await.event.key.clone();
    let posed = probe.insert(named(&key, "d")).await;
    assert_eq!(posed, Inserted::Unhandled { seq: posed.seq() });
    assert_eq!(
        probe.get(posed.seq()).await.event.key,
        format!("id:{key}").as_str()
    );
}

pub(super) async fn everything_of_an_event_is_kept(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut new = event("1");
    new.tenant = Some(Text::from_static("a"));
    new.occurred_at = Some(start() - SECOND);
    new.secret_label = Some(Text::from_static("2026"));
    new.payload_label = Some(Text::from_static("2025"));
    new.headers = [
        (
            Text::from_static("x-trace"),
            Bytes::from_static(b"\xff\x00"),
        ),
        (Text::from_static("x-trace"), Bytes::from_static(b"2")),
    ]
    .into();
    new.body = Bytes::from_static(b"{\"bytes\":\"\xf0\x28\"}\0");
    let sha256 = new.hash_body();
    let seq = probe.insert(new.clone()).await.seq();

    let leased = probe.claim_one("ship").await;
    let kept = probe.get(seq).await.event;
    for stored in [&leased.event, &kept] {
        assert_eq!(stored.seq, seq);
        assert_eq!(stored.state, EventState::Routed);
        assert_eq!(stored.endpoint, new.endpoint);
        assert_eq!(stored.tenant, new.tenant);
        assert_eq!(stored.id, new.id);
        assert!(stored.id_signed);
        assert_eq!(stored.event_type, new.event_type);
        assert_eq!(stored.unusable, None);
        assert_eq!(stored.occurred_at, new.occurred_at);
        assert_eq!(stored.received_at, new.received_at);
        assert_eq!(stored.headers, new.headers);
        assert_eq!(stored.body.as_ref(), Some(&new.body));
        assert_eq!(stored.body_bytes, 15);
        assert_eq!(stored.body_sha256, sha256);
        assert_eq!(stored.secret_label, new.secret_label);
        assert_eq!(stored.payload_label, new.payload_label);
        assert_eq!(stored.reply, None);
        assert!(!stored.erased);
    }
    let result = probe.settle(settle(&leased, Settlement::Done)).await;
    assert_eq!(result, crate::SettleResult::Settled);
}
