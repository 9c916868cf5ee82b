//! Deliveries that hold several events: each is one of its own, and none can make
//! the others come back. Over real connections, in both forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::io::Write as _;

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    routing::post,
};
use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderValue, Request, header::CONTENT_ENCODING};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tower_webhooks::{
    Decide, Delivery, Endpoint, Event, EventRouter, HandlerError, Inbox, Job, MemoryInbox,
    PostgresInbox, Provider, RejectionKind, Secrets, SqliteInbox, StartError, WebhookLayer,
    Webhooks,
    provider::{Coding, Compression, Envelope},
    providers,
};
use tower_webhooks_inbox::{
    Erase, EventSeq, EventState, Filter, InboxErrorKind, JobState, Selection,
};
use tower_webhooks_tests::{FaultyInbox, Form, Posted, SECRET, Schema, Seen, acme, ask, turns};

/// Made by `openssl genpkey`; SendGrid shows its public keys without PEM's frame.
const EC_PRIVATE: &str =
    include_str!("../../crates/tower-webhooks-core/tests/provider_conformance/keys/ecdsa-1.pem");
const EC_PUBLIC: &str = include_str!(
    "../../crates/tower-webhooks-core/tests/provider_conformance/keys/ecdsa-1.pub.pem"
);

/// SendGrid's events, signed as ours.
fn mail() -> Provider {
    acme().with_envelope(providers::sendgrid().envelope().clone())
}

fn mails(ids: &[&str]) -> String {
    let events = ids.iter().map(|id| mail_of(id, "delivered"));
    format!("[{}]", events.collect::<Vec<_>>().join(", "))
}

