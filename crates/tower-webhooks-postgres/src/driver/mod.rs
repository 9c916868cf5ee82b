//! The two ways to the server, behind one: every statement exists once.
//!
//! * `pooled` is tokio-postgres with deadpool; `sqlx` is a pool of sqlx's.
//! * `hosts` finds the one of several hosts that answers.
//! * `kept` are statements that a connection keeps by a name. Where a pooler may give
//!   each transaction another connection there are none.
//! * Values are encoded and decoded by `postgres-types` for both; `values` are those
//!   that it does not know.

mod hosts;
mod kept;
mod pooled;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(test)]
mod tests;
mod values;

use std::{error::Error, fmt};

use tokio::sync::Notify;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tower_webhooks_inbox::{BoxFuture, Work};

use crate::error::Failure;

#[cfg(feature = "sqlx")]
pub(crate) use self::sqlx::{SqlxPool, SqlxWork};
pub(crate) use self::{
    hosts::Hosts,
    kept::ELSEWHERE,
    pooled::{Pooled, PooledWork},
    values::{SharedBytes, SharedText},
};

/// A value with the type that the server takes it for.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// A statement with its values.
pub(crate) type Query<'a> = (&'a str, Vec<Param<'a>>);

/// What goes to the server without waiting for an answer in between, where the
/// driver can do that and knows the statements: what begins a transaction, statements without values,
/// statements with values, and the commit. After one that fails the rest fails too,
/// because a transaction surrounds them: the commit then takes back. Where a
/// transaction cannot be begun nothing can be written, since that is the reason.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trip<'a> {
    pub(crate) begin: Option<Begin<'a>>,
    pub(crate) first: &'a str,
    pub(crate) queries: &'a [Query<'a>],
    pub(crate) commit: bool,
}

/// Statements that begin a transaction; the first is `BEGIN`.
#[derive(Clone, Copy)]
pub(crate) struct Begin<'a> {
    pub(crate) sql: &'a str,
    /// Whether the statements of the transaction come again and again.
    pub(crate) keep: bool,
    /// Told when it is done.
    pub(crate) done: &'a Notify,
}

impl<'a> Trip<'a> {
    pub(crate) fn first(first: &'a str) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }
}

/// Where connections come from.
pub(crate) trait Pool: fmt::Debug + Send + Sync + 'static {
    fn connection(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, Failure>>;

    /// Finds out whether its connections may keep statements; until then none do.
    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether all connections that it may have are in use: who waits then waits for
    /// them, and not for the server.
    fn is_busy(&self) -> bool;

    /// A connection that is told of what is notified on this channel, apart from
    /// the others; `None` where nobody said how to make one.
    fn listen<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Listener>>, Failure>>;

    /// Takes back the transaction that a work holds, if it is one of this pool's.
    fn take_work(&self, work: &Work) -> Option<Begun>;
}

/// A handler's transaction, taken back.
pub(crate) struct Begun {
    pub(crate) connection: Box<dyn Connection>,
    /// The value of the setting by which the transaction is known.
    pub(crate) mark: String,
}

/// One connection. Dropped, it goes back to its pool.
pub(crate) trait Connection: Send {
    /// Makes a trip to the server; returns the rows of each query.
    fn make<'a>(&'a mut self, trip: Trip<'a>) -> BoxFuture<'a, Result<Vec<Vec<Row>>, Failure>>;

    /// Takes back what was done in a transaction.
    fn roll_back(&mut self) -> BoxFuture<'_, Result<(), Failure>>;

    /// Closes the connection: what it was doing is unknown, or it is of no use.
    fn discard(self: Box<Self>);

    /// Makes of a begun transaction what a handler takes.
    fn into_work(self: Box<Self>, mark: String) -> Work;
}

/// A connection that waits for notifications.
pub(crate) trait Listener: Send {
    /// Returns what was notified; fails when the connection breaks.
    fn notified(&mut self) -> BoxFuture<'_, Result<String, Failure>>;
}

/// A row of an answer.
pub(crate) struct Row(Box<dyn Columns>);

/// What each driver's row can tell.
trait Columns: Send {
    /// The column as the server sent it.
    fn raw(&self, column: usize) -> Result<Option<&[u8]>, Box<dyn Error + Send + Sync>>;
}

impl Row {
    /// The value in a column. The statements are ours, so types are right by
    /// construction; a length that does not fit is refused all the same.
    pub(crate) fn get<'a, T: FromSql<'a>>(&'a self, column: usize) -> Result<T, Failure> {
        let odd = |reason| Failure::Row { column, reason };
        let raw = self.0.raw(column).map_err(odd)?;
        T::from_sql_nullable(&Type::UNKNOWN, raw).map_err(odd)
    }
}
