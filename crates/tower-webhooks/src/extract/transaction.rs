//! The inbox's transaction as an argument of a handler.

use tower_webhooks_postgres::{Tx, TxError};

use super::FromJob;
use crate::{HandlerError, Job};

/// What the handler writes in it commits together with the job's completion.
/// Begun when the handler is called; other arguments taken before it wait for no
/// connection.
impl<S: Sync> FromJob<S> for Tx {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Self::take(job.transaction().await?).map_err(mistake)
    }
}

/// The same over a pool of sqlx's.
#[cfg(feature = "sqlx")]
impl<S: Sync> FromJob<S> for tower_webhooks_postgres::SqlxTx {
    async fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Self::take(job.transaction().await?).map_err(mistake)
    }
}

/// Another attempt would find the same.
fn mistake(error: TxError) -> HandlerError {
    HandlerError::permanent(error)
}
