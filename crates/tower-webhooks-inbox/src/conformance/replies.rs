//! Who decides a reply, and that it is decided once.

use bytes::Bytes;
use tower_webhooks_core::Text;

use super::probe::{LEASE, Probe, SECOND, anonymous, event, unusable};
use crate::{
    Batch, DecidedBy, EventSeq, EventState, Inserted, JobState, RecordReply, Recorded,
    RecordedReply, Reply, Reserve, Reserved, Retention,
};

fn reply(body: &'static str) -> Reply {
    Reply {
        status: 200,
        content_type: Some(Text::from_static("application/json")),
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn record(seq: EventSeq, token: u64, body: &'static str) -> RecordReply {
    RecordReply {
        seq,
        token,
        reply: reply(body),
        by: DecidedBy::Handler,
    }
}

async fn reserve_new(probe: &Probe<'_>, id: &str) -> (EventSeq, u64) {
    match probe.reserve(event(id)).await {
        Reserved::New { seq, token } => (seq, token),
        other => panic!("a new event is reserved, not {other:?}"),
    }
}

pub(super) async fn a_recorded_reply_answers_every_redelivery(probe: &Probe<'_>) {
    let (seq, token) = reserve_new(probe, "1").await;
    let stored = probe.record(record(seq, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored);
    for _ in 0..2 {
        let reply = reply("approved");
        let again = probe.reserve(event("1")).await;
        assert_eq!(again, Reserved::Recorded { seq, reply });
        probe.advance(LEASE * 2).await;
    }
    let kept = probe.get(seq).await.event.reply.clone();
    let reply = reply("approved");
    let by = DecidedBy::Handler;
    assert_eq!(kept, Some(RecordedReply { reply, by }));
    assert_eq!(probe.insert(event("1")).await, Inserted::Duplicate { seq });
}

pub(super) async fn a_redelivery_waits_while_another_decides(probe: &Probe<'_>) {
    let (seq, _) = reserve_new(probe, "1").await;
    probe.advance(SECOND * 10).await;
    match probe.reserve(event("1")).await {
        Reserved::InProgress {
            seq: known,
            remaining,
        } => {
            assert_eq!(known, seq);
            let least = LEASE - SECOND * 11;
            let most = LEASE - SECOND * 10;
            assert!(remaining >= least && remaining <= most, "{remaining:?}");
        }
        other => panic!("another delivery is deciding, not {other:?}"),
    }
    probe.advance(LEASE - SECOND * 11).await;
    let held = probe.reserve(event("1")).await;
    assert!(matches!(held, Reserved::InProgress { .. }), "{held:?}");
}

pub(super) async fn a_redelivery_that_looks_again_is_suppressed_once(probe: &Probe<'_>) {
    let Reserved::New { seq, token } = probe.reserve(anonymous("{}")).await else {
        panic!("it is new");
    };
    for _ in 0..3 {
        let looked = probe.reserve(anonymous("{}")).await;
        assert!(matches!(looked, Reserved::InProgress { .. }), "{looked:?}");
    }
    assert_eq!(probe.get(seq).await.event.suppressed, 0);
    let stored = probe.record(record(seq, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored);
    let decided = probe.reserve(anonymous("{}")).await;
    assert!(matches!(decided, Reserved::Recorded { .. }), "{decided:?}");
    assert_eq!(probe.get(seq).await.event.suppressed, 1);
}

pub(super) async fn an_abandoned_reservation_is_taken_over(probe: &Probe<'_>) {
    let (seq, first) = reserve_new(probe, "1").await;
    probe.advance(LEASE).await;
    let Reserved::Abandoned { seq: known, token } = probe.reserve(event("1")).await else {
        panic!("nobody holds it");
    };
    assert_eq!(known, seq);
    assert!(token > first, "a fresh token");
    let held = probe.reserve(event("1")).await;
    assert!(matches!(held, Reserved::InProgress { .. }), "{held:?}");
    let default = RecordReply {
        by: DecidedBy::Default(Text::from_static("crashed")),
        ..record(seq, token, "declined")
    };
    assert_eq!(probe.record(default).await, Recorded::Stored);
    let kept = probe.get(seq).await.event.reply.clone();
    let by = kept.map(|kept| kept.by);
    assert_eq!(by, Some(DecidedBy::Default(Text::from_static("crashed"))));

    // An event that was stored without a reservation has nobody deciding either.
    let plain = probe.insert(event("2")).await.seq();
    let taken = probe.reserve(event("2")).await;
    assert!(
        matches!(taken, Reserved::Abandoned { seq, .. } if seq == plain),
        "{taken:?}"
    );
}

pub(super) async fn a_reservation_that_nobody_decides_ends_by_age(probe: &Probe<'_>) {
    let retention = Retention {
        bodies: LEASE * 2,
        keys: LEASE * 4,
    };
    let (seq, token) = reserve_new(probe, "1").await;
    let prune = || async { probe.inbox.prune(&retention, 100).await.expect("prune") };
    probe.advance(LEASE * 2).await;
    assert_eq!(prune().await.bodies, 1);
    // One that comes again is decided, by the default: its body is not needed.
    let again = probe.reserve(event("1")).await;
    let Reserved::Abandoned { token: next, .. } = again else {
        panic!("its key is known: {again:?}");
    };
    let stale = probe.record(record(seq, token, "late")).await;
    assert_eq!(stale, Recorded::Lost);
    probe.advance(LEASE * 2 - SECOND).await;
    let held = probe.reserve(event("1")).await;
    let Reserved::Abandoned { token: last, .. } = held else {
        panic!("its hold is over: {held:?}");
    };
    assert!(last > next);
    probe.advance(SECOND * 2).await;
    assert_eq!(prune().await.keys, 0, "somebody may be deciding");
    probe.advance(LEASE).await;
    assert_eq!(prune().await.keys, 1);
    assert_eq!(probe.inbox.stats().await.expect("stats").undecided, 0);
    assert_eq!(
        probe.record(record(seq, last, "late")).await,
        Recorded::Lost
    );
    reserve_new(probe, "1").await;
}

pub(super) async fn a_stale_reservation_records_nothing(probe: &Probe<'_>) {
    let (seq, stale) = reserve_new(probe, "1").await;
    probe.advance(LEASE).await;
    let Reserved::Abandoned { token, .. } = probe.reserve(event("1")).await else {
        panic!("nobody holds it");
    };
    let late = probe.record(record(seq, stale, "approved")).await;
    assert_eq!(late, Recorded::Lost, "someone else decides");
    assert_eq!(probe.get(seq).await.event.reply, None);
    let declined = probe.record(record(seq, token, "declined")).await;
    assert_eq!(declined, Recorded::Stored);
    let later = probe.record(record(seq, stale, "approved")).await;
    assert_eq!(later, Recorded::Superseded(reply("declined")));
    let again = probe.reserve(event("1")).await;
    let reply = reply("declined");
    assert_eq!(again, Reserved::Recorded { seq, reply });
}

pub(super) async fn the_first_recorded_reply_stands(probe: &Probe<'_>) {
    let (seq, token) = reserve_new(probe, "1").await;
    probe.advance(LEASE * 2).await;
    let first = probe.record(record(seq, token, "approved")).await;
    assert_eq!(first, Recorded::Stored, "nobody took the reservation over");
    let second = probe.record(record(seq, token, "declined")).await;
    assert_eq!(second, Recorded::Superseded(reply("approved")));
    let nothing = EventSeq(seq.0 + 1_000);
    let unknown = probe.record(record(nothing, token, "approved")).await;
    assert_eq!(unknown, Recorded::Lost);
}

pub(super) async fn a_conflicting_reservation_reserves_nothing(probe: &Probe<'_>) {
    let (known, token) = reserve_new(probe, "1").await;
    let mut other = event("1");
    other.body = Bytes::from_static(b"a larger amount");
    let Reserved::Conflict { seq } = probe.reserve(other.clone()).await else {
        panic!("the id is known with another body");
    };
    assert_ne!(seq, known);
    assert_eq!(probe.get(seq).await.event.state, EventState::Conflict);
    let again = probe.reserve(other).await;
    assert_eq!(again, Reserved::Conflict { seq });
    let stored = probe.record(record(known, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored, "the true one is undisturbed");
}

pub(super) async fn an_unsigned_id_with_another_body_is_decided_for_itself(probe: &Probe<'_>) {
    let named = |body: &'static str| {
        let mut event = event("1");
        event.id_signed = false;
        event.body = Bytes::from_static(body.as_bytes());
        event
    };
    let ahead = probe.reserve(named("captured")).await;
    assert!(matches!(ahead, Reserved::New { .. }), "{ahead:?}");
    let Reserved::New { seq, token } = probe.reserve(named("genuine")).await else {
        panic!("another body is another event");
    };
    let stored = probe.record(record(seq, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored);
    let again = probe.reserve(named("genuine")).await;
    let reply = reply("approved");
    assert_eq!(again, Reserved::Recorded { seq, reply });
}

pub(super) async fn a_reserved_event_has_its_jobs(probe: &Probe<'_>) {
    probe.register_all(&["ledger"]).await;
    let (seq, token) = reserve_new(probe, "1").await;
    let job = probe.claim_one("ledger").await;
    assert_eq!(job.event.seq, seq);
    assert!(job.event.body.is_some());
    let stored = probe.record(record(seq, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored);
    let redelivered = probe.reserve(event("1")).await;
    assert!(matches!(redelivered, Reserved::Recorded { .. }));
    assert_eq!(probe.job(seq, "ledger").await.state, JobState::Running);
    assert!(
        probe.claim(&["ledger"], 9).await.is_empty(),
        "no second job"
    );
}

pub(super) async fn a_reserved_event_without_handlers_is_routed(probe: &Probe<'_>) {
    let (seq, _) = reserve_new(probe, "1").await;
    let record = probe.get(seq).await;
    assert_eq!(
        record.event.state,
        EventState::Routed,
        "its reply handles it"
    );
    assert!(record.jobs.is_empty());
    assert_eq!(probe.inbox.stats().await.expect("stats").undecided, 1);
}

pub(super) async fn redeliveries_within_one_batch_share_one_decision(probe: &Probe<'_>) {
    let reserve = || Reserve {
        event: event("1"),
        hold: LEASE,
    };
    let batch = Batch {
        reserves: (0..20).map(|_| reserve()).collect(),
        ..Batch::default()
    };
    let reserved = probe.apply(batch).await.reserves;
    assert_eq!(reserved.len(), 20);
    let Reserved::New { seq, token } = reserved[0] else {
        panic!("the first one decides, not {:?}", reserved[0]);
    };
    for other in &reserved[1..] {
        assert!(
            matches!(other, Reserved::InProgress { seq: known, .. } if *known == seq),
            "{other:?}"
        );
    }
    let stored = probe.record(record(seq, token, "approved")).await;
    assert_eq!(stored, Recorded::Stored);
}

pub(super) async fn an_unusable_event_can_be_reserved(probe: &Probe<'_>) {
    probe.register_all(&["ledger"]).await;
    let Reserved::New { seq, token } = probe.reserve(unusable("?")).await else {
        panic!("it is new");
    };
    let kept = probe.get(seq).await;
    assert_eq!(kept.event.state, EventState::Unusable);
    assert!(kept.jobs.is_empty());
    let stored = probe.record(record(seq, token, "declined")).await;
    assert_eq!(stored, Recorded::Stored);
    let again = probe.reserve(unusable("?")).await;
    let reply = reply("declined");
    assert_eq!(again, Reserved::Recorded { seq, reply });
}
