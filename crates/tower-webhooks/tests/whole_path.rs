//! A signed POST in, a typed handler run.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by a panic"
)]

use std::time::Duration;

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_webhooks::{
    Endpoint, Event, EventRouter, MemoryInbox, Rejection, RejectionKind, Secrets, Webhooks, ack,
    providers,
    testing::{Runs, Sender},
};

const SECRET: &str = "a-shared-secret";

fn sender() -> Sender {
    Sender::new(providers::mppcash(), SECRET).unwrap()
}

fn body(session: &str) -> String {
    format!(r#"{{"type":"session.settled","data":{{"session_id":"{session}"}}}}"#)
}

async fn app(runs: &Runs) -> (Router, Webhooks) {
    let events = EventRouter::new().on(
        "session.settled",
        |event: Event<serde_json::Value>| async move {
            assert_eq!(event.data["session_id"], "s-1");
        },
    );
    let webhooks = runs
        .watch(Webhooks::builder())
        .start(
            MemoryInbox::new(),
            [Endpoint::new(
                "mppcash",
                providers::mppcash(),
                Secrets::new(SECRET).unwrap(),
            )
            .events(events)],
        )
        .await
        .unwrap();
    let app = Router::new()
        .route(
            "/layer",
            post(ack).layer(webhooks.layer("mppcash").unwrap()),
        )
        .route_service("/terminal", webhooks.endpoint("mppcash").unwrap());
    (app, webhooks)
}

async fn send(
    app: &Router,
    path: &str,
    mut request: Request<Body>,
) -> (StatusCode, Bytes, Response<()>) {
    *request.uri_mut() = path.parse().unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, bytes, Response::from_parts(parts, ()))
}

#[tokio::test]
async fn a_signed_event_runs_its_handler_once_however_often_it_comes() {
    let runs = Runs::new();
    let (app, webhooks) = app(&runs).await;
    for path in ["/layer", "/terminal", "/layer"] {
        let (status, body, _) = send(&app, path, sender().request(body("s-1")).unwrap()).await;
        assert_eq!(
            (status, body.as_ref()),
            (StatusCode::OK, b"OK".as_slice()),
            "{path}"
        );
    }
    let run = tokio::time::timeout(Duration::from_secs(5), runs.next())
        .await
        .unwrap();
    assert_eq!(run.handler, "session.settled");
    assert_eq!(run.error, None);
    let report = webhooks.drain(Duration::from_secs(5)).await;
    assert_eq!(report.dropped, 0);
    assert_eq!(webhooks.bytes_in_flight(), 0);
}

#[tokio::test]
async fn a_changed_byte_is_refused_with_the_providers_one_answer() {
    let runs = Runs::new();
    let (app, _webhooks) = app(&runs).await;
    for path in ["/layer", "/terminal"] {
        let request = sender().request(body("s-1")).unwrap();
        let (parts, _) = request.into_parts();
        let forged = Request::from_parts(parts, Body::from(body("s-2")));
        let (status, body, response) = send(&app, path, forged).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(body.as_ref(), b"Invalid signature", "{path}");
        let kind = response.extensions().get::<Rejection>().unwrap().kind();
        assert_eq!(kind, RejectionKind::SignatureMismatch, "{path}");
    }
}
