//! What the tables take while jobs come and go, and how much of that is air.

use serde::Serialize;
use tower_webhooks::postgres::tokio_postgres::Client;

use super::{
    database::Database,
    jobs::{self, STEP},
};

/// The tables after so many jobs.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// How many jobs were stored, run and completed.
    pub jobs: u64,
    /// The largest tables.
    pub tables: Vec<Table>,
}

/// A table with its indexes.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// What it takes.
    pub bytes: u64,
    /// What it takes after `VACUUM FULL`: without air.
    pub packed_bytes: u64,
    /// How often autovacuum was there.
    pub vacuumed: u64,
}

/// Stores, runs and completes so many jobs, a few thousand at a time, with autovacuum as it is set
/// up.
///
/// # Errors
///
/// The server is away.
pub async fn measure(url: &str, count: u64) -> anyhow::Result<Growth> {
    let database = Database::empty(url, "growth").await?;
    let inbox = database.inbox().await?;
    jobs::register(&inbox).await?;
    let mut stored = 0;
    while stored < count {
        let step = (4 * STEP).min(count - stored);
        jobs::fill(&inbox, stored, step).await?;
        // As many as run at once by default.
        jobs::drain(&inbox, 256).await?;
        stored += step;
    }
    let shell = database.shell().await?;
    let before = sizes(&shell).await?;
    shell.batch_execute("VACUUM FULL event").await?;
    shell.batch_execute("VACUUM FULL event_body").await?;
    shell.batch_execute("VACUUM FULL job").await?;
    shell.batch_execute("VACUUM FULL tally").await?;
    let after = sizes(&shell).await?;
    let mut tables = Vec::new();
    for (mut table, packed) in before.into_iter().zip(after) {
        table.packed_bytes = packed.bytes;
        table.rows = number(&shell, &format!("SELECT count(*) FROM {}", table.name)).await?;
        tables.push(table);
    }
    database.clear().await?;
    Ok(Growth {
        jobs: count,
        tables,
    })
}

async fn sizes(shell: &Client) -> anyhow::Result<Vec<Table>> {
    let sql = "SELECT relname::text, pg_total_relation_size(relid), autovacuum_count
        FROM pg_stat_user_tables WHERE schemaname = current_schema()
            AND relname IN ('event', 'event_body', 'job', 'tally') ORDER BY 1";
    let rows = shell.query(sql, &[]).await?;
    let tables = rows.iter().map(|row| {
        Ok(Table {
            name: row.get(0),
            rows: 0,
            bytes: u64::try_from(row.get::<_, i64>(1))?,
            packed_bytes: 0,
            vacuumed: u64::try_from(row.get::<_, i64>(2))?,
        })
    });
    tables.collect()
}

async fn number(shell: &Client, sql: &str) -> anyhow::Result<u64> {
    let row = shell.query_one(sql, &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0))?)
}
