//! What an unusable event turns out to be.

use std::time::Duration;

use tower_webhooks_core::Text;

use super::probe::{
    Probe, SECOND, anonymous, event, insert_dead, job_key, of, registration, unusable,
};
use crate::{EventSeq, EventState, Inserted, Reading, Selection, unsigned_key};

/// That it is event 1, of type `order.paid`.
fn read(seq: EventSeq) -> Reading {
    let mut reading = Reading::new(seq);
    reading.event_type = Some(Text::from_static("order.paid"));
    reading.id = Some(Text::from_static("1"));
    reading
}

pub(super) async fn an_unusable_event_runs_when_it_was_read_anew(probe: &Probe<'_>) {
    probe.register(&[registration("paid", "order.paid")]).await;
    let seq = probe.insert(unusable("sealed")).await.seq();
    let mut selection = Selection::default();
    let unread = probe.replay(&selection).await;
    assert_eq!((unread.unread, unread.runs), (vec![seq], vec![]));
    selection.readings = vec![read(seq)];
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(seq, "paid")]);
    assert!(replayed.unread.is_empty());
    let job = probe.claim_one("paid").await;
    assert_eq!(job.event.state, EventState::Routed);
    assert_eq!(job.event.unusable, None);
    assert_eq!(job.event.event_type.as_deref(), Some("order.paid"));
    assert_eq!(job.event.id.as_deref(), Some("1"));
    let mut redelivered = anonymous("sealed");
    redelivered.id = Some(Text::from_static("1"));
    let again = probe.insert(redelivered).await;
    assert_eq!(again, Inserted::Duplicate { seq }, "known by its id now");
}

pub(super) async fn a_reading_with_a_known_id_becomes_a_conflict(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let seq = probe.insert(unusable("sealed")).await.seq();
    let known = insert_dead(probe, "1", "ship").await;
    let selection = Selection {
        filter: of(seq),
        readings: vec![read(seq)],
        ..Selection::default()
    };
    assert!(probe.replay(&selection).await.runs.is_empty());
    let kept = probe.get(seq).await;
    assert_eq!(kept.event.state, EventState::Conflict);
    assert!(kept.jobs.is_empty(), "the other one already runs");
    let first = probe.insert(event("1")).await;
    assert_eq!(first, Inserted::Duplicate { seq: known });
}

pub(super) async fn a_reading_with_a_known_unsigned_id_runs(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let sealed = |body: &str| {
        let mut event = unusable(body);
        event.id_signed = false;
        event
    };
    let seq = probe.insert(sealed("sealed")).await.seq();
    let known = insert_dead(probe, "1", "ship").await;
    let mut selection = Selection {
        filter: of(seq),
        readings: vec![read(seq)],
        ..Selection::default()
    };
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(seq, "ship")]);
    let kept = probe.get(seq).await.event;
    assert_eq!(kept.state, EventState::Routed);
    assert_eq!(kept.key, unsigned_key("1", &kept.body_sha256));

    // The known one itself, that came once more before it could be read.
    let mut same = sealed("");
    same.body = event("1").body;
    same.body_sha256 = Some(probe.get(known).await.event.body_sha256);
    same.dedup_span = Duration::ZERO;
    same.received_at += SECOND;
    let again = probe.insert(same).await.seq();
    assert_ne!(again, known);
    selection.filter = of(again);
    selection.readings = vec![read(again)];
    assert!(probe.replay(&selection).await.runs.is_empty());
    let kept = probe.get(again).await.event.state;
    assert_eq!(kept, EventState::Conflict);
}

pub(super) async fn a_reading_with_an_unsigned_type_is_known_with_it(probe: &Probe<'_>) {
    probe.register_all(&["ship"]).await;
    let mut sealed = unusable("sealed");
    sealed.id_signed = false;
    let seq = probe.insert(sealed).await.seq();
    let mut reading = read(seq);
    reading.type_signed = false;
    let selection = Selection {
        readings: vec![reading],
        ..Selection::default()
    };
    let replayed = probe.replay(&selection).await;
    assert_eq!(replayed.runs, [job_key(seq, "ship")]);
    let redelivered = |event_type: &str| {
        let mut event = anonymous("sealed");
        event.id = Some(Text::from_static("1"));
        event.id_signed = false;
        event.event_type = Some(Text::from(event_type));
        event.type_signed = false;
        event
    };
    let again = probe.insert(redelivered("order.paid")).await;
    assert_eq!(again, Inserted::Duplicate { seq });
    let other = probe.insert(redelivered("order.sent")).await;
    assert!(matches!(other, Inserted::New { jobs: 1, .. }), "{other:?}");
}
