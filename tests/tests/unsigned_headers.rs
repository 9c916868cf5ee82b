//! Headers that no signature covers, and signatures that nobody checks.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request};
use tower_webhooks::{
    Endpoint, EventRouter, Handler as _, Inbox as _, Job, Provider, Secrets, Webhooks, providers,
    testing::Sender,
};
use tower_webhooks_inbox::{EventState, JobState, MemoryInbox};
use tower_webhooks_tests::{Form, ask};

const SECRET: &str = "shpss_the_secret_that_the_shop_signs_with";

fn signed(
    provider: Provider,
    body: &str,
    headers: &[(&'static str, &'static str)],
) -> Request<Body> {
    let sender = Sender::new(provider, SECRET).unwrap().to("/endpoint");
    let mut request = sender.request(body.to_owned()).unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    request
}

/// An order that is paid as it is made: two topics, two ids, one body.
#[tokio::test]
async fn two_types_of_one_body_each_reach_their_handler() {
    let events = EventRouter::new()
        .on("orders/create", (|_: Job| async {}).named("created"))
        .on("orders/paid", (|_: Job| async {}).named("paid"));
    let secrets = Secrets::new(SECRET).unwrap();
    let endpoint = Endpoint::new("endpoint", providers::shopify(), secrets).events(events);
    let inbox = MemoryInbox::new();
    let webhooks = Webhooks::start(inbox.clone(), [endpoint]).await.unwrap();
    let app = Form::Terminal.mount(&webhooks, "endpoint");
    let order = r#"{"id":820982911946154508,"financial_status":"paid"}"#;
    for (topic, id) in [("orders/create", "w-1"), ("orders/paid", "w-2")] {
        let headers = [("x-shopify-topic", topic), ("x-shopify-webhook-id", id)];
        let answer = ask(app.clone(), signed(providers::shopify(), order, &headers)).await;
        assert_eq!(answer.status, 200);
    }
    webhooks.drain(Duration::from_secs(5)).await;
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.events.get(&EventState::Routed), Some(&2));
    assert_eq!(stats.jobs(JobState::Done), 2, "created and paid");
}

/// Whoever captured a delivery knows none of the secret, and can write any id and
/// any type beside the body.
#[tokio::test]
async fn a_captured_body_is_one_event_whatever_id_and_type_it_comes_with() {
    let events = EventRouter::new()
        .on("push", (|_: Job| async {}).named("pushes"))
        .on("*", (|_: Job| async {}).named("all"));
    let secrets = Secrets::new(SECRET).unwrap();
    let endpoint = Endpoint::new("endpoint", providers::github(), secrets).events(events);
    let inbox = MemoryInbox::new();
    let webhooks = Webhooks::start(inbox.clone(), [endpoint]).await.unwrap();
    let app = Form::Terminal.mount(&webhooks, "endpoint");
    for (event, id) in [
        ("push", "d-1"),
        ("push", "d-2"),
        ("release", "d-1"),
        ("release", "d-3"),
        ("made-up", "d-4"),
    ] {
        let headers = [("x-github-event", event), ("x-github-delivery", id)];
        let request = signed(
            providers::github(),
            r#"{"ref":"refs/heads/main"}"#,
            &headers,
        );
        let answer = ask(app.clone(), request).await;
        assert_eq!(answer.status, 200, "{event} {id}");
    }
    webhooks.drain(Duration::from_secs(5)).await;
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.events.get(&EventState::Routed), Some(&1));
    assert_eq!(stats.jobs(JobState::Done), 2, "pushes and all, once each");
}

#[tokio::test]
async fn no_signature_is_stored() {
    let events = EventRouter::new().on("push", |_: Job| std::future::pending::<()>());
    let secrets = Secrets::new(SECRET).unwrap();
    let endpoint = Endpoint::new("endpoint", providers::github(), secrets).events(events);
    let inbox = MemoryInbox::new();
    let webhooks = Webhooks::start(inbox.clone(), [endpoint]).await.unwrap();
    let app = Form::Terminal.mount(&webhooks, "endpoint");
    // As GitHub sends it: the older signature beside the newer one.
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", "d-1"),
        (
            "x-hub-signature",
            "sha1=0123456789012345678901234567890123456789",
        ),
    ];
    let answer = ask(app, signed(providers::github(), "{}", &headers)).await;
    assert_eq!(answer.status, 200);
    let stored = inbox.get(tower_webhooks_inbox::EventSeq(1)).await.unwrap();
    let stored = stored.unwrap();
    let names: Vec<_> = stored
        .event
        .headers
        .iter()
        .map(|one| one.0.as_str())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("signature")),
        "{names:?}"
    );
}
