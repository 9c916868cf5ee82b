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
use cryptomate_receiver::{Cards, Ledger, Logged, PATH, app};
use http::{Request, StatusCode};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    HandlerError, MemoryInbox, Secrets, Webhooks,
    providers::{
        self, RawJson,
        cryptomate::{CardTransaction, Common, Deposit},
    },
    testing::{Runs, Sender},
};

/// Writes down what was done; decides as [`Logged`] does, and fails for the
/// merchant `broken`.
#[derive(Debug, Clone)]
struct Book {
    lines: Arc<Mutex<Vec<String>>>,
    logged: Logged,
}

impl Book {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Ledger for Book {
    async fn credit(&self, key: &str, deposit: &Deposit) -> Result<(), HandlerError> {
        self.note(format!(
            "credit {key} {} {}",
            deposit.net_amount, deposit.token.symbol
        ));
        Ok(())
    }
}

impl Cards for Book {
    async fn decide(&self, wanted: &CardTransaction) -> Result<&'static str, HandlerError> {
        self.note(format!("decide {}", wanted.bill_amount));
        if wanted.merchant_data.name == "broken" {
            return Err(HandlerError::msg("the ledger is closed"));
        }
        self.logged.decide(wanted).await
    }

    async fn follow(&self, key: &str, operation: &Common, _: &RawJson) -> Result<(), HandlerError> {
        self.note(format!("follow {key} {}", operation.status));
        Ok(())
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
        let runs = Runs::new();
        let book = Book {
            lines: Arc::default(),
            logged: Logged {
                limit_usd: "100".parse().unwrap(),
            },
        };
        let secrets = Secrets::new("a-webhook-key").unwrap();
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(secrets, book.clone(), MemoryInbox::new(), builder)
            .await
            .unwrap();
        Self {
            app,
            sender: Sender::new(providers::cryptomate(), "a-webhook-key")
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

    async fn send(&self, body: &str) -> (StatusCode, String) {
        self.post(self.sender.request(body.to_owned()).unwrap())
            .await
    }

    /// Waits for the next handler, and gives what was done so far.
    async fn done(&self) -> Vec<String> {
        let run = timeout(Duration::from_secs(10), self.runs.next())
            .await
            .unwrap();
        assert_eq!(run.error, None);
        self.book.lines.lock().unwrap().drain(..).collect()
    }
}

fn sample(event_type: &str) -> String {
    let provider = providers::cryptomate();
    let event = provider.events().find(event_type).unwrap();
    event.sample.as_ref().unwrap().to_string()
}

fn authorization(operation: &str, usd: &str, currency: &str, merchant: &str) -> String {
    format!(
        r#"{{"product":"cards","event_type":"authorization","operation_id":"{operation}","status":"pending","data":{{"card_id":"c","bill_amount":{usd},"bill_currency_code":"{currency}","transaction_amount":1,"transaction_currency_code":"EUR","merchant_data":{{"id":"m","name":"{merchant}"}}}}}}"#
    )
}

const ACCEPTED: (StatusCode, String) = (StatusCode::OK, String::new());

#[tokio::test]
async fn deposits_are_credited_once() {
    let shop = Shop::open().await;
    for event_type in [
        "treasury.deposit.success",
        "cards.deposit.success",
        "virtual_wallets.deposit.success",
    ] {
        assert_eq!(shop.send(&sample(event_type)).await, ACCEPTED);
        let done = shop.done().await;
        assert_eq!(done.len(), 1, "{done:?}");
        assert!(
            done[0].starts_with(&format!("credit {event_type}:")),
            "{done:?}"
        );
    }
    assert_eq!(
        shop.send(&sample("treasury.deposit.success")).await,
        ACCEPTED
    );
    assert_eq!(shop.send(&sample("cards.refund.success")).await, ACCEPTED);
    let done = shop.done().await;
    assert!(
        done.len() == 1 && done[0].starts_with("follow cards.refund.success:"),
        "{done:?}"
    );
}

#[tokio::test]
async fn an_amount_keeps_its_digits_in_the_older_envelope_too() {
    let shop = Shop::open().await;
    let exact = sample("treasury.deposit.success")
        .replace(r#""product":"treasury""#, r#""operation":"TREASURY""#)
        .replace(r#""event_type":"deposit""#, r#""sub_operation":"DEPOSIT""#)
        .replace(r#""status":"success""#, r#""status":"SUCCESS""#)
        .replace(
            r#""net_amount":249.50"#,
            r#""net_amount":12345678901234567890.10"#,
        );
    assert_eq!(shop.send(&exact).await, ACCEPTED);
    assert_eq!(
        shop.done().await,
        [
            "credit treasury.deposit.success:ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd0 12345678901234567890.10 USDC"
        ]
    );
}

#[tokio::test]
async fn a_cards_life_is_followed_through_every_status() {
    let shop = Shop::open().await;
    for event_type in [
        "cards.declined.success",
        "cards.clearing.pending",
        "cards.clearing.failed",
        "cards.clearing.success",
        "cards.refund.success",
        "cards.reversal.success",
        "cards.3ds_challenge.pending",
    ] {
        assert_eq!(shop.send(&sample(event_type)).await, ACCEPTED);
        let done = shop.done().await;
        let status = event_type.rsplit('.').next().unwrap();
        assert_eq!(done.len(), 1, "{event_type}: {done:?}");
        assert!(
            done[0].starts_with(&format!("follow {event_type}:")),
            "{done:?}"
        );
        assert!(
            done[0].to_lowercase().ends_with(&format!(" {status}")),
            "{done:?}"
        );
    }
}

#[tokio::test]
async fn an_authorization_is_decided_to_the_last_digit() {
    let shop = Shop::open().await;
    for (operation, usd, currency, merchant, code) in [
        ("under", "99.99", "USD", "shop", "00"),
        ("at", "100.00", "USD", "shop", "00"),
        ("just-over", "100.00000000000000000001", "USD", "shop", "05"),
        ("as-text", "\"100.01\"", "USD", "shop", "05"),
        ("nothing", "0", "USD", "shop", "05"),
        ("negative", "-5", "USD", "shop", "05"),
        ("currency", "5", "EUR", "shop", "05"),
        ("failure", "5", "USD", "broken", "05"),
        ("unreadable", "null", "USD", "shop", "05"),
    ] {
        let answer = shop
            .send(&authorization(operation, usd, currency, merchant))
            .await;
        assert_eq!(
            answer,
            (StatusCode::OK, format!(r#"{{"code":"{code}"}}"#)),
            "{operation}"
        );
        let done = shop.done().await;
        let followed = format!("follow cards.authorization.pending:{operation} pending");
        assert_eq!(done.last(), Some(&followed), "{operation}");
    }
}

#[tokio::test]
async fn a_redelivered_authorization_gets_the_same_answer_and_no_second_decision() {
    let shop = Shop::open().await;
    let body = authorization("op_1", "5", "USD", "shop");
    let first = shop.send(&body).await;
    assert_eq!(first, (StatusCode::OK, r#"{"code":"00"}"#.into()));
    assert_eq!(shop.send(&body).await, first);
    let done = shop.done().await;
    assert_eq!(
        done,
        [
            "decide 5",
            "follow cards.authorization.pending:op_1 pending"
        ]
    );
}

#[tokio::test]
async fn another_key_decides_nothing() {
    let shop = Shop::open().await;
    let sender = Sender::new(providers::cryptomate(), "another-key")
        .unwrap()
        .to(PATH);
    let forged = sender
        .request(authorization("op_1", "5", "USD", "shop"))
        .unwrap();
    assert_eq!(
        shop.post(forged).await,
        (StatusCode::UNAUTHORIZED, String::new())
    );
    shop.send(&sample("cards.refund.success")).await;
    assert_eq!(shop.done().await.len(), 1);
}
