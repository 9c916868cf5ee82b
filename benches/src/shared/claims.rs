//! Jobs claimed and completed by the library, and by hand.

use std::time::Instant;

use serde::Serialize;
use tokio::task::JoinSet;
use tower_webhooks::postgres::deadpool_postgres::Pool;

use super::{database::Database, jobs};
use crate::durable::{by_hand::pool, sender::BODY_BYTES};

/// Jobs that were completed.
#[derive(Debug, Serialize)]
pub struct Claims {
    /// How many run at once.
    pub at_once: usize,
    /// How many there were, for each in each round.
    pub jobs: u64,
    /// By hand, a second, in each round.
    pub by_hand: Vec<f64>,
    /// By the library, in the same rounds.
    pub library: Vec<f64>,
}

/// Has both complete so many jobs, in turn.
///
/// # Errors
///
/// The server is away.
pub async fn measure(
    url: &str,
    rounds: usize,
    jobs: u64,
    at_once: usize,
) -> anyhow::Result<Claims> {
    let mut claims = Claims {
        at_once,
        jobs,
        by_hand: Vec::new(),
        library: Vec::new(),
    };
    for _ in 0..rounds {
        claims.by_hand.push(by_hand(url, jobs, at_once).await?);
        claims.library.push(library(url, jobs, at_once).await?);
    }
    Ok(claims)
}

/// One statement settles and claims as many as run at once.
async fn library(url: &str, count: u64, at_once: usize) -> anyhow::Result<f64> {
    let database = Database::empty(url, "claims").await?;
    let inbox = database.inbox().await?;
    jobs::register(&inbox).await?;
    jobs::fill(&inbox, 0, count).await?;
    let shell = database.shell().await?;
    shell
        .batch_execute("ANALYZE event, event_body, job")
        .await?;
    let started = Instant::now();
    let completed = jobs::drain(&inbox, at_once).await?;
    let took = started.elapsed();
    anyhow::ensure!(completed == count, "{completed} of {count} were completed");
    database.clear().await?;
    Ok(count as f64 / took.as_secs_f64())
}

/// A transaction for each job: its row is locked while it runs.
async fn by_hand(url: &str, count: u64, at_once: usize) -> anyhow::Result<f64> {
    let database = Database::empty(url, "claims_by_hand").await?;
    let shell = database.shell().await?;
    let fill = format!(
        "CREATE TABLE job (
             id bigint PRIMARY KEY, state text NOT NULL, body bytea NOT NULL
         ) WITH (fillfactor = 70);
         CREATE INDEX job_pending ON job (id) WHERE state = 'pending';
         INSERT INTO job SELECT n, 'pending', convert_to(repeat('x', {BODY_BYTES}), 'UTF8')
         FROM generate_series(1, {count}) AS n;
         ANALYZE job;"
    );
    shell.batch_execute(&fill).await?;
    let pool = pool(&database.by_hand())?;
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        workers.spawn(work(pool.clone()));
    }
    let mut completed = 0;
    while let Some(worker) = workers.join_next().await {
        completed += worker??;
    }
    let took = started.elapsed();
    anyhow::ensure!(completed == count, "{completed} of {count} were completed");
    drop(pool);
    database.clear().await?;
    Ok(count as f64 / took.as_secs_f64())
}

async fn work(pool: Pool) -> anyhow::Result<u64> {
    let mut completed = 0;
    loop {
        let mut client = pool.get().await?;
        let transaction = client.transaction().await?;
        let next = "SELECT id, body FROM job WHERE state = 'pending' ORDER BY id LIMIT 1
            FOR UPDATE SKIP LOCKED";
        let next = transaction.prepare_cached(next).await?;
        let Some(row) = transaction.query_opt(&next, &[]).await? else {
            return Ok(completed);
        };
        let (id, body): (i64, Vec<u8>) = (row.get(0), row.get(1));
        anyhow::ensure!(body.len() == BODY_BYTES, "the body is there");
        let done = "UPDATE job SET state = 'done' WHERE id = $1";
        let done = transaction.prepare_cached(done).await?;
        transaction.execute(&done, &[&id]).await?;
        transaction.commit().await?;
        completed += 1;
    }
}
