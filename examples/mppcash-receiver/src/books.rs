//! Keeps the books: a settlement's row and its job's completion commit together,
//! or neither does. A session settles once: another settlement of it fails, and
//! ends as a dead job that somebody looks at.

use tower_webhooks::{Event, postgres::Tx, providers::mppcash::SessionSettled, sqlite::SqliteWork};

/// Where settlements are written down: it must be of the inbox's kind, but for
/// the log, which goes with any.
#[derive(Debug, Clone, Copy)]
pub enum Books {
    /// In the inbox's own file.
    File,
    /// Nowhere: where the inbox has no place for rows.
    Log,
    /// In the inbox's own database.
    Postgres,
}

/// The table, in either. Amounts are text, which keeps their digits.
pub const TABLES: &str = "CREATE TABLE IF NOT EXISTS settlement (session_id TEXT PRIMARY KEY,
    settled_usdc TEXT NOT NULL, tx_signature TEXT NOT NULL)";

const INSERT: &str = "INSERT INTO settlement VALUES ($1, $2, $3)";

pub(crate) async fn in_file(event: Event<SessionSettled>) -> SqliteWork {
    let row = row(event.data);
    SqliteWork::new(move |file| file.execute(INSERT, row).map(drop))
}

pub(crate) async fn in_log(event: Event<SessionSettled>) {
    let [session, usdc, _] = row(event.data);
    tracing::info!(session, usdc, "settled");
}

pub(crate) async fn in_postgres(event: Event<SessionSettled>, tx: Tx) -> crate::Done {
    let [session, usdc, signature] = &row(event.data);
    tx.execute(INSERT, &[session, usdc, signature]).await?;
    Ok(())
}

fn row(settled: SessionSettled) -> [String; 3] {
    let usdc = settled.settled_usdc.to_string();
    [settled.session_id, usdc, settled.tx_signature]
}
