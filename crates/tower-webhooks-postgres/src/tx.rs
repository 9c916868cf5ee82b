//! The transaction that a handler writes in.

use std::{fmt, ops::Deref};

use tower_webhooks_inbox::Work;

use crate::driver::PooledWork;

/// A transaction that commits together with its job's completion, or not at all:
/// what a handler writes in it takes effect exactly once.
///
/// Used as a [`tokio_postgres::Client`], in the version that this crate
/// [re-exports](crate::tokio_postgres). Once the handler has returned `Ok`, the
/// worker marks the job as done in the same transaction, fenced by the lease's
/// token, and commits. If the handler fails, is too slow or loses its lease, all is
/// rolled back. A commit that the server refuses, such as for a deferred
/// constraint, counts as a failed attempt.
///
/// Neither commit nor roll back in it: what a handler commits by itself is not
/// fenced, so its job is not done then and runs again. `SAVEPOINT` is fine. A
/// transaction of the driver's cannot be begun in it, because the driver would send
/// `BEGIN` and commit the handler's:
///
/// ```compile_fail,E0596
/// async fn within(mut tx: tower_webhooks_postgres::Tx) {
///     let inner = tx.transaction().await;
/// }
/// ```
///
/// After ten minutes without a statement the server takes the transaction back, unless
/// the role, the database or the handler has set
/// `idle_in_transaction_session_timeout`: a worker that has gone without a word would
/// keep its locks for hours. The completion is marked with the role that the
/// transaction began with, whatever `SET LOCAL ROLE` says by then, and waits for
/// locks no longer than one
/// [statement](crate::PostgresBuilder::with_statement_timeout) may take.
///
/// ```
/// use tower_webhooks_postgres::{Tx, tokio_postgres};
///
/// async fn settle(tx: &Tx, id: &str, cents: i64) -> Result<(), tokio_postgres::Error> {
///     let insert = "INSERT INTO settlement (id, cents) VALUES ($1, $2)";
///     tx.execute(insert, &[&id, &cents]).await?;
///     Ok(())
/// }
/// ```
pub struct Tx {
    /// Always there, but while it is dropped.
    held: Option<PooledWork>,
    slot: Work,
}

/// Why there is no transaction for a handler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// Another argument of the handler has it, or an earlier one still does.
    #[error("the handler's transaction is in use: take it by one argument")]
    InUse,
    /// The inbox reaches its database in another way.
    #[error("the inbox's transactions are of another kind: use {0}")]
    OtherKind(&'static str),
}

impl Tx {
    /// Takes the transaction that [`Inbox::begin`](tower_webhooks_inbox::Inbox::begin)
    /// gave. When this is dropped, it is given back, for
    /// [`settle_apart`](tower_webhooks_inbox::Inbox::settle_apart).
    ///
    /// # Errors
    ///
    /// If it is in use, or not of this kind.
    pub fn take(work: &Work) -> Result<Self, TxError> {
        if work.is_taken() {
            return Err(TxError::InUse);
        }
        let held = work
            .take::<PooledWork>()
            .filter(|held| held.client().is_some())
            .ok_or(TxError::OtherKind("`SqlxTx`"))?;
        Ok(Self {
            held: Some(held),
            slot: work.clone(),
        })
    }
}

impl Deref for Tx {
    type Target = tokio_postgres::Client;

    #[expect(
        clippy::expect_used,
        reason = "`take` has seen that it is there, and only `drop` takes it away"
    )]
    fn deref(&self) -> &Self::Target {
        let client = self.held.as_ref().and_then(PooledWork::client);
        client.expect("a transaction that is not dropped has its connection")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.slot.give_back(held);
        }
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}
