//! A pool of sqlx's.

use std::{error::Error, time::Duration};

use sqlx::{
    Arguments, AssertSqlSafe, Connection as _, Encode, PgConnection, PgPool, Postgres, Row as _,
    ValueRef,
    encode::IsNull,
    pool::PoolConnection,
    postgres::{
        PgArgumentBuffer, PgArguments, PgListener, PgRow, PgTransactionManager, PgTypeInfo,
        types::Oid,
    },
};
use sqlx_core::transaction::TransactionManager;
use tokio_postgres::types::{self, private::BytesMut};
use tower_webhooks_inbox::{BoxFuture, Work};

use super::{Begun, Columns, Connection, Listener, Param, Pool, Row, Trip};
use crate::error::Failure;

/// A program's own pool.
#[derive(Debug)]
pub(crate) struct SqlxPool(pub(crate) PgPool);

impl Pool for SqlxPool {
    fn connection(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, Failure>> {
        Box::pin(async {
            let connection = self.0.acquire().await.map_err(|error| match error {
                sqlx::Error::PoolTimedOut if self.is_busy() => Failure::Busy,
                other => failure(other),
            })?;
            Ok(Box::new(Held(connection)) as Box<dyn Connection>)
        })
    }

    fn is_busy(&self) -> bool {
        let most = self.0.options().get_max_connections();
        self.0.size() >= most && self.0.num_idle() == 0
    }

    fn listen<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Listener>>, Failure>> {
        Box::pin(async move {
            let mut listener = PgListener::connect_with(&self.0).await.map_err(failure)?;
            listener.listen(channel).await.map_err(failure)?;
            Ok(Some(Box::new(Telling(listener)) as Box<dyn Listener>))
        })
    }

    fn take_work(&self, work: &Work) -> Option<Begun> {
        let begun = work.take::<SqlxWork>()?;
        let (connection, mark) = begun.into_parts()?;
        Some(Begun {
            connection: Box::new(Held(connection)),
            mark,
        })
    }
}

struct Held(PoolConnection<Postgres>);

impl Connection for Held {
    fn make<'a>(&'a mut self, trip: Trip<'a>) -> BoxFuture<'a, Result<Vec<Vec<Row>>, Failure>> {
        Box::pin(async move {
            let answers = self.ask(trip).await;
            let last = match (trip.commit, &answers) {
                (false, _) => Ok(()),
                // The server may not know of it, and would commit what came before.
                (true, Err(Failure::Connection(_))) => {
                    roll_back(&mut self.0).await.map_err(failure)
                }
                // Also after another failure, as where all is sent at once: it takes back.
                (true, _) => self.commit().await,
            };
            let answers = answers?;
            last?;
            Ok(answers)
        })
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { roll_back(&mut self.0).await.map_err(failure) })
    }

    fn discard(self: Box<Self>) {
        close(self.0);
    }

    fn into_work(self: Box<Self>, mark: String) -> Work {
        Work::new(SqlxWork {
            connection: Some(self.0),
            mark,
        })
    }
}

impl Held {
    async fn ask(&mut self, trip: Trip<'_>) -> Result<Vec<Vec<Row>>, Failure> {
        if let Some(begin) = trip.begin {
            let statements = AssertSqlSafe(begin.sql.to_owned());
            let begun = self.0.begin_with(statements).await.map_err(failure)?;
            // Otherwise it would be rolled back when it is dropped, which is here.
            std::mem::forget(begun);
            begin.done.notify_one();
        }
        self.batch(trip.first).await?;
        let mut answers = Vec::with_capacity(trip.queries.len());
        for (sql, params) in trip.queries {
            answers.push(self.query(sql, params).await?);
        }
        Ok(answers)
    }

    async fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let mut arguments = PgArguments::default();
        for param in params {
            let added = arguments.add(Typed(param));
            added.map_err(|error| failure(sqlx::Error::Encode(error)))?;
        }
        let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments);
        let rows = query.persistent(false).fetch_all(&mut *self.0).await;
        let rows = rows.map_err(failure)?;
        Ok(rows.into_iter().map(|row| Row(Box::new(row))).collect())
    }

    async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        if !sql.is_empty() {
            let batch = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
            batch.execute(&mut *self.0).await.map_err(failure)?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let committed = commit(&mut self.0).await.map_err(failure);
        if let Err(Failure::Server { .. }) = committed {
            // The server has taken it back; sqlx still believes that it is open.
            roll_back(&mut self.0).await.map_err(failure)?;
        }
        committed
    }
}

