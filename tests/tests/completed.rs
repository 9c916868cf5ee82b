//! Handlers that complete their jobs in PostgreSQL themselves, by the statement that
//! the inbox documents, over a connection that is not the inbox's.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Mutex;
use tower_webhooks::{
    Attempt, Completion, Endpoint, EventRouter, Handler as _, HandlerError, Job, Lease,
    ManualClock, PostgresInbox, Retry, Secrets, Webhooks, postgres::tokio_postgres::Client,
    testing::Runs,
};
use tower_webhooks_tests::{ACCEPTED, Acme, Form, SECRET, Schema, acme, ask, body, soon};

/// A connection as another library has one.
type Bank = Arc<Mutex<Client>>;

/// Pays, and completes the job in the same transaction if the token is its own.
async fn pay(bank: &Bank, job: &Job, token: u64) -> Result<bool, HandlerError> {
    let Lease { seq, .. } = lease(job)?;
    let (seq, token) = (i64::try_from(seq.0)?, i64::try_from(token)?);
    let (event, handler) = (job.event_id().as_str(), job.handler().as_str());
    let mut bank = bank.lock().await;
    let transaction = bank.transaction().await?;
    let insert = "INSERT INTO payout VALUES ($1)";
    transaction.execute(insert, &[&event]).await?;
    let complete = "SELECT complete($1, $2, $3)";
    let row = transaction
        .query_one(complete, &[&seq, &handler, &token])
        .await?;
    let completed: bool = row.get(0);
    if completed {
        transaction.commit().await?;
    }
    Ok(completed)
}

fn lease(job: &Job) -> Result<Lease, HandlerError> {
    let lease = job.lease();
    lease.ok_or_else(|| HandlerError::permanent("no job is settled here"))
}

/// Receives one event and waits until its job has ended; returns how it did, and all
/// payouts.
async fn run(schema: &Schema, events: EventRouter) -> (Option<String>, Vec<String>) {
    let inbox = PostgresInbox::open(schema.url()).await.unwrap();
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events);
    let runs = Runs::new();
    let builder = runs.watch(Webhooks::builder().with_clock(clock.clone()));
    let webhooks = builder.start(inbox, [endpoint]).await.unwrap();
    let app = Form::Terminal.mount(&webhooks, "acme");
    let request = Acme::sender(SECRET, &clock).request(body("order.paid", "evt_1"));
    assert_eq!(ask(app, request.unwrap()).await.summary(), ACCEPTED);
    let run = soon(runs.next()).await;
    webhooks.drain(Duration::from_secs(5)).await;
    let payouts = schema.lines("SELECT event FROM payout").await;
    (run.error, payouts)
}

async fn bank(schema: &Schema) -> Bank {
    let opened = PostgresInbox::builder(schema.url()).migrate().await;
    opened.unwrap();
    let shell = schema.shell().await;
    let table = "CREATE TABLE payout (event text NOT NULL)";
    shell.batch_execute(table).await.unwrap();
    Arc::new(Mutex::new(shell))
}

const JOB: &str = "SELECT concat_ws(' ', state, attempts, last_error) FROM job";

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_handler_completes_its_job_in_postgres_with_its_own_payout() {
    let schema = Schema::new();
    let bank = bank(&schema).await;
    let handler = move |job: Job| {
        let bank = Arc::clone(&bank);
        async move {
            let token = lease(&job)?.token;
            match pay(&bank, &job, token).await? {
                true => Ok(Completion::by_statement()),
                false => Err(HandlerError::permanent("another worker has the job")),
            }
        }
    };
    let events = EventRouter::new().on("order.paid", handler.retry(Retry::none()));
    assert_eq!(run(&schema, events).await, (None, vec!["evt_1".to_owned()]));
    assert_eq!(schema.lines(JOB).await, ["done 1"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn an_earlier_attempts_token_completes_nothing_in_postgres() {
    let schema = Schema::new();
    let bank = bank(&schema).await;
    let first = Arc::new(AtomicU64::new(0));
    let handler = move |job: Job, attempt: Attempt| {
        let (bank, first) = (Arc::clone(&bank), Arc::clone(&first));
        async move {
            let token = lease(&job)?.token;
            if attempt.number == 1 {
                first.store(token, SeqCst);
                return Err(HandlerError::msg("the bank is closed"));
            }
            let stale = pay(&bank, &job, first.load(SeqCst)).await?;
            let own = pay(&bank, &job, token).await?;
            match (stale, own) {
                (false, true) => Ok(Completion::by_statement()),
                other => Err(HandlerError::permanent(format!("completed: {other:?}"))),
            }
        }
    };
    let again = Retry::fixed(Duration::ZERO);
    let events = EventRouter::new().on("order.paid", handler.retry(again));
    assert_eq!(run(&schema, events).await, (None, vec!["evt_1".to_owned()]));
    assert_eq!(schema.lines(JOB).await, ["done 2 the bank is closed"]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn a_job_in_postgres_that_was_not_completed_stays_leased() {
    let schema = Schema::new();
    let bank = bank(&schema).await;
    drop(bank);
    let handler = async |_: Job| Completion::by_statement();
    let events = EventRouter::new().on("order.paid", handler);
    assert_eq!(run(&schema, events).await, (None, Vec::<String>::new()));
    // It runs again when the lease ends.
    assert_eq!(schema.lines(JOB).await, ["running 1"]);
}
