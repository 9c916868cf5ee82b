//! The command beside a running receiver, each in a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figure is what a run is for"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tower_webhooks::{providers, sqlite::rusqlite::Connection, testing::Sender};
use tower_webhooks_tests::{Receiver, Schema, Wire, disk_folder, head_of, soon, webhooks};

const SECRET: &str = "the-receiver-and-its-operator-share-this";

/// A worker looks once a second at least; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(2);

/// Waits until its only job has ended dead, with so many attempts before it was
/// last replayed. `count` asks the inbox for a number.
async fn died(count: impl AsyncFn(&str) -> i64, earlier: u64) {
    let sql = format!(
        "SELECT count(*) FROM job
         WHERE earlier_attempts = {earlier} AND attempts = 1 AND state = 'dead'"
    );
    while count(&sql).await == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn json_of(inbox: &str, arguments: &str) -> Value {
    serde_json::from_str(&webhooks(inbox, arguments)).unwrap()
}

#[tokio::test]
async fn a_running_receiver_notices_a_replay_within_a_second() {
    let folder = disk_folder();
    let path = folder.path().join("webhooks.db");
    let count = async |sql: &str| {
        let file = Connection::open(&path).unwrap();
        file.busy_timeout(Duration::from_secs(5)).unwrap();
        file.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    notices(path.to_str().unwrap(), count).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_running_receiver_notices_a_replay_in_postgres_within_a_second() {
    let schema = Schema::new();
    let shell = schema.shell().await;
    let count = async |sql: &str| shell.query_one(sql, &[]).await.unwrap().get(0);
    notices(&schema.url(), count).await;
}

async fn notices(inbox: &str, count: impl AsyncFn(&str) -> i64) {
    let environment = [("INBOX", inbox), ("RUST_LOG", "info")];
    let receiver = Receiver::start("mppcash-receiver", SECRET, &environment).await;

    // Authentic, and nothing that its handler could read: dead at once.
    let sender = Sender::new(providers::mppcash(), SECRET).unwrap();
    let body = r#"{"type":"transfer.rejected","data":{}}"#;
    let request = sender.to("/mppcash/events").request(body).unwrap();
    let (head, body) = head_of(request).await;
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let mut wire = Wire::connect(receiver.address).await;
    wire.send(&[head.as_bytes(), length.as_bytes(), &body].concat())
        .await;
    let answer = wire.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    soon(died(&count, 0)).await;

    let mut slowest = Duration::ZERO;
    for replay in 1..=5 {
        let report = json_of(inbox, "inbox replay --state dead --json");
        let began = Instant::now();
        assert_eq!(report["runs"].as_array().unwrap().len(), 1, "{report}");
        soon(died(&count, replay)).await;
        slowest = slowest.max(began.elapsed());
    }
    println!("a replay was noticed after {slowest:?} at most");
    assert!(slowest < NOTICED, "noticed after {slowest:?}");
    let stats = json_of(inbox, "inbox stats --json");
    assert_eq!((&stats["dead"], &stats["orphaned"]), (&json!(1), &json!(0)));
    receiver.stop().await;
}
