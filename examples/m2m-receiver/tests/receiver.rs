//! What each event does, through the app as it is served.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::Router;
use http::StatusCode;
use m2m_receiver::{PATH, Partner, Records, Replies, app};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    HandlerError, ManualClock, MemoryInbox, Secrets, Webhooks,
    providers::{
        self,
        m2m::{API_HOST, DataRequest, LinkCreated, OperationCreated},
    },
    testing::{Run, Runs, Sender},
};

/// Writes down what was done; knows users whose reference begins `user_`.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    fn note(&self, line: String) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

impl Records for Book {
    async fn store(&self, link: &LinkCreated) -> Result<(), HandlerError> {
        self.note(format!("store {} {}", link.link_id, link.url))
    }

    async fn record(&self, operation: &OperationCreated) -> Result<(), HandlerError> {
        let amount = &operation.amount;
        let (id, status) = (&operation.operation_id, &operation.status);
        self.note(format!(
            "record {id} {} {} {} {status}",
            amount.send, amount.receive, amount.fee
        ))
    }

    async fn reverse_holds(&self, operation_id: &str) -> Result<(), HandlerError> {
        self.note(format!("reverse {operation_id}"))
    }
}

impl Replies for Book {
    async fn user_data(&self, request: &DataRequest) -> Option<Value> {
        let known = request.reference_id.starts_with("user_");
        known.then(|| json!({ "dob": "1990-01-31" }))
    }

    async fn put(&self, url: &str, body: &Value) -> Result<(), HandlerError> {
        self.note(format!("put {url} {body}"))
    }
}

struct Shop {
    app: Router,
    sender: Sender,
    clock: ManualClock,
    runs: Runs,
    book: Book,
    _webhooks: Arc<Webhooks>,
}

impl Shop {
    async fn open(tolerance: Duration) -> Self {
        let (runs, book) = (Runs::new(), Book::default());
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_446_800));
        let partner = Partner {
            effects: book.clone(),
            api_host: API_HOST.to_owned(),
        };
        let secrets = Secrets::new("a-shared-secret").unwrap();
        let builder = runs.watch(Webhooks::builder().with_clock(clock.clone()));
        let (app, webhooks) = app(secrets, tolerance, partner, MemoryInbox::new(), builder)
            .await
            .unwrap();
        let sender = Sender::new(providers::m2m(), "a-shared-secret").unwrap();
        Self {
            app,
            sender: sender.to(PATH).at(&clock),
            clock,
            runs,
            book,
            _webhooks: webhooks,
        }
    }

    /// Sends a signed event and waits for its handler.
    async fn receive(&self, body: String) -> Run {
        let request = self.sender.request(body).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        timeout(Duration::from_secs(10), self.runs.next())
            .await
            .unwrap()
    }

    fn done(&self) -> Vec<String> {
        self.book.0.lock().unwrap().drain(..).collect()
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn sample(event_type: &str) -> String {
    let provider = providers::m2m();
    let event = provider.events().find(event_type).unwrap();
    event.sample.as_ref().unwrap().to_string()
}

#[tokio::test]
async fn each_event_has_its_effect() {
    let shop = Shop::open(FIVE_MINUTES).await;
    let put = r#"put https://api.m2m.leapfinancial.com/partner/data-requests/dr_acme_a1b2c3d4e5f6 {"referenceId":"user_12345","userData":{"dob":"1990-01-31"}}"#;
    for (event_type, effect) in [
        (
            "link.created",
            Some("store link_acme_x9y8z7w6v5u4 https://m2m.leapfinancial.com/l/x9y8z7w6v5u4"),
        ),
        ("link.opened", None),
        ("user.data_request", Some(put)),
        (
            "operation.created",
            Some("record op_acme_m1n2o3p4q5r6 100.5 1725.58 2.99 created"),
        ),
        ("operation.cancelled", Some("reverse op_acme_m1n2o3p4q5r6")),
    ] {
        let run = shop.receive(sample(event_type)).await;
        assert_eq!((run.handler.as_str(), run.error), (event_type, None));
        assert_eq!(shop.done(), Vec::from_iter(effect), "{event_type}");
    }
}

#[tokio::test]
async fn an_api_key_goes_to_the_configured_host_only() {
    let shop = Shop::open(FIVE_MINUTES).await;
    let elsewhere = sample("user.data_request").replace(
        "https://api.m2m.leapfinancial.com/",
        "https://api.m2m.leapfinancial.com.evil.example/",
    );
    let run = shop.receive(elsewhere).await;
    assert_eq!(
        (run.attempt, run.error.as_deref()),
        (1, Some("replyEndpoint is not on the configured host"))
    );
    assert!(shop.done().is_empty());
}

#[tokio::test]
async fn a_user_of_whom_nothing_is_known_is_left_to_the_widget() {
    let shop = Shop::open(FIVE_MINUTES).await;
    let run = shop
        .receive(sample("user.data_request").replace("user_12345", "guest_1"))
        .await;
    assert_eq!(run.error, None);
    assert!(shop.done().is_empty());
}

#[tokio::test]
async fn an_unknown_type_is_only_logged() {
    let shop = Shop::open(FIVE_MINUTES).await;
    let run = shop
        .receive(r#"{"event":"link.expired","data":{}}"#.to_owned())
        .await;
    assert_eq!((run.handler.as_str(), run.error), ("fallback", None));
    assert!(shop.done().is_empty());
}

#[tokio::test]
async fn the_tolerance_is_the_one_that_was_set() {
    for (tolerance, age, status) in [
        (FIVE_MINUTES, 300, StatusCode::OK),
        (FIVE_MINUTES, 301, StatusCode::UNAUTHORIZED),
        (Duration::from_secs(10), 10, StatusCode::OK),
        (Duration::from_secs(10), 11, StatusCode::UNAUTHORIZED),
    ] {
        let shop = Shop::open(tolerance).await;
        let request = shop.sender.request(sample("link.opened")).unwrap();
        shop.clock.advance(Duration::from_secs(age));
        let answer = shop.app.clone().oneshot(request).await.unwrap();
        assert_eq!(
            answer.status(),
            status,
            "{age} s old, {tolerance:?} tolerated"
        );
    }
}
