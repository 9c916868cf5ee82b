//! The typed event, from a job and from a request.

use axum::{extract::FromRequestParts, response::IntoResponse};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::value::RawValue;

use super::*;
use crate::fixtures;

async fn from_request<T: serde::de::DeserializeOwned>(
    body: Option<&str>,
) -> Result<Event<T>, EventRejection> {
    let (mut parts, ()) = Request::new(()).into_parts();
    if let Some(body) = body {
        parts.extensions.insert(fixtures::delivery(body));
    }
    Event::from_request_parts(&mut parts, &()).await
}

#[tokio::test]
async fn a_job_gives_the_event_with_everything_known_about_it() {
    let body = fixtures::body("order.paid", "evt_1", "[1,2]");
    let event = Event::<Vec<u8>>::from_job(&fixtures::job(&body).build(), &())
        .await
        .unwrap();
    assert_eq!(event.data, [1, 2]);
    assert_eq!(event.id(), "evt_1");
    assert_eq!(event.event_type(), "order.paid");
    assert_eq!(event.occurred_at(), None);
    assert_eq!(event.tenant().unwrap(), "acme");
    assert_eq!(event.received_at(), event.delivery().received_at());
    let turned = event.map(|numbers| numbers.len());
    assert_eq!((turned.data, turned.id().as_str()), (2, "evt_1"));
}

#[tokio::test]
async fn a_raw_payload_keeps_its_spelling() {
    let body = fixtures::body("order.paid", "evt_1", r#"{"b": 1.50,  "a":null}"#);
    let event = Event::<Box<RawValue>>::from_job(&fixtures::job(&body).build(), &())
        .await
        .unwrap();
    assert_eq!(event.data.get(), r#"{"b": 1.50,  "a":null}"#);
}

#[tokio::test]
async fn an_unusable_delivery_is_permanent_for_a_job() {
    let error = Event::<u8>::from_job(&fixtures::job("[]").build(), &())
        .await
        .unwrap_err();
    assert!(error.is_permanent());
    assert_eq!(error.to_string(), "the body is not a JSON object");
}

#[tokio::test]
async fn a_request_gives_the_same_event() {
    let body = fixtures::body("order.paid", "evt_1", "7");
    let event: Event<u8> = from_request(Some(&body)).await.unwrap();
    assert_eq!((event.data, event.id().as_str()), (7, "evt_1"));
}

#[tokio::test]
async fn without_the_providers_id_the_body_stands_in_as_in_the_inbox() {
    use tower_webhooks_core::{
        Provider, Restored,
        provider::{Envelope, HmacScheme, Scheme},
    };

    let scheme = Scheme::Hmac(HmacScheme::new(http::HeaderName::from_static(
        "x-signature",
    )));
    let provider = Provider::new("no-ids", scheme, Envelope::new("/event"));
    let body = bytes::Bytes::from_static(br#"{"event":"a"}"#);
    let stored = Restored::new(body, std::time::SystemTime::UNIX_EPOCH);
    let (mut parts, ()) = Request::new(()).into_parts();
    parts
        .extensions
        .insert(Delivery::insecure_restore(provider.into(), stored));
    let event = Event::<serde_json::Value>::from_request_parts(&mut parts, &())
        .await
        .unwrap();
    assert_eq!(
        event.id(),
        "sha256:807703e0d5637b7e10ad781b20b1045bcc13eaccda7039261971145d1b1a8502"
    );
}

#[tokio::test]
async fn a_payload_that_does_not_fit_answers_422_and_tells_the_sender_nothing() {
    let body = fixtures::body("order.paid", "evt_1", r#"{"amount":"secret"}"#);
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only its decoding is looked at")]
    struct Paid {
        amount: u32,
    }
    let rejection = from_request::<Paid>(Some(&body)).await.unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "the payload does not fit its type at `amount`: expected u32"
    );
    let response = rejection.into_response();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "the payload does not fit");
}

#[tokio::test]
async fn a_route_without_the_layer_answers_500_and_tells_its_developer_why() {
    let rejection = from_request::<u8>(None).await.unwrap_err();
    assert!(rejection.to_string().contains("without a webhook layer"));
    assert_eq!(rejection.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        rejection.into_response().status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
}
