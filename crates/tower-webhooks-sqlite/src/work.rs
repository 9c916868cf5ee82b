//! Work that commits together with its job's completion.

use std::{error::Error, fmt};

use rusqlite::{Connection, Params, Row, Statement};
use tower_webhooks_inbox::Work;

/// What a work's failure becomes: its text and its sources are the reason that
/// the job's record shows.
pub(crate) type WorkError = Box<dyn Error + Send + Sync>;

type Run = dyn FnOnce(&SqliteTransaction<'_>) -> Result<(), WorkError> + Send;

/// Statements that take effect exactly once: they commit in the transaction that
/// marks their job as done, or not at all.
///
/// Return it from a handler, as a completion that carries it. It runs on the
/// inbox's writing thread, in a savepoint of its own:
///
/// * If it fails or panics, its statements are taken back, the job is not done,
///   and the reason goes to the worker, which tries the job again.
/// * If the job's lease is lost, it does not run.
/// * Every acknowledgement waits for it: compute first, and only write here.
///   Above 50 ms a warning is logged.
///
/// Its tables live in the inbox's file. Make them with
/// [`with_tables`](crate::SqliteBuilder::with_tables). They should not reference
/// the inbox's own by a foreign key, or pruning fails.
///
/// ```
/// use tower_webhooks_inbox::Work;
/// use tower_webhooks_sqlite::SqliteWork;
///
/// # fn settled(id: String, cents: i64) -> Work {
/// SqliteWork::new(move |tx| {
///     tx.execute("INSERT INTO settlement (id, cents) VALUES (?1, ?2)", (id, cents))
///         .map(drop)
/// })
/// .into()
/// # }
/// ```
pub struct SqliteWork(Box<Run>);

impl SqliteWork {
    /// Work that this function does.
    #[must_use]
    pub fn new<F, E>(work: F) -> Self
    where
        F: FnOnce(&SqliteTransaction<'_>) -> Result<(), E> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Box::new(move |transaction| {
            work(transaction).map_err(Into::into)
        }))
    }

    pub(crate) fn run(self, transaction: &SqliteTransaction<'_>) -> Result<(), WorkError> {
        (self.0)(transaction)
    }
}

impl From<SqliteWork> for Work {
    fn from(work: SqliteWork) -> Self {
        Self::new(work)
    }
}

impl fmt::Debug for SqliteWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteWork").finish_non_exhaustive()
    }
}

/// The transaction that work joins.
///
/// It reads everything and writes everything but the inbox's own tables. SQLite
/// refuses, as "not authorized", what would end or escape the transaction:
/// `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `ATTACH`, `PRAGMA`, and temporary
/// tables.
///
/// The values and errors are those of [`rusqlite`](crate::rusqlite). Only one
/// version of it can be in a program, so yours is this one.
pub struct SqliteTransaction<'a> {
    connection: &'a Connection,
}

impl<'a> SqliteTransaction<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    /// Runs one statement; returns how many rows it changed.
    ///
    /// # Errors
    ///
    /// When SQLite refuses the statement or its values.
    pub fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// Reads the first row.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute); `QueryReturnedNoRows` if there is no row.
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.prepare(sql)?.query_row(params, read)
    }

    /// Prepares a statement, to run it often or to read many rows.
    ///
    /// # Errors
    ///
    /// When SQLite refuses the statement.
    pub fn prepare(&self, sql: &str) -> rusqlite::Result<Statement<'_>> {
        // Never from the cache: it holds the inbox's own `COMMIT`, which nobody
        // would be asked about again.
        self.connection.prepare(sql)
    }

    /// The number that the last inserted row was given.
    #[must_use]
    pub fn last_insert_rowid(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").finish_non_exhaustive()
    }
}
