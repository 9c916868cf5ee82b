//! One app as several processes: some receive, some run the handlers.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use http::{StatusCode, header::RETRY_AFTER};
use tempfile::TempDir;
use tower_webhooks::{
    Endpoint, EventRouter, Inbox, Job, ManualClock, MemoryInbox, Role, Secrets, SqliteInbox,
    StartError, Webhooks, inbox::JobState, testing::Runs,
};
use tower_webhooks_tests::{ACCEPTED, Acme, Answered, Form, SECRET, acme, ask, body, soon};

/// One process of the app. All of them share an inbox and a clock.
struct Process {
    webhooks: Webhooks,
    app: Router,
    runs: Runs,
    clock: ManualClock,
}

impl Process {
    async fn start(inbox: &Arc<SqliteInbox>, role: Role) -> Self {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let events = EventRouter::new().on("order.*", |_: Job| async {});
        let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events);
        let runs = Runs::new();
        let builder = runs.watch(Webhooks::builder().with_clock(clock.clone()));
        let webhooks = builder
            .with_role(role)
            .start(Arc::clone(inbox), [endpoint])
            .await
            .unwrap();
        Self {
            app: Form::Terminal.mount(&webhooks, "acme"),
            webhooks,
            runs,
            clock,
        }
    }

    async fn post(&self, id: &str) -> Answered {
        let sender = Acme::sender(SECRET, &self.clock);
        let request = sender.request(body("order.paid", id)).unwrap();
        ask(self.app.clone(), request).await
    }
}

async fn inbox(folder: &TempDir) -> Arc<SqliteInbox> {
    let file = SqliteInbox::builder(folder.path().join("webhooks.db")).insecure_any_filesystem();
    Arc::new(file.open().await.unwrap())
}

#[tokio::test]
async fn a_receiver_stores_jobs_that_only_a_worker_runs() {
    let folder = TempDir::new().unwrap();
    let inbox = inbox(&folder).await;
    let receiver = Process::start(&inbox, Role::Receiver).await;
    assert!(receiver.webhooks.is_accepting());
    assert_eq!(receiver.post("evt_1").await.summary(), ACCEPTED);

    // Its own worker, if it had one, would have been done when a drain returns.
    receiver.webhooks.drain(Duration::from_secs(5)).await;
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.jobs(JobState::Pending), 1);

    let worker = Process::start(&inbox, Role::Worker).await;
    let run = soon(worker.runs.next()).await;
    assert_eq!(run.event_id, "evt_1");
    assert_eq!(inbox.stats().await.unwrap().jobs(JobState::Done), 1);
}

#[tokio::test]
async fn a_worker_refuses_deliveries_and_is_never_ready() {
    let folder = TempDir::new().unwrap();
    let worker = Process::start(&inbox(&folder).await, Role::Worker).await;
    let answered = worker.post("evt_1").await;
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answered.headers.contains_key(RETRY_AFTER));
    assert!(!worker.webhooks.is_accepting());
    assert!(
        worker
            .webhooks
            .inbox()
            .stats()
            .await
            .unwrap()
            .events
            .is_empty()
    );
}

#[tokio::test]
async fn half_the_work_over_an_inbox_that_nobody_shares_does_not_start() {
    for role in [Role::Receiver, Role::Worker] {
        let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap());
        let builder = Webhooks::builder().with_role(role);
        let error = builder
            .start(MemoryInbox::new(), [endpoint])
            .await
            .unwrap_err();
        assert!(matches!(&error, StartError::Lonely(wanted, _) if *wanted == role));
        assert!(error.to_string().contains("must be `Both`"), "{error}");
    }
}