fn mail_of(id: &str, event: &str) -> String {
    format!(r#"{{"sg_event_id":"{id}","event":"{event}","timestamp":1772447400}}"#)
}

fn delivered(id: &str) -> Seen {
    Seen::new("delivered", id, &mail_of(id, "delivered"))
}

async fn start(form: Form, provider: Provider) -> Posted {
    Posted::start(form, provider, SECRET, |endpoint| endpoint).await
}

fn signed(posted: &Posted, body: impl Into<String>) -> Request<Body> {
    posted.sender(SECRET).request(body.into()).unwrap()
}

/// A key without PEM's frame.
fn bare(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

async fn keys(posted: &Posted) -> Vec<String> {
    let stored = posted.stored().await.into_iter();
    stored.map(|record| record.event.key.to_string()).collect()
}

#[tokio::test]
async fn each_event_of_a_delivery_is_one_of_its_own() {
    let line = r#"{"destination":"U1","events":[{"type":"message","webhookEventId":"01A","timestamp":1},{"type":"follow","webhookEventId":"01B","timestamp":2}]}"#;
    let meta = r#"{"object":"page","entry":[{"id":"1","time":1},{"id":"2","time":2}]}"#;
    let graph = r#"{"value":[{"changeType":"updated","clientState":"","resource":"a"},{"lifecycleEvent":"missed","clientState":"","resource":"b"}]}"#;
    // What comes first of a cut body, what stands between two events, and what is behind.
    type Parts = (&'static str, &'static str, &'static str);
    let table: [(Provider, String, Parts, [&str; 2]); 5] = [
        (
            mail(),
            mails(&["a", "b"]),
            ("[", ", ", "]"),
            ["delivered", "delivered"],
        ),
        (
            providers::sendgrid(),
            mails(&["a", "b"]),
            ("[", ", ", "]"),
            ["delivered", "delivered"],
        ),
        (
            providers::line(),
            line.to_owned(),
            (r#"{"destination":"U1","events":["#, ",", "]}"),
            ["message", "follow"],
        ),
        (
            providers::meta(),
            meta.to_owned(),
            (r#"{"object":"page","entry":["#, ",", "]}"),
            ["page", "page"],
        ),
        (
            providers::microsoft_graph(),
            graph.to_owned(),
            (r#"{"value":["#, ",", "]}"),
            ["updated", "missed"],
        ),
    ];
    for form in Form::BOTH {
        for (provider, body, (before, between, behind), types) in &table {
            let name = provider.name();
            let (public, private) = if name == "sendgrid" {
                (bare(EC_PUBLIC), bare(EC_PRIVATE))
            } else {
                (SECRET.to_owned(), SECRET.to_owned())
            };
            let posted = Posted::on_disk(form, provider.clone(), &public, |endpoint| {
                endpoint.with_handshake_secrets(Secrets::new("a-token").unwrap())
            })
            .await;
            let request = posted.sender(&private).request(body.clone()).unwrap();
            let (parts, sent) = request.into_parts();
            let sent = to_bytes(sent, usize::MAX).await.unwrap();
            let text = String::from_utf8(sent.to_vec()).unwrap();
            let request = Request::from_parts(parts, Body::from(sent));
            let (status, _, kind) = posted.post(request).await;
            let good = provider.answers().acknowledge.status;
            assert_eq!((status, kind), (good, None), "{form:?} {name}");

            let inside = text
                .strip_prefix(before)
                .unwrap()
                .strip_suffix(behind)
                .unwrap();
            let (first, second) = inside.split_once(&format!("}}{between}{{")).unwrap();
            let events = [format!("{first}}}"), format!("{{{second}")];
            let stored = posted.stored().await;
            assert_eq!(stored.len(), 2, "{form:?} {name}");
            let mut expected = Vec::new();
            for (index, record) in stored.iter().enumerate() {
                let alone = format!("{before}{}{behind}", events[index]);
                assert_eq!(
                    record.event.body.as_deref(),
                    Some(alone.as_bytes()),
                    "{name}"
                );
                assert_eq!(
                    record.event.event_type.as_deref(),
                    Some(types[index]),
                    "{name}"
                );
                assert_eq!(record.jobs.len(), 1, "{name}");
                expected.push(Seen::new(types[index], &record.event.key, &events[index]));
            }
            expected.sort();
            assert_eq!(posted.all_seen(2).await, expected, "{form:?} {name}");
            assert_eq!(posted.webhooks.bytes_in_flight(), 0);
        }
    }
}

#[tokio::test]
async fn one_bad_event_is_kept_as_unusable_and_spoils_none_of_the_others() {
    let (good, other) = (mail_of("a", "delivered"), mail_of("b", "delivered"));
    let table = [
        ("no type", r#"{"sg_event_id":"x"}"#, "type-missing"),
        ("no id", r#"{"event":"delivered"}"#, "id-missing"),
        ("no object", "7", "not-an-object"),
        (
            "two types",
            r#"{"sg_event_id":"x","event":"a","event":"b"}"#,
            "duplicate-field",
        ),
        (
            "a type that is none",
            r#"{"sg_event_id":"x","event":[]}"#,
            "type-malformed",
        ),
    ];
    for form in Form::BOTH {
        for (what, bad, reason) in table {
            let posted = start(form, mail()).await;
            for round in 0..2 {
                let body = format!("[{good},{bad},{other}]");
                let (status, ..) = posted.post(signed(&posted, body)).await;
                assert_eq!(status, 200, "{form:?} {what}: it must not come back");
                let outline = posted.outline().await;
                assert_eq!(outline, ["delivered", reason, "delivered"], "{round}");
            }
            assert_eq!(posted.all_seen(2).await, [delivered("a"), delivered("b")]);
            assert!(posted.saw_nothing_more().await, "{form:?} {what}");
            let stored = posted.stored().await;
            assert_eq!(stored[1].event.state, EventState::Unusable);
            assert!(stored[1].jobs.is_empty());
            let alone = format!("[{bad}]");
            assert_eq!(stored[1].event.body.as_deref(), Some(alone.as_bytes()));
        }
    }
}

#[tokio::test]
async fn each_event_is_known_again_in_whatever_company() {
    for form in Form::BOTH {
        let posted = start(form, mail()).await;
        for (body, events) in [
            (mails(&["a", "b"]), 2),
            (mails(&["a", "b"]), 2),
            (mails(&["b", "c"]), 3),
            (mails(&["c"]), 3),
            (mails(&["d", "d"]), 4),
        ] {
            assert_eq!(posted.post(signed(&posted, body.clone())).await.0, 200);
            assert_eq!(posted.stored().await.len(), events, "{form:?} {body}");
        }
        let changed = format!(
            "[{},{}]",
            mail_of("a", "bounced"),
            mail_of("e", "delivered")
        );
        assert_eq!(posted.post(signed(&posted, changed)).await.0, 200);
        let keys = keys(&posted).await;
        assert_eq!(keys[..4], ["a", "b", "c", "d"], "{form:?}");
        assert!(
            keys[4].starts_with("conflict:") && keys[4].ends_with(":a"),
            "{keys:?}"
        );
        assert_eq!(keys[5..], ["e"]);
        let ran = ["a", "b", "c", "d", "e"].map(delivered);
        assert_eq!(posted.all_seen(5).await, ran, "{form:?}");
        assert!(posted.saw_nothing_more().await, "{form:?}");
    }
}

#[tokio::test]
async fn events_without_ids_are_known_by_their_own_bytes() {
    let entry = |time: u32| format!(r#"{{"id":"1","time":{time}}}"#);
    let page = |entries: &[u32]| {
        let entries: Vec<_> = entries.iter().map(|time| entry(*time)).collect();
        format!(r#"{{"object":"page","entry":[{}]}}"#, entries.join(","))
    };
    for form in Form::BOTH {
        let posted = Posted::start(form, providers::meta(), SECRET, |endpoint| {
            endpoint.with_handshake_secrets(Secrets::new("a-token").unwrap())
        })
        .await;
        for (entries, events) in [
            (&[1, 2, 1][..], 3),
            (&[1, 2, 1], 3),
            (&[1], 3),
            (&[2, 3], 4),
            (&[1, 1, 1], 5),
        ] {
            assert_eq!(posted.post(signed(&posted, page(entries))).await.0, 200);
            assert_eq!(posted.stored().await.len(), events, "{form:?} {entries:?}");
        }
        let keys = keys(&posted).await;
        // printf '%s' '{"id":"1","time":1}' | sha256sum
        let first = "sha256:4a221217";
        assert_eq!(keys[0].get(..15), Some(first), "{keys:?}");
        assert_eq!(posted.all_seen(5).await.len(), 5);
        assert!(posted.saw_nothing_more().await, "{form:?}");
    }
}

#[tokio::test]
async fn a_handler_that_fails_for_one_event_fails_for_that_one_alone() {
    for form in Form::BOTH {
        let posted = Posted::start(form, mail(), SECRET, |endpoint| {
            let events = EventRouter::new().on("delivered", |event: Event<Box<RawValue>>| {
                let fails = event.id() == "b";
                async move {
                    if fails {
                        return Err(HandlerError::permanent("not this one"));
                    }
                    Ok(())
                }
            });
            endpoint.events(events)
        })
        .await;
        posted.post(signed(&posted, mails(&["a", "b", "c"]))).await;
        for _ in 0..3 {
            let run = posted.runs.next().await;
            let expected = (run.event_id == "b").then(|| "not this one".to_owned());
            assert_eq!(run.error, expected, "{form:?} {}", run.event_id);
        }
        let stored = posted.stored().await;
        let states = stored.iter().map(|record| record.jobs[0].state);
        let states: Vec<_> = states.collect();
        assert_eq!(states, [JobState::Done, JobState::Dead, JobState::Done]);

        let replayed = posted.inbox.replay(&Selection::default()).await.unwrap();
        posted.webhooks.wake();
        assert_eq!(replayed.runs.len(), 1, "{form:?}");
        let run = posted.runs.next().await;
        assert_eq!((&*run.event_id, run.attempt), ("b", 1), "{form:?}");
    }
}

#[tokio::test]
async fn all_events_of_a_delivery_are_stored_at_once_or_none() {
    for form in Form::BOTH {
        let inbox = FaultyInbox::new();
        let posted = Posted::over(
            inbox.clone(),
            form,
            mail(),
            SECRET,
            |builder| builder,
            |endpoint| endpoint,
        )
        .await;
        let body = mails(&["a", "b", "c"]);
        for failing in [
            InboxErrorKind::Unavailable,
            InboxErrorKind::Full,
            InboxErrorKind::Data,
        ] {
            inbox.fail(Some(failing));
            let before = inbox.batches();
            let (status, _, kind) = posted.post(signed(&posted, body.clone())).await;
            assert_eq!((status, kind.as_deref()), (503, Some("inbox-unavailable")));
            // Whose data it is that the store refuses is found out by more.
            if failing != InboxErrorKind::Data {
                let commits = inbox.batches() - before;
                assert_eq!(commits, 1, "{form:?} {failing:?}: one commit");
            }
            assert!(posted.stored().await.is_empty(), "{form:?} {failing:?}");
        }
        inbox.fail(None);
        let before = inbox.batches();
        assert_eq!(posted.post(signed(&posted, body)).await.0, 200);
        assert_eq!(inbox.batches(), before + 1, "{form:?}: one commit");
        assert_eq!(posted.all_seen(3).await, ["a", "b", "c"].map(delivered));
    }
}

/// The whole cannot be taken apart: it is one unusable event.
#[tokio::test]
async fn a_delivery_without_a_list_of_events_is_unusable_as_a_whole() {
    let around = |bytes: usize, count: usize| {
        let events = vec![r#"{"type":"a"}"#; count].join(",");
        format!(r#"{{"events":[{events}],"note":"{}"}}"#, "n".repeat(bytes))
    };
    let listed = acme().with_envelope(
        Envelope::new("/events/*/type")
            .with_batch("/events/*")
            .with_data("/events/*"),
    );
    let numbers = format!("[{}0]", "0,".repeat(10_000));
    let table: [(Provider, String, &[&str]); 7] = [
        (mail(), "{}".to_owned(), &["not-a-list"]),
        (mail(), "[".to_owned(), &["not-json"]),
        (mail(), numbers, &["too-many-items"]),
        (listed.clone(), "[]".to_owned(), &["not-a-list"]),
        // What surrounds the events is kept with each.
        (listed.clone(), around(90_000, 100), &["too-many-items"]),
        (listed, around(90_000, 3), &["a", "a", "a"]),
        (mail(), "[]".to_owned(), &[]),
    ];
    for form in Form::BOTH {
        for (provider, body, outline) in &table {
            let posted = start(form, provider.clone()).await;
            for _ in 0..2 {
                let (status, ..) = posted.post(signed(&posted, body.clone())).await;
                let what = body.get(..20).unwrap_or(body);
                assert_eq!(status, 200, "{form:?} {what}");
                assert_eq!(posted.outline().await, *outline, "{form:?} {what}");
            }
            if let ([reason], [record]) = (outline, &posted.stored().await[..]) {
                assert_ne!(*reason, "a");
                assert_eq!(record.event.body.as_deref(), Some(body.as_bytes()));
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_signed_brings_none_of_its_events() {
    for form in Form::BOTH {
        let posted = start(form, mail()).await;
        let mut altered = signed(&posted, mails(&["a", "b"]));
        *altered.body_mut() = Body::from(mails(&["a", "c"]));
        let (status, _, kind) = posted.post(altered).await;
        let mismatch = RejectionKind::SignatureMismatch.as_str();
        assert_eq!((status, kind.as_deref()), (401, Some(mismatch)), "{form:?}");
        assert!(posted.stored().await.is_empty());

        // Each notification has a token, and each must have the right one.
        let posted = start(form, providers::microsoft_graph()).await;
        let second = r#"{"changeType":"updated","clientState":"another","resource":"b"}"#;
        let first = second.replace("another", SECRET);
        let forged = format!(r#"{{"value":[{first},{second}]}}"#);
        let mut request = signed(&posted, forged.replace("another", SECRET));
        *request.body_mut() = Body::from(forged);
        let (status, _, kind) = posted.post(request).await;
        assert_eq!((status, kind.as_deref()), (401, Some(mismatch)), "{form:?}");
        assert!(posted.stored().await.is_empty());
    }
}

#[tokio::test]
async fn a_compressed_delivery_is_taken_apart_and_its_events_kept_plain() {
    let provider = mail().with_compression(Compression::new([Coding::Gzip]));
    for form in Form::BOTH {
        let posted = Posted::on_disk(form, provider.clone(), SECRET, |endpoint| endpoint).await;
        let mut encoder = GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(mails(&["a", "b"]).as_bytes()).unwrap();
        let request = posted
            .sender(SECRET)
            .header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
            .request(encoder.finish().unwrap())
            .unwrap();
        assert_eq!(posted.post(request).await.0, 200, "{form:?}");
        assert_eq!(
            posted.all_seen(2).await,
            ["a", "b"].map(delivered),
            "{form:?}"
        );
        for (record, id) in posted.stored().await.iter().zip(["a", "b"]) {
            let body = mails(&[id]);
            assert_eq!(record.event.body.as_deref(), Some(body.as_bytes()));
            let mut names = record.event.headers.iter().map(|(name, _)| name);
            assert!(names.all(|name| name != "content-encoding"), "{form:?}");
        }
        // In whatever coding, they are known.
        posted.post(signed(&posted, mails(&["b", "a"]))).await;
        assert_eq!(posted.stored().await.len(), 2, "{form:?}");
    }
}

#[tokio::test]
async fn what_is_kept_of_each_event_counts_as_bytes_in_flight() {
    let body = mails(&["a"; 100]);
    // The request, what is kept of it, and half a kilobyte for each event.
    let needed = 2 * body.len() + 100 * 512;
    for form in Form::BOTH {
        for (max, expected) in [(needed + 1000, 200), (needed - 1000, 503)] {
            let posted = Posted::start_with(form, mail(), SECRET, |builder| {
                builder.with_max_bytes_in_flight(max)
            })
            .await;
            let answer = posted.post(signed(&posted, body.clone())).await;
            assert_eq!(answer.0, expected, "{form:?} {max}");
            let stored = usize::from(expected == 200);
            assert_eq!(posted.stored().await.len(), stored, "{form:?} {max}");
            assert_eq!(posted.webhooks.bytes_in_flight(), 0);
        }
    }
}

async fn events_keep_their_own_lives(inbox: impl Inbox) {
    let posted = Posted::over(
        inbox,
        Form::Terminal,
        mail(),
        SECRET,
        |builder| builder,
        |endpoint| endpoint,
    )
    .await;
    // The same events at the same moment, from two senders.
    let (one, other) = (mails(&["a", "b", "c"]), mails(&["c", "b", "a"]));
    let (one, other) = (signed(&posted, one), signed(&posted, other));
    let (one, other) = tokio::join!(posted.post(one), posted.post(other));
    assert_eq!((one.0, other.0), (200, 200));
    assert_eq!(posted.all_seen(3).await, ["a", "b", "c"].map(delivered));
    for _ in 0..3 {
        posted.runs.next().await;
    }
    let stored = posted.stored().await;
    assert_eq!(stored.len(), 3);
    let seq = stored
        .iter()
        .find(|record| record.event.key == "b")
        .unwrap()
        .event
        .seq;
    assert_eq!(posted.inbox.erase(&Erase::Event(seq)).await.unwrap(), 1);
    let again = Selection {
        filter: Filter::default(),
        done: true,
        ..Selection::default()
    };
    let replayed = posted.inbox.replay(&again).await.unwrap();
    let gone: Vec<EventSeq> = replayed.gone;
    if posted.inbox.check().await.unwrap().durable {
        assert_eq!((replayed.runs.len(), gone), (2, vec![seq]));
        posted.webhooks.wake();
        assert_eq!(posted.all_seen(2).await, ["a", "c"].map(delivered));
    }
    // What was erased is known all the same.
    posted
        .post(signed(&posted, mails(&["a", "b", "c", "d"])))
        .await;
    assert_eq!(posted.seen().await, delivered("d"));
    turns().await;
    assert!(posted.saw_nothing_more().await);
    assert_eq!(posted.stored().await.len(), 4);
}

#[tokio::test]
async fn events_of_one_delivery_keep_their_own_lives_in_memory_and_in_a_file() {
    events_keep_their_own_lives(MemoryInbox::new()).await;
    let folder = TempDir::new().unwrap();
    let sqlite = SqliteInbox::open(folder.path().join("inbox.db")).await;
    events_keep_their_own_lives(sqlite.unwrap()).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: see CONTRIBUTING.md"]
async fn events_of_one_delivery_keep_their_own_lives_in_postgres() {
    let schema = Schema::new();
    let inbox = PostgresInbox::open(schema.url()).await.unwrap();
    events_keep_their_own_lives(inbox).await;
}

#[tokio::test]
async fn ten_thousand_events_are_one_delivery_and_one_commit() {
    let ids: Vec<_> = (0..10_000).map(|number| format!("evt_{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let inbox = FaultyInbox::new();
    let posted = Posted::over(
        inbox.clone(),
        Form::Terminal,
        mail(),
        SECRET,
        |builder| builder,
        |endpoint| endpoint,
    )
    .await;
    assert_eq!(posted.post(signed(&posted, mails(&ids))).await.0, 200);
    assert_eq!(inbox.batches(), 1);
    assert_eq!(inbox.all().await.len(), 10_000);
}

#[tokio::test]
async fn one_answer_cannot_decide_several_events() {
    let decide = |_: Job| async { Ok::<_, HandlerError>(Json("yes")) };
    let events = EventRouter::new().reply("delivered", decide.or_default(Json("no")));
    let secrets = Secrets::new(SECRET).unwrap();
    let endpoint = Endpoint::new("mail", mail(), secrets).events(events);
    let refused = Webhooks::start(MemoryInbox::new(), [endpoint]).await;
    let Err(StartError::Handlers { problems, .. }) = refused else {
        panic!("{refused:?}");
    };
    let told = problems.to_string();
    assert!(
        told.contains("`delivered`") && told.contains("one answer"),
        "{told}"
    );
}

/// A layer that only verifies hands the whole on, with its events.
#[tokio::test]
async fn behind_a_verifying_layer_the_events_are_items_of_the_delivery() {
    let verify = || WebhookLayer::verify(mail(), Secrets::new(SECRET).unwrap()).unwrap();
    let ids = |Extension(delivery): Extension<Delivery>| async move {
        let items = delivery.items().unwrap().iter();
        items
            .map(|item| item.id().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let one = |event: Event<Box<RawValue>>| async move { event.id().to_string() };
    let app = Router::new()
        .route("/items", post(ids).layer(verify()))
        .route("/event", post(one).layer(verify()));
    let sender = tower_webhooks::testing::Sender::new(mail(), SECRET).unwrap();
    for (path, body, expected) in [
        ("/items", mails(&["a", "b"]), (200, "a b")),
        (
            "/event",
            mails(&["a", "b"]),
            (422, "the payload does not fit"),
        ),
        // Else it would work until two come together.
        ("/event", mails(&["a"]), (422, "the payload does not fit")),
    ] {
        let request = sender.clone().to(path).request(body).unwrap();
        let answer = ask(app.clone(), request).await;
        let (status, text, _) = answer.summary();
        assert_eq!((status, text), expected, "{path}");
    }
}
