//! The round that the quickstart makes, and what its receiver refuses.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use http::{Request, StatusCode};
use quickstart::{PATH, app, command, send_one_of_each};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tower::ServiceExt as _;
use tower_webhooks::{Secrets, Webhooks, serve::Server, testing::Runs};

const SECRET: &str = "a-shared-secret";

#[tokio::test]
async fn one_event_of_each_type_is_handled_over_http() {
    let (runs, handled) = (Runs::new(), Arc::new(Mutex::new(Vec::new())));
    let note = handled.clone();
    let builder = Webhooks::builder().on_done(move |job| {
        note.lock()
            .unwrap()
            .push(job.event_type.as_ref().unwrap().to_string());
    });
    let secrets = Secrets::new(SECRET).unwrap();
    let (app, webhooks) = app(secrets, runs.watch(builder)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());

    let (outcome, sent) = oneshot::channel();
    let round = async {
        outcome
            .send(send_one_of_each(&url, SECRET, &runs).await)
            .unwrap();
    };
    let server = Server::new(listener).serve_until(app, webhooks, round);
    timeout(Duration::from_secs(10), server).await.unwrap();
    sent.await.unwrap().unwrap();
    assert_eq!(
        *handled.lock().unwrap(),
        [
            "transfer.settled",
            "transfer.rejected",
            "session.settled",
            "session.cap_warning",
            "balance.low_threshold",
        ]
    );
}

#[tokio::test]
async fn a_round_with_another_secret_is_an_error() {
    let runs = Runs::new();
    let secrets = Secrets::new("another-secret").unwrap();
    let (app, webhooks) = app(secrets, runs.watch(Webhooks::builder())).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let mut outcome = Ok(());
    let round = async { outcome = send_one_of_each(&url, SECRET, &runs).await };
    let server = Server::new(listener).serve_until(app, webhooks, round);
    timeout(Duration::from_secs(10), server).await.unwrap();
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "transfer.settled was answered with 401 Unauthorized"
    );
}

#[tokio::test]
async fn what_is_not_signed_is_refused() {
    let secrets = Secrets::new(SECRET).unwrap();
    let (app, _webhooks) = app(secrets, Webhooks::builder()).await.unwrap();
    let unsigned = Request::post(PATH).body(Body::from("{}")).unwrap();
    assert_eq!(
        app.oneshot(unsigned).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn the_command_signs_what_it_sends() {
    let command = command("http://127.0.0.1:3000/mppcash/events", SECRET);
    assert!(command.contains(r#"printf %s "$body" | openssl dgst -sha256 -hmac a-shared-secret"#));
    assert!(command.ends_with(r#"--data-binary "$body""#));
    assert!(!command.contains('\n'), "one line can be pasted anywhere");
}
