//! What an attacker tried, and may not achieve.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, body::Body};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, request::Parts};
use serde_json::{Value, json};
use tower_webhooks::{
    Decide, Endpoint, Event, EventRouter, Job, RejectionKind, SecretSource, Secrets, Tenant, Text,
    Webhooks,
    provider::{Envelope, Retries},
    providers,
    testing::Sender,
};
use tower_webhooks_inbox::{DecidedBy, EventState, RecordedReply};
use tower_webhooks_tests::{ACCEPTED, Acme, FaultyInbox, Form, acme, ask, refused, soon};

/// A request whose body stops short after `bytes`, and never ends.
fn stalling(request: Request<Body>, bytes: usize) -> Request<Body> {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b'x'; bytes]))]);
    let (parts, _) = request.into_parts();
    Request::from_parts(parts, Body::from_stream(first.chain(stream::pending())))
}

#[tokio::test(start_paused = true)]
async fn bodies_that_stall_give_way_to_those_that_arrive() {
    for form in [Form::Layer, Form::Terminal] {
        let acme = Acme::start_with(
            form,
            |builder| builder.with_max_bytes_in_flight(1_000),
            |endpoint| endpoint.events(EventRouter::new().on("*", |_: Job| async {})),
        )
        .await;
        let held = stalling(acme.request("order.paid", "held"), 1_000);
        let held = tokio::spawn(ask(acme.app.clone(), held));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(acme.webhooks.bytes_in_flight(), 1_000);

        let first = acme.ask(acme.request("order.paid", "1")).await;
        assert_eq!(first.summary(), refused(503, RejectionKind::Overloaded));
        let held = soon(held).await.unwrap();
        assert_eq!(held.summary(), refused(503, RejectionKind::Overloaded));
        let second = acme.ask(acme.request("order.paid", "1")).await;
        assert_eq!(second.summary(), ACCEPTED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_empty_frames_meets_its_deadline() {
    let acme = Acme::start(Form::Terminal).await;
    let frames = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::new()));
    let (parts, _) = acme.request("order.paid", "1").into_parts();
    let request = Request::from_parts(parts, Body::from_stream(frames));
    let clock = tokio::spawn(async { tokio::time::advance(Duration::from_secs(11)).await });
    let answered = ask(acme.app.clone(), request).await;
    assert_eq!(answered.summary(), refused(408, RejectionKind::BodyTimeout));
    clock.await.unwrap();
}

#[tokio::test]
async fn what_is_captured_is_a_duplicate_for_as_long_as_it_is_fresh() {
    // Fresh for 300 s from a time that was 300 s ahead; retried for 10 s only.
    let provider = acme()
        .with_envelope(Envelope::new("/type"))
        .with_retries(Retries::after([Duration::from_secs(10)]));
    let acme = Acme::start_with(
        Form::Terminal,
        |builder| builder,
        |_| {
            let secrets = Secrets::new(tower_webhooks_tests::SECRET).unwrap();
            Endpoint::new("acme", provider, secrets)
                .events(EventRouter::new().on("*", |_: Job| async {}))
        },
    )
    .await;
    acme.clock.advance(Duration::from_secs(300));
    let captured = || acme.signed(r#"{"type":"order.paid"}"#);
    let (parts, _) = captured().into_parts();
    let again = || {
        let mut request = Request::new(Body::from(r#"{"type":"order.paid"}"#));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        request
    };
    acme.clock
        .set(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    assert_eq!(acme.ask(again()).await.summary(), ACCEPTED);
    acme.clock.advance(Duration::from_secs(600));
    assert_eq!(acme.ask(again()).await.summary(), ACCEPTED);
    assert_eq!(acme.inbox.all().await.len(), 1);
    acme.clock.advance(Duration::from_secs(1));
    assert_eq!(
        acme.ask(again()).await.summary(),
        refused(401, RejectionKind::TimestampStale)
    );
}

#[tokio::test]
async fn a_captured_body_sent_ahead_under_a_coming_id_keeps_nothing_from_its_handlers() {
    let id = HeaderName::from_static("x-acme-id");
    let provider = acme().with_envelope(Envelope::new("/type").with_id(id.clone()));
    assert!(!provider.binds_id());
    let acme = Acme::start_with(
        Form::Terminal,
        |builder| builder,
        |_| {
            let secrets = Secrets::new(tower_webhooks_tests::SECRET).unwrap();
            Endpoint::new("acme", provider, secrets)
                .events(EventRouter::new().on("*", |_: Job| async {}))
        },
    )
    .await;
    let send = async |named: &'static str, number: u8| {
        let mut request = acme.signed(format!(r#"{{"type":"order.paid","n":{number}}}"#));
        let value = HeaderValue::from_static(named);
        request.headers_mut().insert(id.clone(), value);
        assert_eq!(acme.ask(request).await.summary(), ACCEPTED);
    };
    let mut handled = Vec::new();
    let next = async || soon(acme.runs.next()).await.event_id.to_string();
    send("evt_1", 1).await;
    handled.push(next().await);
    // What was captured says nothing new, under whatever id.
    send("evt_2", 1).await;
    // Captured elsewhere: an authentic body that was not received here.
    send("evt_3", 9).await;
    handled.push(next().await);
    for _ in 0..2 {
        send("evt_3", 3).await;
    }
    handled.push(next().await);
    send("evt_4", 4).await;
    assert_eq!(next().await, "evt_4", "nothing else ran");

    let stored = acme.inbox.all().await;
    let states: Vec<_> = stored.iter().map(|one| one.event.state).collect();
    assert_eq!(states, [EventState::Routed; 4]);
    assert_eq!(stored[2].event.id.as_deref(), Some("evt_3"));
    // Each has a name of its own, to remember by what was done.
    assert_eq!(handled[..2], ["evt_1", "evt_3"]);
    assert_eq!(handled[2], stored[2].event.key.as_str());
    assert!(handled[2].starts_with("unsigned:"), "{handled:?}");
}

#[tokio::test]
async fn an_authorization_that_cannot_be_read_is_declined_and_recorded() {
    const DECLINE: &str = r#"{"code":"05"}"#;
    for body in [
        r#"{"product":"cards","event_type":"authorization","status":"pending","data":{}}"#,
        r#"{"product":"cards","event_type":"authorization","status":"","operation_id":"1","data":{}}"#,
        r#"{"product":"cards","event_type":"authorization","operation_id":"1","data":{}}"#,
        r#"{"product":"cards","#,
        "",
    ] {
        let approve = |_: Event<Value>| async { Json(json!({ "code": "00" })) };
        let events = EventRouter::new().reply(
            "cards.authorization.*",
            approve.or_default(Json(json!({ "code": "05" }))),
        );
        let inbox = FaultyInbox::new();
        let secrets = Secrets::new("the-webhook-key").unwrap();
        let webhooks = Webhooks::start(
            inbox.clone(),
            [Endpoint::new("cards", providers::cryptomate(), secrets).events(events)],
        )
        .await
        .unwrap();
        let app = Form::Terminal.mount(&webhooks, "cards");
        let sender = Sender::new(providers::cryptomate(), "the-webhook-key")
            .unwrap()
            .to("/cards");
        for _ in 0..2 {
            let answered = ask(app.clone(), sender.request(body).unwrap()).await;
            assert_eq!(answered.summary(), (200, DECLINE, None), "{body}");
        }
        let events = inbox.all().await;
        assert_eq!(events.len(), 1, "{body}");
        assert_eq!(events[0].event.state, EventState::Unusable, "{body}");
        assert!(
            matches!(
                &events[0].event.reply,
                Some(RecordedReply { by: DecidedBy::Default(_), reply }) if reply.body == DECLINE
            ),
            "{body}"
        );
    }
}

struct Slow {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl SecretSource for Slow {
    fn key(&self, parts: &Parts) -> Option<Text> {
        parts.uri.path().rsplit('/').next().map(Text::from)
    }

    async fn look_up(&self, _: Text) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_tenants_wait_for_each_other() {
    let most = Arc::new(AtomicUsize::new(0));
    let source = Slow {
        running: Arc::default(),
        most: Arc::clone(&most),
    };
    let webhooks = Webhooks::start(
        FaultyInbox::new(),
        [Endpoint::multi_tenant("acme", acme(), source)],
    )
    .await
    .unwrap();
    let service = webhooks.endpoint("acme").unwrap();
    let clock = tower_webhooks::SystemClock;
    let asked = (0..500).map(|number| {
        let sender = Sender::new(acme(), "whatever").unwrap().at(&clock);
        let request = sender.to(&format!("/acme/{number}")).request("{}").unwrap();
        ask(service.clone(), request)
    });
    for answered in futures_util::future::join_all(asked).await {
        assert_eq!(answered.status, 401);
    }
    assert_eq!(most.load(Ordering::SeqCst), 32);
}
