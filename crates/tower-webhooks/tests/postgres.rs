//! Two programs, one PostgreSQL: signed POSTs in, handlers that write in the
//! inbox's own transaction.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by a panic"
)]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Body, routing::post};
use http::StatusCode;
use tower::ServiceExt as _;
use tower_webhooks::{
    Attempt, Endpoint, Event, EventRouter, HandlerError, PostgresInbox, Retry, Secrets, Webhooks,
    ack,
    inbox::{Inbox, JobState},
    postgres::{
        Tx,
        tokio_postgres::{self, Client, NoTls},
    },
    providers,
    testing::Sender,
};

const SECRET: &str = "a-shared-secret";

struct Schema {
    name: String,
    shell: Client,
}

impl Schema {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("whole_{started}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (shell, connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = format!(
            "CREATE SCHEMA {name};
             CREATE TABLE {name}.settlement (session text PRIMARY KEY, attempt int NOT NULL);
             SET search_path = {name}"
        );
        shell.batch_execute(&sql).await.unwrap();
        Self { name, shell }
    }

    async fn open(&self) -> PostgresInbox {
        let inbox = PostgresInbox::builder(url()).with_schema(self.name.clone());
        inbox.open().await.unwrap()
    }

    /// The attempts that have left a row.
    async fn settled(&self) -> Vec<i32> {
        let rows = self
            .shell
            .query("SELECT attempt FROM settlement", &[])
            .await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn drop(self) {
        let sql = format!("DROP SCHEMA {} CASCADE", self.name);
        self.shell.batch_execute(&sql).await.unwrap();
    }
}

fn url() -> String {
    std::env::var("TOWER_WEBHOOKS_POSTGRES").unwrap()
}

async fn program(inbox: PostgresInbox, events: EventRouter) -> (Router, Webhooks) {
    let endpoint = Endpoint::new(
        "mppcash",
        providers::mppcash(),
        Secrets::new(SECRET).unwrap(),
    );
    let webhooks = Webhooks::start(inbox, [endpoint.events(events)]).await;
    let webhooks = webhooks.unwrap();
    let layer = webhooks.layer("mppcash").unwrap();
    let app = Router::new().route("/", post(ack).layer(layer));
    (app, webhooks)
}

async fn deliver(app: &Router, session: &str) -> StatusCode {
    let body = format!(r#"{{"type":"session.settled","data":{{"session_id":"{session}"}}}}"#);
    let sender = Sender::new(providers::mppcash(), SECRET).unwrap();
    let request = sender.request(body).unwrap();
    let mut request = request.map(Body::from);
    *request.uri_mut() = "/".parse().unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

async fn until_done(inbox: &PostgresInbox, jobs: u64) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let stats = inbox.stats().await.unwrap();
        if stats.jobs(JobState::Done) == jobs {
            return;
        }
        assert!(Instant::now() < until, "{stats:?}");
        tokio::task::yield_now().await;
    }
}

/// Writes, and fails at the first attempt.
async fn settle(
    event: Event<serde_json::Value>,
    attempt: Attempt,
    tx: Tx,
    schema: &str,
) -> Result<(), HandlerError> {
    let session = event.data["session_id"].as_str().unwrap();
    let number = i32::try_from(attempt.number).unwrap();
    let sql = format!("INSERT INTO {schema}.settlement VALUES ($1, $2)");
    tx.execute(&sql, &[&session, &number]).await?;
    if number == 1 {
        return Err(HandlerError::msg("after it has written"));
    }
    Ok(())
}

fn events(schema: &Schema) -> EventRouter {
    let name = schema.name.clone();
    EventRouter::new().on(
        "session.settled",
        tower_webhooks::Handler::retry(
            move |event: Event<serde_json::Value>, attempt: Attempt, tx: Tx| {
                let name = name.clone();
                async move { settle(event, attempt, tx, &name).await }
            },
            Retry::fixed(Duration::from_millis(10)),
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn what_a_handler_writes_commits_once_with_its_jobs_completion() {
    let schema = Schema::new().await;
    let inbox = schema.open().await;
    let (here, first) = program(inbox.clone(), events(&schema)).await;
    let (there, second) = program(schema.open().await, events(&schema)).await;
    for app in [&here, &there, &here] {
        assert_eq!(deliver(app, "s-1").await, StatusCode::OK);
    }
    until_done(&inbox, 1).await;
    assert_eq!(schema.settled().await, [2], "what failed left nothing");
    for webhooks in [first, second] {
        assert_eq!(webhooks.drain(Duration::from_secs(5)).await.dropped, 0);
    }
    schema.drop().await;
}
