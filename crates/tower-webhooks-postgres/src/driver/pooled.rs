//! tokio-postgres with deadpool.

use std::{error::Error, time::Duration};

use deadpool_postgres::{Object, PoolError};
use futures_util::future::join_all;
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_postgres::types::{FromSql, Type};
use tower_webhooks_inbox::{BoxFuture, Work};

use super::{Begun, Columns, Connection, Hosts, Listener, Pool, Row, Trip};
use crate::error::Failure;

/// A pool of deadpool's, and how to make a connection beside it.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(crate) pool: deadpool_postgres::Pool,
    /// A pool of somebody else's tells nobody what its connections are told.
    pub(crate) beside: Option<Hosts>,
}

impl Pool for Pooled {
    fn connection(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, Failure>> {
        Box::pin(async {
            let object = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(error) => failure(error),
                PoolError::Timeout(_) if self.is_busy() => Failure::Busy,
                other => Failure::Connection(other.into()),
            })?;
            Ok(Box::new(Held(object)) as Box<dyn Connection>)
        })
    }

    fn is_busy(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size && status.available == 0
    }

    fn listen<'a>(
        &'a self,
        channel: &'a str,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Listener>>, Failure>> {
        Box::pin(async move {
            let Some(hosts) = &self.beside else {
                return Ok(None);
            };
            let (tell, told) = mpsc::channel(16);
            let (client, task) = hosts.listen(tell).await.map_err(failure)?;
            let listener = Telling {
                client,
                told,
                task: task.abort_handle(),
            };
            listener
                .client
                .batch_execute(&format!("LISTEN \"{channel}\""))
                .await
                .map_err(failure)?;
            Ok(Some(Box::new(listener) as Box<dyn Listener>))
        })
    }

    fn take_work(&self, work: &Work) -> Option<Begun> {
        let begun = work.take::<PooledWork>()?;
        let (object, mark) = begun.into_parts()?;
        Some(Begun {
            connection: Box::new(Held(object)),
            mark,
        })
    }
}

struct Held(Object);

impl Connection for Held {
    fn make<'a>(&'a mut self, trip: Trip<'a>) -> BoxFuture<'a, Result<Vec<Vec<Row>>, Failure>> {
        Box::pin(async move {
            let client: &tokio_postgres::Client = &self.0;
            let batch = async |sql: &str| match sql {
                "" => Ok(()),
                sql => client.batch_execute(sql).await,
            };
            let queries = trip
                .queries
                .iter()
                .map(|(sql, params)| client.query_typed(sql, params));
            let begin = async {
                let Some(begin) = trip.begin else {
                    return Ok(());
                };
                client.batch_execute(begin.sql).await?;
                begin.done.notify_one();
                Ok(())
            };
            let commit = if trip.commit { "COMMIT" } else { "" };
            // Each sends when it is first asked, which is in this order. All answers are waited
            // for: the first failure is the reason, the others follow from it.
            let (begun, first, answers, last) = tokio::join!(
                biased;
                begin,
                batch(trip.first),
                join_all(queries),
                batch(commit),
            );
            begun.map_err(failure)?;
            first.map_err(failure)?;
            let mut all = Vec::with_capacity(answers.len());
            for rows in answers {
                let rows = rows.map_err(failure)?.into_iter();
                all.push(rows.map(|row| Row(Box::new(row))).collect());
            }
            last.map_err(failure)?;
            Ok(all)
        })
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.0.batch_execute("ROLLBACK").await.map_err(failure) })
    }

    fn discard(self: Box<Self>) {
        drop(Object::take(self.0));
    }

    fn into_work(self: Box<Self>, mark: String) -> Work {
        Work::new(PooledWork::new(self.0, mark))
    }
}

/// A connection in a transaction. Dropped, the transaction is rolled back before
/// the connection serves anybody else.
#[derive(Debug)]
pub(crate) struct PooledWork {
    object: Option<Object>,
    mark: String,
}

impl PooledWork {
    fn new(object: Object, mark: String) -> Self {
        Self {
            object: Some(object),
            mark,
        }
    }

    pub(crate) fn client(&self) -> Option<&tokio_postgres::Client> {
        self.object.as_ref().map(|object| &***object)
    }

    fn into_parts(mut self) -> Option<(Object, String)> {
        let object = self.object.take()?;
        Some((object, std::mem::take(&mut self.mark)))
    }
}

impl Drop for PooledWork {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        let mut dirty = Dirty(Some(object));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let Some(object) = &dirty.0 else { return };
            // Behind whatever the handler had sent when it was stopped.
            let rollback = object.batch_execute("ROLLBACK");
            if matches!(tokio::time::timeout(ROLLBACK, rollback).await, Ok(Ok(()))) {
                // Back to its pool.
                dirty.0.take();
            }
        });
    }
}

/// A connection that is closed, unless it is taken out.
struct Dirty(Option<Object>);

impl Drop for Dirty {
    fn drop(&mut self) {
        self.0.take().map(Object::take);
    }
}

/// Its task ends with it.
struct Telling {
    client: tokio_postgres::Client,
    told: mpsc::Receiver<String>,
    task: AbortHandle,
}

impl Listener for Telling {
    fn notified(&mut self) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async {
            let told = self.told.recv().await;
            told.ok_or_else(|| Failure::Connection("the listening connection broke".into()))
        })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A column as it came, of any type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Columns for tokio_postgres::Row {
    fn raw(&self, column: usize) -> Result<Option<&[u8]>, Box<dyn Error + Send + Sync>> {
        Ok(self.try_get::<_, Raw<'_>>(column)?.0)
    }
}

fn failure(error: tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(server) => Failure::Server {
            code: server.code().code().to_owned(),
            message: server.message().to_owned(),
            constraint: server.constraint().map(str::to_owned),
        },
        None => Failure::Connection(error.into()),
    }
}

/// How long a stopped handler's last statement may keep its connection.
const ROLLBACK: Duration = Duration::from_secs(5);
