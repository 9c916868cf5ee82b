//! Transactions: begun, bounded in time, ended.
//!
//! All that a transaction needs is set within it, so that nothing depends on
//! which connection it has, nor on how a role or a database is set up.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tower_webhooks_inbox::Work;

use crate::{
    driver::{Begun, Connection, Listener, Param, Pool, Query, Row, Trip},
    error::Failure,
    schema::SchemaName,
};

/// The database that an inbox is in, and how long it may take to answer.
#[derive(Debug)]
pub(crate) struct Database {
    pool: Arc<dyn Pool>,
    /// Apart, so that slow handlers never keep an acknowledgement waiting.
    for_handlers: Option<Arc<dyn Pool>>,
    schema: SchemaName,
    limits: Limits,
    read: String,
    write: String,
    /// Until when nobody need try again.
    away: Mutex<Option<Instant>>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a connection on which a transaction has begun.
    pub(crate) begin: Duration,
    /// For one statement.
    pub(crate) statement: Duration,
}

/// A transaction under way. Dropped before its end, it closes its connection.
pub(crate) struct Session {
    connection: Option<Box<dyn Connection>>,
    /// What goes to the server together with what comes next.
    deferred: Vec<Deferred>,
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

impl Database {
    pub(crate) fn new(
        pool: Arc<dyn Pool>,
        for_handlers: Option<Arc<dyn Pool>>,
        schema: SchemaName,
        limits: Limits,
    ) -> Self {
        let set = |begin: &str| {
            let milliseconds = |span: Duration| span.as_millis().max(1);
            // What a lock is waited for is another process's commit: that takes milliseconds.
            let lock = limits.statement.min(LOCK);
            format!(
                "{begin};
                 SELECT set_config('search_path', '{schema}, pg_temp', true),
                     set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
                     set_config('statement_timeout', '{statement}', true),
                     set_config('lock_timeout', '{lock}', true),
                     set_config('idle_in_transaction_session_timeout', '{statement}', true),
                     set_config('jit', 'off', true);",
                schema = schema.quoted(),
                statement = milliseconds(limits.statement),
                lock = milliseconds(lock),
            )
        };
        Self {
            read: set("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"),
            write: set("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
            pool,
            for_handlers,
            schema,
            limits,
            away: Mutex::new(None),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaName {
        &self.schema
    }

    pub(crate) async fn read(&self) -> Result<Session, Failure> {
        let (session, _) = self.begin(Trip::first(&self.read)).await?;
        Ok(session)
    }

    /// One question, in a transaction that nothing else is in.
    pub(crate) async fn ask(&self, query: Query<'_>) -> Result<Vec<Row>, Failure> {
        let trip = Trip {
            first: &self.read,
            queries: &[query],
            last: "COMMIT",
        };
        let (mut session, mut answers) = self.begin(trip).await?;
        // It has ended already.
        session.connection.take();
        Ok(answers.pop().unwrap_or_default())
    }

    pub(crate) async fn write(&self) -> Result<Session, Failure> {
        let (session, _) = self.begin(Trip::first(&self.write)).await?;
        Ok(session)
    }

    /// A transaction that writes, begun with these statements and questions.
    pub(crate) async fn write_with(
        &self,
        first: &str,
        queries: &[Query<'_>],
    ) -> Result<(Session, Vec<Vec<Row>>), Failure> {
        let first = format!("{}{first}", self.write);
        let trip = Trip {
            first: &first,
            queries,
            last: "",
        };
        self.begin(trip).await
    }

    /// The longest that a whole transaction may take, as far as the caller waits.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.limits.begin.saturating_add(self.limits.statement * 2);
        match timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Late(limit)),
        }
    }

    /// Begins a transaction. While the database is away, whoever asks is told so
    /// at once, but for one every now and then who tries.
    async fn begin(&self, trip: Trip<'_>) -> Result<(Session, Vec<Vec<Row>>), Failure> {
        if let Some(until) = *self.away()
            && Instant::now() < until
        {
            return Err(Failure::Connection("the database was away just now".into()));
        }
        let limit = self.limits.begin;
        let begun = match timeout(limit, self.try_begin(trip)).await {
            Ok(begun) => begun,
            Err(_) => Err(Failure::Late(limit)),
        };
        let unreachable = matches!(&begun, Err(Failure::Connection(_) | Failure::Late(_)));
        *self.away() = unreachable.then(|| Instant::now() + AWAY);
        begun
    }

    async fn try_begin(&self, trip: Trip<'_>) -> Result<(Session, Vec<Vec<Row>>), Failure> {
        loop {
            let mut session = Session::new(self.pool.connection().await?);
            match session.make(trip).await {
                Ok(answers) => return Ok((session, answers)),
                // It broke in the pool, and nobody has noticed yet: the next one may be
                // new. When there is none to have, that is the answer.
                Err(Failure::Connection(_)) => drop(session),
                Err(other) => return session.end(Err(other)).await,
            }
        }
    }

    fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction for a handler, as the driver's own type.
    pub(crate) async fn begin_work(&self) -> Result<Work, Failure> {
        let pool = self.for_handlers.as_ref().unwrap_or(&self.pool);
        let mark = format!("{:032x}", rand::random::<u128>());
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
             SELECT set_config('{MARK}', '{mark}', true),
                 set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                     WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true);"
        );
        loop {
            let mut session = Session::new(pool.connection().await?);
            match session.batch(&begin).await {
                Ok(()) => {}
                Err(Failure::Connection(_)) => continue,
                Err(other) => return session.end(Err(other)).await,
            }
            if let Some(connection) = session.connection.take() {
                return Ok(connection.into_work(mark));
            }
        }
    }

    /// Takes a handler's transaction back, with the mark that it was begun with.
    pub(crate) fn resume(&self, work: &Work) -> Option<(Session, String)> {
        let pool = self.for_handlers.as_ref().unwrap_or(&self.pool);
        let Begun { connection, mark } = pool.take_work(work)?;
        Some((Session::new(connection), mark))
    }

    pub(crate) async fn listen(&self, channel: &str) -> Result<Option<Box<dyn Listener>>, Failure> {
        self.pool.listen(channel).await
    }

    /// Runs one statement outside any transaction of ours.
    pub(crate) async fn alone(&self, sql: &str) -> Result<(), Failure> {
        let limit = self.limits.begin;
        let work = async {
            let mut session = Session::new(self.pool.connection().await?);
            session.batch(sql).await?;
            session.connection.take();
            Ok(())
        };
        timeout(limit, work)
            .await
            .unwrap_or(Err(Failure::Late(limit)))
    }
}

impl Session {
    fn new(connection: Box<dyn Connection>) -> Self {
        Self {
            connection: Some(connection),
            deferred: Vec::new(),
        }
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
            first: "",
            queries,
            last: "COMMIT",
        };
        let committed = self.make(trip).await;
        self.release(&committed);
        committed
    }

    async fn take_back(mut self, failure: &Failure) {
        self.deferred.clear();
        if let Failure::Raced | Failure::Row { .. } | Failure::Server { .. } = failure {
            let rolled_back = self.batch("ROLLBACK").await;
            self.release(&rolled_back);
        }
    }

    /// Gives the connection back to its pool if the transaction has ended: also
    /// when a commit was refused, or came after what was.
    fn release<T>(&mut self, ended: &Result<T, Failure>) {
        if matches!(ended, Ok(_) | Err(Failure::Server { .. })) {
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

const LOCK: Duration = Duration::from_millis(800);
const AWAY: Duration = Duration::from_millis(250);
