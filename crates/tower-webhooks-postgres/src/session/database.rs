//! Where transactions begin.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};
use tower_webhooks_inbox::Work;

use super::{Beginning, IDLE, MARK, ROLE, Session, Unbegun};
use crate::{
    driver::{Begun, Connection, ELSEWHERE, Listener, Pool, Query, Row, Trip},
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
    read: Beginning,
    write: Beginning,
    /// What batches begin with.
    store: Beginning,
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

impl Database {
    pub(crate) fn new(
        pool: Arc<dyn Pool>,
        for_handlers: Option<Arc<dyn Pool>>,
        schema: SchemaName,
        limits: Limits,
    ) -> Self {
        let set = |begin: &str, more: &str| {
            let milliseconds = |span: Duration| span.as_millis().max(1);
            let lock = limits.statement.min(LOCK);
            format!(
                "{begin};
                 SELECT set_config('search_path', '{schema}, pg_temp', true),
                     set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
                     set_config('statement_timeout', '{statement}', true),
                     set_config('lock_timeout', '{lock}', true),
                     set_config('idle_in_transaction_session_timeout', '{statement}', true),
                     set_config('jit', 'off', true){more};",
                schema = schema.quoted(),
                statement = milliseconds(limits.statement),
                lock = milliseconds(lock),
            )
        };
        let once = |sql| Beginning { sql, keep: false };
        let again = |sql| Beginning { sql, keep: true };
        Self {
            read: once(set("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", "")),
            write: once(set(WRITE, "")),
            store: again(set(WRITE, BY_INDEX)),
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
        let (session, _) = self.begin(&self.read, Trip::default()).await?;
        Ok(session)
    }

    /// One question, in a transaction that nothing else is in.
    pub(crate) async fn ask(&self, query: Query<'_>) -> Result<Vec<Row>, Failure> {
        let trip = Trip {
            queries: &[query],
            commit: true,
            ..Trip::default()
        };
        let (mut session, mut answers) = self.begin(&self.read, trip).await?;
        // It has ended already.
        session.connection.take();
        Ok(answers.pop().unwrap_or_default())
    }

    pub(crate) async fn write(&self) -> Result<Session, Failure> {
        let (session, _) = self.begin(&self.write, Trip::default()).await?;
        Ok(session)
    }

    /// A transaction for a batch, begun with these statements and questions.
    pub(crate) async fn store(
        &self,
        first: &str,
        queries: &[Query<'_>],
    ) -> Result<(Session, Vec<Vec<Row>>), Failure> {
        let trip = Trip {
            first,
            queries,
            ..Trip::default()
        };
        self.begin(&self.store, trip).await
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

    /// Begins a transaction, and makes the rest of the trip. While the database is
    /// away, whoever asks is told so at once, but for one every now and then who tries.
    ///
    /// It counts as away if it makes no connection or begins nothing in time: not for
    /// what comes after, which may wait for locks, nor if all connections are in use.
    async fn begin(
        &self,
        begin: &Beginning,
        trip: Trip<'_>,
    ) -> Result<(Session, Vec<Vec<Row>>), Failure> {
        if let Some(until) = *self.away()
            && Instant::now() < until
        {
            return Err(Failure::Connection("the database was away just now".into()));
        }
        let until = Instant::now() + self.limits.begin;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut session = match timeout_at(until, self.pool.connection()).await {
                Ok(Ok(connection)) => self.session(connection),
                Ok(Err(failure)) => return Err(self.unreached(failure)),
                Err(_) if self.pool.is_busy() => return Err(Failure::Busy),
                Err(_) => return Err(self.unreached(Failure::Late(self.limits.begin))),
            };
            // A span of its own: that all connections were in use is not the server's fault.
            let begun_until = Instant::now() + self.limits.begin;
            match session.begin(begin, trip, begun_until).await {
                Ok(answers) => {
                    *self.away() = None;
                    return Ok((session, answers));
                }
                Err(Unbegun::After(failure)) => return session.end(Err(failure)).await,
                Err(Unbegun::Late) => {
                    return Err(self.unreached(Failure::Late(self.limits.begin)));
                }
                // It broke in the pool, and nobody has noticed yet: the next one may be
                // new. When there is none to have, that is the answer.
                Err(Unbegun::Refused(Failure::Connection(_))) => drop(session),
                // It was a primary when it was connected to, or is none yet.
                Err(Unbegun::Refused(failure)) if failure.is_of_a_standby() => {
                    drop(session);
                    if tries >= STANDBYS {
                        return Err(self.unreached(failure));
                    }
                }
                // Not given back: of the message that begins, a part may have been done.
                Err(Unbegun::Refused(failure)) => return Err(failure),
            }
        }
    }

    /// Notes whether the database is away.
    fn unreached(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Busy => {}
            Failure::Connection(_) | Failure::Late(_) => {
                *self.away() = Some(Instant::now() + AWAY);
            }
            // It answers, if only that it cannot.
            Failure::Raced | Failure::Row { .. } | Failure::Server { .. } => *self.away() = None,
        }
        failure
    }

    fn session(&self, connection: Box<dyn Connection>) -> Session {
        Session {
            connection: Some(connection),
            deferred: Vec::new(),
            limits: self.limits,
        }
    }

    pub(super) fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction for a handler, as the driver's own type. For a connection the
    /// handler waits as long as it may run: others have them.
    pub(crate) async fn begin_work(&self) -> Result<Work, Failure> {
        let pool = self.for_handlers.as_ref().unwrap_or(&self.pool);
        let mark = format!("{:032x}", rand::random::<u128>());
        let sql = format!(
            "{WRITE};
             SELECT set_config('{MARK}', '{mark}', true),
                 set_config('{ROLE}', current_setting('role'), true),
                 set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                     WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
                 set_config('{IDLE}', CASE current_setting('{IDLE}')
                     WHEN '0' THEN '{idle}' ELSE current_setting('{IDLE}') END, true);",
            idle = IDLE_HANDLER.as_millis(),
        );
        let begin = Beginning { sql, keep: false };
        let mut tries = 0;
        loop {
            tries += 1;
            let mut session = self.session(pool.connection().await?);
            let until = Instant::now() + self.limits.begin;
            match session.begin(&begin, Trip::default(), until).await {
                Ok(_) => {}
                Err(Unbegun::Late) => return Err(Failure::Late(self.limits.begin)),
                Err(Unbegun::Refused(Failure::Connection(_))) => continue,
                Err(Unbegun::Refused(failure)) if failure.is_of_a_standby() && tries < STANDBYS => {
                    continue;
                }
                Err(Unbegun::Refused(failure)) => return Err(failure),
                Err(Unbegun::After(failure)) => return session.end(Err(failure)).await,
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
        Some((self.session(connection), mark))
    }

    /// Finds out whether connections may keep statements. Who cannot tell keeps none.
    pub(crate) async fn probe(&self) {
        let limit = self.limits.begin.saturating_add(self.limits.statement);
        for tries in 1..=PROBES {
            match timeout(limit, self.pool.probe()).await {
                Ok(Ok(())) => return,
                // As after a crash, when all processes of a fleet connect at once.
                Ok(Err(failure)) if failure.code() != ELSEWHERE && tries < PROBES => {
                    tokio::time::sleep(AWAY).await;
                }
                Ok(Err(failure)) => {
                    tracing::info!(reason = %failure, "statements are planned each time");
                    return;
                }
                Err(_) => {
                    tracing::info!("statements are planned each time: no answer");
                    return;
                }
            }
        }
    }

    pub(crate) async fn listen(&self, channel: &str) -> Result<Option<Box<dyn Listener>>, Failure> {
        let limit = self.limits.begin.saturating_add(self.limits.statement);
        let listening = timeout(limit, self.pool.listen(channel));
        listening.await.unwrap_or(Err(Failure::Late(limit)))
    }

    /// Runs one statement outside any transaction of ours.
    pub(crate) async fn alone(&self, sql: &str) -> Result<(), Failure> {
        let limit = self.limits.begin;
        let work = async {
            let mut session = self.session(self.pool.connection().await?);
            session.batch(sql).await?;
            session.connection.take();
            Ok(())
        };
        timeout(limit, work)
            .await
            .unwrap_or(Err(Failure::Late(limit)))
    }
}

const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// A plan is made once, perhaps while the tables are empty, and must fit them when they are full:
/// it goes by the indexes, whatever the values are. Where none is kept the plans are the same.
pub(crate) const BY_INDEX: &str = ", set_config('enable_seqscan', 'off', true)
    , set_config('plan_cache_mode', 'force_generic_plan', true)";

/// For a handler, who may wait for others with a transaction open: twenty times as
/// long as a handler may run that names no time-out.
const IDLE_HANDLER: Duration = Duration::from_secs(10 * 60);

/// How many connections in a row may turn out to be to a standby.
const STANDBYS: u32 = 4;

/// What a lock is waited for is another process's commit: that takes milliseconds. Longer than the
/// server's `deadlock_timeout` of 1 s: the victim of a deadlock is told so, and tries again.
const LOCK: Duration = Duration::from_millis(1_500);
/// How often it is tried to find out whether statements may be kept.
const PROBES: u32 = 3;

const AWAY: Duration = Duration::from_millis(250);
