//! What each event does, through the app as it is served.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use mppcash_receiver::{Alerts, Billing, Desk, PATH, TopUp, app};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    Amount, HandlerError, MemoryInbox, Secrets, Webhooks,
    providers::{
        self,
        mppcash::{SessionSettled, TransferRejected},
    },
    testing::{Runs, Sender},
};

/// Writes down what was done.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Book {
    fn note(&self, line: String) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

impl Billing for Book {
    async fn record(&self, key: &str, settled: &SessionSettled) -> Result<(), HandlerError> {
        let (usdc, tx) = (&settled.settled_usdc, &settled.tx_signature);
        self.note(format!("record {key} {usdc} {tx}"))
    }
}

impl Alerts for Book {
    async fn alert(&self, _: &str, title: &str, text: &str) -> Result<(), HandlerError> {
        self.note(format!("alert {title} | {text}"))
    }

    fn is_expected(&self, rejected: &TransferRejected) -> bool {
        rejected.rejection_reason == "per-day limit"
    }
}

impl TopUp for Book {
    async fn top_up(&self, key: &str, to: &str, usdc: &Amount) -> Result<(), HandlerError> {
        self.note(format!("top-up {to} {usdc} key {key}"))
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
    async fn open(top_up: Option<u64>) -> Self {
        let (runs, book) = (Runs::new(), Book::default());
        let desk = Desk {
            effects: book.clone(),
            top_up: top_up.map(Amount::from),
        };
        let secrets = Secrets::new("a-shared-secret").unwrap();
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(secrets, desk, MemoryInbox::new(), builder)
            .await
            .unwrap();
        Self {
            app,
            sender: Sender::new(providers::mppcash(), "a-shared-secret")
                .unwrap()
                .to(PATH),
            runs,
            book,
            _webhooks: webhooks,
        }
    }

    async fn post(&self, request: Request<Body>) -> StatusCode {
        self.app.clone().oneshot(request).await.unwrap().status()
    }

    /// Sends a signed event and waits for its handler. Gives the event's id.
    async fn receive(&self, event_type: &str, data: &str) -> String {
        let body = format!(r#"{{"type":"{event_type}","data":{data}}}"#);
        assert_eq!(
            self.post(self.sender.request(body).unwrap()).await,
            StatusCode::OK
        );
        let run = timeout(Duration::from_secs(10), self.runs.next())
            .await
            .unwrap();
        assert_eq!((run.event_type.as_str(), run.error), (event_type, None));
        run.event_id.to_string()
    }

    fn done(&self) -> Vec<String> {
        self.book.0.lock().unwrap().drain(..).collect()
    }
}

const SETTLED: &str = r#"{"session_id":"sess_1","settled_usdc":12.50,"tx_signature":"5h6x","settled_at":"2026-03-02T10:15:30Z"}"#;
const LOW: &str = r#"{"account_id":"acct_1","balance_usdc":"42.75","usdc_token_account":"7Usdc"}"#;

#[tokio::test]
async fn a_settlement_is_recorded_once_however_often_it_comes() {
    let shop = Shop::open(None).await;
    shop.receive("session.settled", SETTLED).await;
    let again = format!(r#"{{"type":"session.settled","data":{SETTLED}}}"#);
    assert_eq!(
        shop.post(shop.sender.request(again).unwrap()).await,
        StatusCode::OK
    );
    // Handlers of one worker start in the order in which their events came.
    shop.receive("transfer.settled", "{}").await;
    assert_eq!(shop.done(), ["record sess_1 12.50 5h6x"]);
}

#[tokio::test]
async fn a_rejection_alerts_unless_it_was_expected() {
    let shop = Shop::open(None).await;
    let rejected = |reason| format!(r#"{{"account_id":"acct_1","rejection_reason":"{reason}"}}"#);
    shop.receive("transfer.rejected", &rejected("per-day limit"))
        .await;
    assert!(shop.done().is_empty());
    shop.receive("transfer.rejected", &rejected("not on the allowlist"))
        .await;
    assert_eq!(
        shop.done(),
        ["alert MPPCash policy violation: acct_1 | not on the allowlist"]
    );
}

#[tokio::test]
async fn a_low_balance_alerts_and_tops_up_only_when_enabled() {
    let alert = "alert MPPCash balance is low: acct_1 | 42.75 USDC are left. Please top up.";
    let shop = Shop::open(None).await;
    shop.receive("balance.low_threshold", LOW).await;
    assert_eq!(shop.done(), [alert]);

    let shop = Shop::open(Some(50)).await;
    let id = shop.receive("balance.low_threshold", LOW).await;
    assert_eq!(
        shop.done(),
        [alert.to_owned(), format!("top-up 7Usdc 50 key {id}")]
    );
}

#[tokio::test]
async fn a_cap_warning_is_handled_without_an_effect() {
    let shop = Shop::open(Some(50)).await;
    let warning = r#"{"session_id":"sess_1","running_total_usdc":16.25,"cap_usdc":20}"#;
    shop.receive("session.cap_warning", warning).await;
    assert!(shop.done().is_empty());
}

#[tokio::test]
async fn an_event_whose_handler_gave_up_alerts() {
    let shop = Shop::open(None).await;
    let unfit = r#"{"type":"session.settled","data":{}}"#;
    let request = shop.sender.request(unfit).unwrap();
    assert_eq!(shop.post(request).await, StatusCode::OK);
    let alerted = async {
        let run = shop.runs.next().await;
        loop {
            let done = shop.done();
            if !done.is_empty() {
                return (run, done);
            }
            tokio::task::yield_now().await;
        }
    };
    let (run, done) = timeout(Duration::from_secs(10), alerted).await.unwrap();
    let (id, error) = (run.event_id, run.error.unwrap());
    assert!(error.contains("session_id"), "{error}");
    let title = format!("MPPCash: session.settled gave up on {id}");
    assert_eq!(done, [format!("alert {title} | {error}")]);
}

#[tokio::test]
async fn a_delivery_with_one_byte_changed_does_nothing() {
    let shop = Shop::open(Some(50)).await;
    let body = format!(r#"{{"type":"balance.low_threshold","data":{LOW}}}"#);
    let mut forged = shop.sender.request(body.clone()).unwrap();
    *forged.body_mut() = Body::from(body.replace("7Usdc", "8Usdc"));
    assert_eq!(shop.post(forged).await, StatusCode::UNAUTHORIZED);
    shop.receive("transfer.settled", "{}").await;
    assert!(shop.done().is_empty());
}
