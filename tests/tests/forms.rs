//! JSON documents that come in a form.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, header::CONTENT_TYPE};
use tower_webhooks::{Provider, provider::Envelope, providers};
use tower_webhooks_inbox::EventState;
use tower_webhooks_tests::{Form, Posted, Seen};

const SECRET: &str = "the-webhook-and-the-tests-share-this";

const JSON: &str = r#"{"ref":"refs/heads/a+b","pusher":"é & co"}"#;

const FORM: &str =
    "payload=%7B%22ref%22%3A%22refs%2Fheads%2Fa%2Bb%22%2C%22pusher%22%3A%22%C3%A9+%26+co%22%7D";

const A_FORM: &str = "application/x-www-form-urlencoded";

/// As GitHub sends it.
fn push(posted: &Posted, delivery: &'static str, body: &str, content_type: &str) -> Request<Body> {
    let sender = posted.sender(SECRET);
    let sent = [("x-github-event", "push"), ("x-github-delivery", delivery)];
    let sender = sent.into_iter().fold(sender, |sender, (name, value)| {
        sender.header(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    let mut request = sender.request(body.to_owned()).unwrap();
    let content_type = HeaderValue::from_str(content_type).unwrap();
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    request
}

#[tokio::test]
async fn the_handler_is_given_the_same_of_json_and_of_a_form() {
    for form in [Form::Layer, Form::Terminal] {
        let github = providers::github();
        let posted = Posted::on_disk(form, github, SECRET, |endpoint| endpoint).await;
        let deliveries = [("d-1", JSON, "application/json"), ("d-2", FORM, A_FORM)];
        for (delivery, body, content_type) in deliveries {
            let request = push(&posted, delivery, body, content_type);
            assert_eq!(posted.post(request).await.0, 200);
            assert_eq!(posted.seen().await, Seen::new("push", delivery, JSON));
        }
        let bodies: Vec<_> = posted.stored().await;
        let bodies = bodies
            .iter()
            .map(|record| record.event.body.clone().unwrap());
        assert!(bodies.eq([JSON, FORM]), "kept as they came");
    }
}

/// Whoever captured a delivery can change any header that is not signed.
#[tokio::test]
async fn another_content_type_changes_nothing() {
    let github = providers::github();
    let posted = Posted::start(Form::Terminal, github, SECRET, |endpoint| endpoint).await;
    let deliveries = [
        ("d-1", FORM, "application/json"),
        ("d-2", JSON, A_FORM),
        ("d-1", FORM, A_FORM),
        ("d-3", JSON, "application/json"),
    ];
    for (delivery, body, content_type) in deliveries {
        let request = push(&posted, delivery, body, content_type);
        assert_eq!(posted.post(request).await.0, 200);
    }
    let seen = posted.all_seen(2).await;
    assert_eq!(
        seen,
        [
            Seen::new("push", "d-1", JSON),
            Seen::new("push", "d-2", JSON)
        ]
    );
    posted.webhooks.drain(Duration::from_secs(5)).await;
    assert!(posted.saw_nothing_more().await);
}

#[tokio::test]
async fn the_signature_covers_the_form_as_it_was_sent() {
    let github = providers::github();
    let posted = Posted::start(Form::Terminal, github, SECRET, |endpoint| endpoint).await;
    let signed = push(&posted, "d-1", FORM, A_FORM);
    let (parts, _) = signed.into_parts();
    // The same document, with a space escaped in another way.
    let respelt = FORM.replace('+', "%20");
    assert_ne!(respelt, FORM);
    let request = Request::from_parts(parts.clone(), Body::from(respelt));
    let (status, _, kind) = posted.post(request).await;
    assert_eq!((status, kind.as_deref()), (401, Some("signature-mismatch")));
    let request = Request::from_parts(parts, Body::from(FORM));
    assert_eq!(posted.post(request).await.0, 200);
}

#[tokio::test]
async fn a_form_without_the_document_is_kept_as_unusable() {
    let github = providers::github();
    let posted = Posted::start(Form::Terminal, github, SECRET, |endpoint| endpoint).await;
    for (body, reason) in [
        ("other=1", "not-json"),
        ("payload=%7B", "not-json"),
        ("payload=%7B%7D&payload=%7B%7D", "duplicate-field"),
    ] {
        let request = push(&posted, "d-1", body, A_FORM);
        assert_eq!(posted.post(request).await.0, 200, "{body}");
        let last = posted.stored().await.pop().unwrap().event;
        assert_eq!(last.state, EventState::Unusable, "{body}");
        assert_eq!(last.unusable.as_deref(), Some(reason), "{body}");
    }
}

#[tokio::test]
async fn a_description_in_toml_reads_slacks_buttons() {
    let by_hand =
        providers::slack().with_envelope(Envelope::new("/type").with_form_field("payload"));
    let mut text = toml::to_string(&by_hand).unwrap();
    assert!(text.contains("form_field = \"payload\""), "{text}");
    text = text.replace("name = \"slack\"", "name = \"slack-buttons\"");
    let described: Provider = toml::from_str(&text).unwrap();
    let posted = Posted::start(Form::Terminal, described, SECRET, |endpoint| endpoint).await;
    let body = "payload=%7B%22type%22%3A%22block_actions%22%7D";
    let request = posted.sender(SECRET).request(body).unwrap();
    assert_eq!(posted.post(request).await.0, 200);
    let seen = posted.seen().await;
    assert_eq!(seen.event_type, "block_actions");
    assert_eq!(seen.data, r#"{"type":"block_actions"}"#);
}

/// Every `<Gather>` of a call posts under the same SID and status.
#[tokio::test]
async fn what_a_caller_answers_is_handled_each_time_and_a_retry_once() {
    const URL: &str = "https://shop.example/twilio";
    let twilio = providers::twilio();
    let posted = Posted::start(Form::Terminal, twilio, SECRET, |endpoint| {
        endpoint.with_public_url(URL)
    })
    .await;
    let sender = posted.sender(SECRET).with_public_url(URL);
    for (digits, times) in [("1", 2), ("2", 1)] {
        let body = format!("AccountSid=AC1&CallSid=CA1&CallStatus=in-progress&Digits={digits}");
        for _ in 0..times {
            let request = sender.request(body.clone()).unwrap();
            let (status, _, refused) = posted.post(request).await;
            assert_eq!((status, refused), (200, None), "{digits}");
        }
        let seen = posted.seen().await;
        assert_eq!(seen.event_type, "in-progress");
        assert!(
            seen.data.contains(&format!(r#""Digits":"{digits}""#)),
            "{seen:?}"
        );
    }
    // Captured, and written otherwise: the signature still fits.
    let captured = "AccountSid=AC1&CallSid=CA1&CallStatus=in-progress&Digits=1";
    let captured = sender.request(captured).unwrap();
    let signature = &captured.headers()["x-twilio-signature"];
    for body in [
        "Digits=1&AccountSid=AC1&CallSid=CA1&CallStatus=in-progress",
        "AccountSid=AC1&CallSid=CA1&CallStatus=in-progress&Digits=%31",
        "AccountSid=AC1&CallSid=CA1&CallStatus=in-progress&Digits=1&Digits=1",
        "AccountSidA=C1&CallSid=CA1&CallStatus=in-progress&Digits=1",
    ] {
        let mut request = sender.request(body).unwrap();
        let headers = request.headers_mut();
        headers.insert("x-twilio-signature", signature.clone());
        let (status, _, refused) = posted.post(request).await;
        assert_eq!((status, refused), (200, None), "{body}");
    }
    posted.webhooks.drain(Duration::from_secs(5)).await;
    assert!(posted.saw_nothing_more().await);
    let stored = posted.stored().await;
    assert!(
        stored
            .iter()
            .all(|record| record.event.state == EventState::Routed)
    );
    assert_eq!(stored.len(), 2);
}

/// It has no id, and is told from the next minute's by its body.
#[tokio::test]
async fn slack_says_that_events_were_held_back_and_is_heard() {
    let slack = providers::slack();
    let posted = Posted::start(Form::Terminal, slack, SECRET, |endpoint| endpoint).await;
    for minute in [1_518_467_820, 1_518_467_820, 1_518_467_880] {
        let body = format!(
            r#"{{"token":"t","type":"app_rate_limited","team_id":"T1","minute_rate_limited":{minute},"api_app_id":"A1"}}"#
        );
        let request = posted.sender(SECRET).request(body).unwrap();
        assert_eq!(posted.post(request).await.0, 200);
    }
    let seen = posted.all_seen(2).await;
    assert!(
        seen.iter()
            .all(|seen| seen.event_type == "app_rate_limited")
    );
    assert_ne!(seen[0].id, seen[1].id);
    posted.webhooks.drain(Duration::from_secs(5)).await;
    assert!(posted.saw_nothing_more().await);
}
