//! What each event does, through the app as it is served.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use devdraft_receiver::{PATH, Payments, app, provider};
use http::StatusCode;
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    HandlerError, MemoryInbox, Secrets, Webhooks,
    providers::RawJson,
    testing::{Runs, Sender},
};

/// Writes down what was done.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    fn note(&self, status: &str, key: &str, data: &RawJson) -> Result<(), HandlerError> {
        self.0
            .lock()
            .unwrap()
            .push(format!("{status} {key} {data}"));
        Ok(())
    }
}

impl Payments for Book {
    async fn pending(&self, key: &str, data: &RawJson) -> Result<(), HandlerError> {
        self.note("pending", key, data)
    }

    async fn completed(&self, key: &str, data: &RawJson) -> Result<(), HandlerError> {
        self.note("completed", key, data)
    }

    async fn failed(&self, key: &str, data: &RawJson) -> Result<(), HandlerError> {
        self.note("failed", key, data)
    }

    async fn refunded(&self, key: &str, data: &RawJson) -> Result<(), HandlerError> {
        self.note("refunded", key, data)
    }
}

struct Shop {
    app: Router,
    runs: Runs,
    book: Book,
    _webhooks: Arc<Webhooks>,
}

impl Shop {
    async fn open(signature_header: Option<&str>) -> Self {
        let (runs, book) = (Runs::new(), Book::default());
        let secrets = Secrets::new("a-shared-secret").unwrap();
        let provider = provider(signature_header).unwrap();
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(provider, secrets, book.clone(), MemoryInbox::new(), builder)
            .await
            .unwrap();
        Self {
            app,
            runs,
            book,
            _webhooks: webhooks,
        }
    }

    /// Posts an event that is signed in that header.
    async fn post(&self, signature_header: Option<&str>, body: String) -> StatusCode {
        let provider = provider(signature_header).unwrap();
        let sender = Sender::new(provider, "a-shared-secret").unwrap().to(PATH);
        let answer = self
            .app
            .clone()
            .oneshot(sender.request(body).unwrap())
            .await;
        answer.unwrap().status()
    }

    fn done(&self) -> Vec<String> {
        self.book.0.lock().unwrap().drain(..).collect()
    }
}

fn event(id: &str, event_type: &str) -> String {
    format!(r#"{{"id":"{id}","event_type":"{event_type}","data":{{"amount":10.10}}}}"#)
}

#[tokio::test]
async fn a_payment_is_followed() {
    let shop = Shop::open(None).await;
    for status in ["pending", "completed", "failed", "refunded"] {
        let body = event("evt_1", &format!("payment.{status}")).replace("evt_1", status);
        assert_eq!(shop.post(None, body).await, StatusCode::OK);
        timeout(Duration::from_secs(10), shop.runs.next())
            .await
            .unwrap();
        assert_eq!(
            shop.done(),
            [format!(r#"{status} {status} {{"amount":10.10}}"#)]
        );
    }
}

#[tokio::test]
async fn the_signature_is_read_from_the_header_that_is_named() {
    let shop = Shop::open(Some("X-Devdraft-Signature")).await;
    let body = event("evt_1", "payment.completed");
    assert_eq!(
        shop.post(None, body.clone()).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        shop.post(Some("x-devdraft-signature"), body).await,
        StatusCode::OK
    );
    timeout(Duration::from_secs(10), shop.runs.next())
        .await
        .unwrap();
    assert_eq!(shop.done(), [r#"completed evt_1 {"amount":10.10}"#]);
}

#[test]
fn a_header_that_cannot_be_one_is_an_error_at_start() {
    assert!(provider(Some("not a header")).is_err());
    assert!(provider(Some("")).is_err());
}
