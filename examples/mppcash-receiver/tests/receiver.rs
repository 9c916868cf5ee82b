//! What each event does, through the app as it is served.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use mppcash_receiver::{
    Alerts, Desk, PATH, TopUp, app,
    books::{Books, TABLES},
};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    Amount, HandlerError, Inbox, MemoryInbox, Secrets, SqliteInbox, Webhooks,
    providers::{self, mppcash::TransferRejected},
    sqlite::rusqlite::Connection,
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
        Self::open_with(MemoryInbox::new(), Books::Log, top_up).await
    }

    async fn open_with(inbox: impl Inbox, books: Books, top_up: Option<u64>) -> Self {
        let (runs, book) = (Runs::new(), Book::default());
        let desk = Desk {
            books,
            effects: book.clone(),
            top_up: top_up.map(Amount::from),
        };
        let secrets = Secrets::new("a-shared-secret").unwrap();
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(secrets, desk, inbox, builder).await.unwrap();
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
async fn a_settlement_is_one_row_however_often_it_comes() {
    // Beside the build: the system's folder is often in memory, which is refused.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("webhooks.db");
    let inbox = SqliteInbox::builder(&file).with_tables(TABLES);
    let shop = Shop::open_with(inbox.open().await.unwrap(), Books::File, None).await;
    shop.receive("session.settled", SETTLED).await;
    let again = format!(r#"{{"type":"session.settled","data":{SETTLED}}}"#);
    assert_eq!(
        shop.post(shop.sender.request(again).unwrap()).await,
        StatusCode::OK
    );
    // Handlers of one worker start in the order in which their events came.
    shop.receive("transfer.settled", "{}").await;

    let file = Connection::open(file).unwrap();
    let lines = |sql| {
        let mut lines = file.prepare(sql).unwrap();
        let lines = lines.query_map([], |row| row.get(0)).unwrap();
        lines.collect::<Result<Vec<String>, _>>().unwrap()
    };
    assert_eq!(
        lines("SELECT concat_ws(' ', session_id, settled_usdc, tx_signature) FROM settlement"),
        ["sess_1 12.50 5h6x"]
    );
    assert_eq!(
        lines("SELECT concat_ws(' ', handler, state, attempts) FROM job ORDER BY seq"),
        ["session.settled done 1", "transfer.settled done 1"]
    );
}

#[tokio::test]
async fn in_memory_a_settlement_is_logged() {
    let shop = Shop::open(None).await;
    shop.receive("session.settled", SETTLED).await;
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
async fn a_delivery_with_one_byte_changed_does_nothing() {
    let shop = Shop::open(Some(50)).await;
    let body = format!(r#"{{"type":"balance.low_threshold","data":{LOW}}}"#);
    let mut forged = shop.sender.request(body.clone()).unwrap();
    *forged.body_mut() = Body::from(body.replace("7Usdc", "8Usdc"));
    assert_eq!(shop.post(forged).await, StatusCode::UNAUTHORIZED);
    shop.receive("transfer.settled", "{}").await;
    assert!(shop.done().is_empty());
}
