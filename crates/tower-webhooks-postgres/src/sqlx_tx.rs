//! The transaction that a handler writes in, as sqlx has it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use sqlx::PgConnection;
use tower_webhooks_inbox::Work;

use crate::{TxError, driver::SqlxWork};

/// [`Tx`](crate::Tx) for an inbox over a pool of sqlx's: used as a
/// [`PgConnection`], so pass `&mut *tx` where sqlx takes an executor. What begins a
/// transaction in it, such as a function that takes any `Acquire`, makes a savepoint,
/// and its `commit` commits nothing before the handler's job is done.
///
/// ```
/// use tower_webhooks_postgres::{SqlxTx, sqlx};
///
/// async fn settle(tx: &mut SqlxTx, id: &str, cents: i64) -> Result<(), sqlx::Error> {
///     sqlx::query("INSERT INTO settlement (id, cents) VALUES ($1, $2)")
///         .bind(id)
///         .bind(cents)
///         .execute(&mut **tx)
///         .await?;
///     Ok(())
/// }
/// ```
pub struct SqlxTx {
    /// Always there, but while it is dropped.
    held: Option<SqlxWork>,
    slot: Work,
}

impl SqlxTx {
    /// As [`Tx::take`](crate::Tx::take).
    ///
    /// # Errors
    ///
    /// If it is in use, or not of this kind.
    pub fn take(work: &Work) -> Result<Self, TxError> {
        if work.is_taken() {
            return Err(TxError::InUse);
        }
        let held = work
            .take::<SqlxWork>()
            .filter(|held| held.connection().is_some())
            .ok_or(TxError::OtherKind("`Tx`"))?;
        Ok(Self {
            held: Some(held),
            slot: work.clone(),
        })
    }
}

impl Deref for SqlxTx {
    type Target = PgConnection;

    #[expect(
        clippy::expect_used,
        reason = "`take` has seen that it is there, and only `drop` takes it away"
    )]
    fn deref(&self) -> &Self::Target {
        let connection = self.held.as_ref().and_then(SqlxWork::connection);
        connection.expect("a transaction that is not dropped has its connection")
    }
}

impl DerefMut for SqlxTx {
    #[expect(
        clippy::expect_used,
        reason = "`take` has seen that it is there, and only `drop` takes it away"
    )]
    fn deref_mut(&mut self) -> &mut Self::Target {
        let connection = self.held.as_mut().and_then(SqlxWork::connection_mut);
        connection.expect("a transaction that is not dropped has its connection")
    }
}

impl Drop for SqlxTx {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.slot.give_back(held);
        }
    }
}

impl fmt::Debug for SqlxTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlxTx").finish_non_exhaustive()
    }
}
