//! What each event does, through the app as it is served.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{Request, StatusCode};
use monterrey_receiver::{Orders, PATH, app};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    HandlerError, MemoryInbox, Secrets, Webhooks,
    providers::{self, monterrey::PaymentConfirmed},
    testing::{Runs, Sender},
};

/// The whole text is the key, its prefix included.
const SECRET: &str = "whsec_of_the_shop";

/// Writes down what was done.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    fn note(&self, line: String) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

impl Orders for Book {
    async fn fulfil(&self, paid: &PaymentConfirmed) -> Result<(), HandlerError> {
        let PaymentConfirmed {
            merchant_ref,
            tx_hash,
            amount,
            currency,
            ..
        } = paid;
        self.note(format!(
            "fulfil {merchant_ref} {tx_hash} {amount} {currency}"
        ))
    }

    async fn expire(&self, order: &str) -> Result<(), HandlerError> {
        self.note(format!("expire {order}"))
    }

    async fn fail(&self, order: &str, reason: &str) -> Result<(), HandlerError> {
        self.note(format!("fail {order}: {reason}"))
    }
}

struct Shop {
    app: Router,
    sender: Sender,
    runs: Runs,
    book: Book,
    _webhooks: Arc<Webhooks>,
}

impl Shop {
    async fn open() -> Self {
        let (runs, book) = (Runs::new(), Book::default());
        let secrets = Secrets::new(SECRET).unwrap();
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(secrets, book.clone(), MemoryInbox::new(), builder)
            .await
            .unwrap();
        Self {
            app,
            sender: Sender::new(providers::monterrey(), SECRET)
                .unwrap()
                .to(PATH),
            runs,
            book,
            _webhooks: webhooks,
        }
    }

    async fn post(&self, request: Request<Body>) -> (StatusCode, String) {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1024).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn send(&self, body: &str) {
        let answer = self
            .post(self.sender.request(body.to_owned()).unwrap())
            .await;
        assert_eq!(answer, (StatusCode::OK, r#"{"received":true}"#.into()));
    }

    /// Sends the preset's sample of a type and waits for its handler.
    async fn receive(&self, event_type: &str) {
        self.send(&sample(event_type)).await;
        let run = timeout(Duration::from_secs(10), self.runs.next())
            .await
            .unwrap();
        assert_eq!((run.event_type.as_str(), run.error), (event_type, None));
    }

    fn done(&self) -> Vec<String> {
        self.book.0.lock().unwrap().drain(..).collect()
    }
}

fn sample(event_type: &str) -> String {
    let provider = providers::monterrey();
    let event = provider.events().find(event_type).unwrap();
    event.sample.as_ref().unwrap().to_string()
}

#[tokio::test]
async fn orders_are_fulfilled_expired_and_failed() {
    let shop = Shop::open().await;
    for event_type in ["payment.confirmed", "payment.expired", "payment.failed"] {
        shop.receive(event_type).await;
    }
    let tx = "0x123abc0000000000000000000000000000000000000000000000000000000000";
    assert_eq!(
        shop.done(),
        [
            format!("fulfil order_12345 {tx} 1000000 USDC"),
            "expire order_12346".into(),
            "fail order_12347: wrong amount".into(),
        ]
    );
}

#[tokio::test]
async fn an_order_is_fulfilled_once_however_often_it_is_told() {
    let shop = Shop::open().await;
    shop.receive("payment.confirmed").await;
    shop.send(&sample("payment.confirmed")).await;
    shop.receive("payment.expired").await;
    let done = shop.done();
    assert_eq!(done.len(), 2, "{done:?}");
    assert!(
        done[0].starts_with("fulfil ") && done[1].starts_with("expire "),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_failure_without_a_reason_fails_the_order_too() {
    let shop = Shop::open().await;
    shop.send(r#"{"id":"evt_1","event":"payment.failed","data":{"merchantRef":"order_1"}}"#)
        .await;
    timeout(Duration::from_secs(10), shop.runs.next())
        .await
        .unwrap();
    assert_eq!(shop.done(), ["fail order_1: not given"]);
}

#[tokio::test]
async fn the_rest_of_the_secret_alone_is_another_secret() {
    let shop = Shop::open().await;
    let sender = Sender::new(providers::monterrey(), "of_the_shop")
        .unwrap()
        .to(PATH);
    let answer = shop
        .post(sender.request(sample("payment.confirmed")).unwrap())
        .await;
    let refused = r#"{"error":"Invalid signature"}"#;
    assert_eq!(answer, (StatusCode::UNAUTHORIZED, refused.into()));
    shop.receive("payment.expired").await;
    assert_eq!(shop.done(), ["expire order_12346"]);
}
