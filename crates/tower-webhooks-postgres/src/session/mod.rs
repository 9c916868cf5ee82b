//! Transactions: begun, bounded in time, ended.
//!
//! All that a transaction needs is set within it, so that nothing depends on
//! which connection it has, but for what that keeps prepared, nor on how a role or a
//! database is set up.
//! `database` begins them, and says when it is away.

mod database;
#[cfg(test)]
mod tests;

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::Notify, time::Instant};
use tokio_postgres::types::{ToSql, Type};

#[cfg(test)]
pub(crate) use self::database::BY_INDEX;
pub(crate) use self::database::{Database, Limits};
use crate::{
    driver::{Begin, Connection, Param, Query, Row, Trip},
    error::Failure,
};

/// A transaction under way. Dropped before its end, it closes its connection.
pub(crate) struct Session {
    connection: Option<Box<dyn Connection>>,
    /// What goes to the server together with what comes next.
    deferred: Vec<Deferred>,
    limits: Limits,
}

/// A value that a statement keeps until it is sent.
pub(crate) type OwnedParam = (Box<dyn ToSql + Send + Sync>, Type);

/// A statement whose answer nobody waits for.
struct Deferred {
    sql: &'static str,
    params: Vec<OwnedParam>,
}

impl Deferred {
    fn query(&self) -> Query<'_> {
        let params = self.params.iter();
        let params = params.map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()));
        (self.sql, params.collect())
    }
}

/// What begins a transaction.
#[derive(Debug)]
struct Beginning {
    sql: String,
    /// Whether its statements come again and again.
    keep: bool,
}

/// Why a transaction did not begin.
enum Unbegun {
    /// It did, and then this failed.
    After(Failure),
    /// Nothing was answered in time.
    Late,
    Refused(Failure),
}

impl Session {
    /// How long one statement may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limits.statement
    }

    /// How long a transaction may take to begin.
    pub(crate) fn begin_limit(&self) -> Duration {
        self.limits.begin
    }

    /// Begins the transaction within the limit; the rest of the trip has its own.
    async fn begin(
        &mut self,
        begin: &Beginning,
        trip: Trip<'_>,
        until: Instant,
    ) -> Result<Vec<Vec<Row>>, Unbegun> {
        let done = Notify::new();
        let begin = Begin {
            sql: &begin.sql,
            keep: begin.keep,
            done: &done,
        };
        let trip = Trip {
            begin: Some(begin),
            ..trip
        };
        let mut made = pin!(self.make(trip));
        tokio::select! {
            biased;
            () = done.notified() => {}
            made = &mut made => return made.map_err(|failure| {
                match done.notified().now_or_never() {
                    Some(()) => Unbegun::After(failure),
                    None => Unbegun::Refused(failure),
                }
            }),
            () = tokio::time::sleep_until(until) => return Err(Unbegun::Late),
        }
        made.await.map_err(Unbegun::After)
    }

    pub(crate) async fn query(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut answers = self.query_all(&[(sql, params.to_vec())]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Runs statements that do not need each other's answers.
    pub(crate) async fn query_all(
        &mut self,
        queries: &[Query<'_>],
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let trip = Trip {
            queries,
            ..Trip::default()
        };
        self.make(trip).await
    }

    /// Runs those of these statements that there are, none of which needs another's
    /// answer; each answer is at its statement's place.
    pub(crate) async fn query_each<const N: usize>(
        &mut self,
        queries: [Option<Query<'_>>; N],
    ) -> Result<[Vec<Row>; N], Failure> {
        let asked: Vec<_> = queries.iter().flatten().cloned().collect();
        let mut answers = Vec::new();
        if !asked.is_empty() {
            answers = self.query_all(&asked).await?;
        }
        let mut answers = answers.into_iter();
        Ok(queries.map(|query| {
            let answer = query.and_then(|_| answers.next());
            answer.unwrap_or_default()
        }))
    }

    /// Runs a statement whose answer is of no interest.
    pub(crate) async fn run(&mut self, sql: &str, params: &[Param<'_>]) -> Result<(), Failure> {
        self.query(sql, params).await.map(drop)
    }

    /// The answer's first row.
    pub(crate) async fn first(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, Failure> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    pub(crate) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        self.make(Trip::first(sql)).await.map(drop)
    }

    /// Runs a statement with what comes next, at the latest with the commit. If it
    /// fails, so does that.
    pub(crate) fn defer(&mut self, sql: &'static str, params: Vec<OwnedParam>) {
        self.deferred.push(Deferred { sql, params });
    }

    /// Runs now what was deferred.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.make(Trip::default()).await.map(drop)
    }

    /// Ends the transaction: commits what went well, and takes back what did not.
    /// After a broken connection the server does that.
    pub(crate) async fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Ok(done) => self.commit(&[]).await.map(|_| done),
            Err(failure) => {
                self.take_back(&failure).await;
                Err(failure)
            }
        }
    }

    /// Commits, and asks these questions just before.
    pub(crate) async fn commit(mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<Row>>, Failure> {
        let trip = Trip {
            queries,
            commit: true,
            ..Trip::default()
        };
        let committed = self.make(trip).await;
        self.release(&committed);
        committed
    }

    async fn take_back(mut self, failure: &Failure) {
        self.deferred.clear();
        if let Failure::Raced | Failure::Row { .. } | Failure::Server { .. } = failure
            && let Some(connection) = &mut self.connection
        {
            let rolled_back = connection.roll_back().await;
            self.release(&rolled_back);
        }
    }

    /// Gives the connection back to its pool if the transaction has ended: also
    /// when a commit was refused, or came after what was.
    fn release<T>(&mut self, ended: &Result<T, Failure>) {
        if matches!(ended, Ok(_) | Err(Failure::Raced | Failure::Server { .. })) {
            self.connection.take();
        }
    }

    /// Takes back what was done.
    pub(crate) async fn roll_back(self) {
        self.take_back(&Failure::Raced).await;
    }

    async fn make(&mut self, trip: Trip<'_>) -> Result<Vec<Vec<Row>>, Failure> {
        let gone = || Failure::Connection("the transaction has ended".into());
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        if self.deferred.is_empty() {
            return connection.make(trip).await;
        }
        let deferred = std::mem::take(&mut self.deferred);
        let mut queries: Vec<_> = deferred.iter().map(Deferred::query).collect();
        queries.extend_from_slice(trip.queries);
        let trip = Trip {
            queries: &queries,
            ..trip
        };
        let answers = connection.make(trip).await?;
        Ok(answers.into_iter().skip(deferred.len()).collect())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

/// The setting by which a handler's transaction is known.
pub(crate) const MARK: &str = "webhooks.lease";

/// The setting that remembers the role which a handler's transaction began with.
pub(crate) const ROLE: &str = "webhooks.role";

/// How long the server waits for the next statement of a transaction before it
/// takes that back, with its locks: whoever should send it may be gone.
pub(crate) const IDLE: &str = "idle_in_transaction_session_timeout";
