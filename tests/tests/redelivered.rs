//! Redeliveries that are not byte for byte what came first.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::time::Duration;

use http::HeaderName;
use tower_webhooks::{Provider, providers};
use tower_webhooks_inbox::EventState;
use tower_webhooks_tests::{Form, Posted, Seen, acme};

const SECRET: &str = "whsec_the_tests_and_the_sender_share_this";

const PAID: &str = r#"{"id":"evt_1","object":"event","created":1772447400,"pending_webhooks":2,"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","amount":2000}}}"#;

async fn states(posted: &Posted) -> Vec<EventState> {
    let stored = posted.stored().await.into_iter();
    stored.map(|record| record.event.state).collect()
}

async fn post(posted: &Posted, body: &str) {
    let request = posted.sender(SECRET).request(body.to_owned()).unwrap();
    let (status, _, refused) = posted.post(request).await;
    assert_eq!((status, refused), (200, None), "{body}");
}

#[tokio::test]
async fn a_redelivery_by_stripe_runs_nothing_twice_and_another_amount_is_a_conflict() {
    for form in [Form::Layer, Form::Terminal] {
        let stripe = providers::stripe();
        let posted = Posted::on_disk(form, stripe, SECRET, |endpoint| endpoint).await;
        post(&posted, PAID).await;
        let paid = Seen::new(
            "payment_intent.succeeded",
            "evt_1",
            r#"{"object":{"id":"pi_1","amount":2000}}"#,
        );
        assert_eq!(posted.seen().await, paid);

        // An hour later, signed anew, with one endpoint less to go.
        posted.clock.advance(Duration::from_secs(3_600));
        let again = PAID.replace(r#""pending_webhooks":2"#, r#""pending_webhooks":1"#);
        assert_ne!(again, PAID);
        post(&posted, &again).await;
        post(&posted, PAID).await;
        assert_eq!(states(&posted).await, [EventState::Routed]);
        let body = posted.stored().await[0].event.body.clone();
        assert_eq!(body.unwrap(), PAID, "what came first is what is kept");

        let other = again.replace("2000", "9000");
        post(&posted, &other).await;
        post(
            &posted,
            &other.replace(r#""pending_webhooks":1"#, r#""pending_webhooks":0"#),
        )
        .await;
        assert_eq!(
            states(&posted).await,
            [EventState::Routed, EventState::Conflict],
            "the same conflict, once"
        );
        posted.webhooks.drain(Duration::from_secs(5)).await;
        assert!(posted.saw_nothing_more().await);
    }
}

/// The same without the list: what the test above relies on.
#[tokio::test]
async fn a_field_that_is_not_named_makes_another_body() {
    let stripe = providers::stripe().with_changing_fields([""; 0]);
    let posted = Posted::start(Form::Terminal, stripe, SECRET, |endpoint| endpoint).await;
    post(&posted, PAID).await;
    let again = PAID.replace(r#""pending_webhooks":2"#, r#""pending_webhooks":1"#);
    post(&posted, &again).await;
    assert_eq!(
        states(&posted).await,
        [EventState::Routed, EventState::Conflict]
    );
}

#[tokio::test]
async fn one_event_of_several_is_known_when_it_comes_again_in_other_company() {
    let event = |id: &str, again: bool, text: &str| {
        format!(
            r#"{{"type":"message","webhookEventId":"{id}","timestamp":1,"deliveryContext":{{"isRedelivery":{again}}},"message":{{"text":"{text}"}}}}"#
        )
    };
    let body = |events: &[String]| {
        let events = events.join(",");
        format!(r#"{{"destination":"U1","events":[{events}]}}"#)
    };
    let line = providers::line();
    let posted = Posted::start(Form::Terminal, line, SECRET, |endpoint| endpoint).await;
    post(
        &posted,
        &body(&[event("A", false, "a"), event("B", false, "b")]),
    )
    .await;
    assert_eq!(posted.all_seen(2).await.len(), 2);
    // One known, one known with another text, one new.
    let again = [
        event("B", true, "b"),
        event("A", true, "c"),
        event("C", false, "c"),
    ];
    post(&posted, &body(&again)).await;
    assert_eq!(posted.seen().await.id, "C");
    let states = states(&posted).await;
    assert_eq!(states.len(), 4);
    let conflicts = states.iter().filter(|it| **it == EventState::Conflict);
    assert_eq!(conflicts.count(), 1);
    posted.webhooks.drain(Duration::from_secs(5)).await;
    assert!(posted.saw_nothing_more().await);
}

/// A header that is not signed can be written by whoever captured the delivery: a known
/// body is then the same event also where it differs in what redeliveries change.
#[tokio::test]
async fn under_another_unsigned_id_what_changes_does_not_count_either() {
    let envelope = acme().envelope().clone();
    let id = HeaderName::from_static("x-acme-id");
    let acme = acme().with_envelope(envelope.with_id(id.clone()).with_changing_fields(["/n"]));
    let posted = Posted::start(Form::Terminal, acme, SECRET, |endpoint| endpoint).await;
    for (delivery, body) in [
        ("1", r#"{"type":"a","n":1,"data":{}}"#),
        ("2", r#"{"type":"a","n":2,"data":{}}"#),
        ("1", r#"{"type":"a","n":3,"data":{}}"#),
    ] {
        let sender = posted.sender(SECRET);
        let sender = sender.header(id.clone(), delivery.parse().unwrap());
        let request = sender.request(body).unwrap();
        assert_eq!(posted.post(request).await.0, 200, "{body}");
    }
    assert_eq!(states(&posted).await, [EventState::Routed]);
}

#[tokio::test]
async fn a_description_in_toml_names_what_changes() {
    let text = r#"
        name = "acme"
        [scheme]
        kind = "hmac"
        header = "x-acme-signature"
        [envelope]
        event_type = "/type"
        id = "/id"
        data = "/data"
        changing_fields = ["/attempt", "/meta/sent_at"]
    "#;
    let acme: Provider = toml::from_str(text).unwrap();
    let posted = Posted::start(Form::Terminal, acme, SECRET, |endpoint| endpoint).await;
    for body in [
        r#"{"type":"a","id":"1","attempt":1,"meta":{"sent_at":"10:00"},"data":{}}"#,
        r#"{"type":"a","id":"1","attempt":2,"meta":{"sent_at":"11:00"},"data":{}}"#,
    ] {
        post(&posted, body).await;
    }
    assert_eq!(states(&posted).await, [EventState::Routed]);
    let wrong = text.replace("/attempt", "/data");
    let refused = toml::from_str::<Provider>(&wrong).unwrap_err().to_string();
    assert!(refused.contains("it is another event"), "{refused}");
}