/// Commits what was begun by sqlx, and whatever was begun within it and forgotten.
///
/// By sqlx's own means, as it was begun: it counts how deep a connection is in
/// transactions. Were that 0 in ours, a handler's `begin` would send `BEGIN` and his
/// `commit` would commit ours; were it 1 after ours, the next user's `begin` would
/// send `SAVEPOINT`.
async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    while PgTransactionManager::get_transaction_depth(connection) > 0 {
        PgTransactionManager::commit(connection).await?;
    }
    Ok(())
}

/// Takes back what was begun by sqlx.
async fn roll_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    while PgTransactionManager::get_transaction_depth(connection) > 0 {
        PgTransactionManager::rollback(connection).await?;
    }
    Ok(())
}

/// Closes a connection at once, so that its pool may make another. `close_on_drop`
/// would do it in the background, which may be ending; `leak` would leave the pool
/// one less for good.
fn close(connection: PoolConnection<Postgres>) {
    drop(connection.detach());
}

/// A connection in a transaction. Dropped, the transaction is rolled back before
/// the connection serves anybody else.
#[derive(Debug)]
pub(crate) struct SqlxWork {
    connection: Option<PoolConnection<Postgres>>,
    mark: String,
}

impl SqlxWork {
    pub(crate) fn connection(&self) -> Option<&PgConnection> {
        self.connection.as_deref()
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut PgConnection> {
        self.connection.as_deref_mut()
    }

    fn into_parts(mut self) -> Option<(PoolConnection<Postgres>, String)> {
        let connection = self.connection.take()?;
        Some((connection, std::mem::take(&mut self.mark)))
    }
}

impl Drop for SqlxWork {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let mut dirty = Dirty(Some(connection));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let Some(connection) = &mut dirty.0 else {
                return;
            };
            // Behind whatever the handler had sent when it was stopped.
            let rollback = roll_back(connection);
            if matches!(tokio::time::timeout(ROLLBACK, rollback).await, Ok(Ok(_))) {
                // Back to its pool.
                dirty.0.take();
            }
        });
    }
}

/// A connection that is closed, unless it is taken out.
struct Dirty(Option<PoolConnection<Postgres>>);

impl Drop for Dirty {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            close(connection);
        }
    }
}

struct Telling(PgListener);

impl Listener for Telling {
    fn notified(&mut self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async {
            let notification = self.0.recv().await.map_err(failure)?;
            Ok(notification.payload().to_owned())
        })
    }
}

/// A parameter whose type only the value knows.
struct Typed<'a>(&'a Param<'a>);

impl sqlx::Type<Postgres> for Typed<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(types::Type::UNKNOWN.oid()))
    }
}

impl<'q> Encode<'q, Postgres> for Typed<'_> {
    fn encode_by_ref(
        &self,
        buffer: &mut PgArgumentBuffer,
    ) -> Result<IsNull, Box<dyn Error + Send + Sync>> {
        let (value, kind) = self.0;
        let mut encoded = BytesMut::new();
        Ok(match value.to_sql_checked(kind, &mut encoded)? {
            types::IsNull::Yes => IsNull::Yes,
            types::IsNull::No => {
                buffer.extend_from_slice(&encoded);
                IsNull::No
            }
        })
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.1.oid())))
    }
}

impl Columns for PgRow {
    fn raw(&self, column: usize) -> Result<Option<&[u8]>, Box<dyn Error + Send + Sync>> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        value.as_bytes().map(Some)
    }
}

fn failure(error: sqlx::Error) -> Failure {
    match error.as_database_error() {
        Some(server) => Failure::Server {
            code: server.code().unwrap_or_default().into_owned(),
            message: server.message().to_owned(),
            constraint: server.constraint().map(str::to_owned),
        },
        None => Failure::Connection(error.into()),
    }
}

/// How long a stopped handler's last statement may keep its connection.
const ROLLBACK: Duration = Duration::from_secs(5);
