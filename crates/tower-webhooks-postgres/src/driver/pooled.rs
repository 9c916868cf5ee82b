//! tokio-postgres with deadpool.

use std::{
    error::Error,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    BuildError, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
};
use futures_util::{FutureExt, future::join_all};
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_postgres::{
    Statement,
    types::{FromSql, Type},
};
use tower_webhooks_inbox::{BoxFuture, Work};

use super::{Begun, Columns, Connection, Hosts, Listener, Pool, Query, Row, Trip, kept::Kept};
use crate::error::Failure;

/// A pool of deadpool's, and how to make a connection beside it.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(super) pool: deadpool_postgres::Pool,
    /// A pool of somebody else's tells nobody what its connections are told.
    beside: Option<Hosts>,
    /// Nor does it say what is between it and the server.
    kept: Option<Arc<Kept>>,
}

impl Pooled {
    /// Somebody else's pool.
    pub(crate) fn theirs(pool: deadpool_postgres::Pool) -> Self {
        Self {
            pool,
            beside: None,
            kept: None,
        }
    }

    /// A pool of ours, of so many connections; `direct` unless it is known that there
    /// is a pooler in between.
    pub(crate) fn ours(
        config: &tokio_postgres::Config,
        hosts: Hosts,
        connections: usize,
        direct: bool,
    ) -> Result<Self, BuildError> {
        let manager = Manager::from_connect(config.clone(), hosts.clone(), RECYCLING);
        let mut pool = deadpool_postgres::Pool::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1);
        let kept = direct.then(Arc::<Kept>::default);
        if let Some(kept) = &kept {
            pool = pool.post_create(kept.introduce());
        }
        Ok(Self {
            pool: pool.build()?,
            beside: Some(hosts),
            kept,
        })
    }

    fn hold(&self, object: Object) -> Box<Held> {
        Box::new(Held {
            object,
            kept: self.kept.clone(),
            keeps: false,
        })
    }
}

impl Pool for Pooled {
    fn connection(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, Failure>> {
        Box::pin(async {
            let object = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(error)
                | PoolError::PostCreateHook(HookError::Backend(error)) => failure(error),
                PoolError::Timeout(_) if self.is_busy() => Failure::Busy,
                other => Failure::Connection(other.into()),
            })?;
            Ok(self.hold(object) as Box<dyn Connection>)
        })
    }

    fn is_busy(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size && status.available == 0
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            match &self.kept {
                Some(kept) => kept.probe(&self.pool).await,
                None => Ok(()),
            }
        })
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
            connection: self.hold(object),
            mark,
        })
    }
}

struct Held {
    object: Object,
    kept: Option<Arc<Kept>>,
    /// Whether the statements of this transaction are.
    keeps: bool,
}

impl Connection for Held {
    fn make<'a>(&'a mut self, trip: Trip<'a>) -> BoxFuture<'a, Result<Vec<Vec<Row>>, Failure>> {
        Box::pin(async move {
            let mut first = String::new();
            if let Some(begin) = trip.begin {
                let kept = self.kept.as_ref().filter(|_| begin.keep);
                let check = kept.and_then(|kept| kept.check(&self.object));
                self.keeps = check.is_some();
                first = check.unwrap_or_default();
            }
            first.push_str(trip.first);
            self.send(trip, &first)
                .await
                .map_err(|broken| match broken {
                    Broken::Begun(error) => match &self.kept {
                        Some(kept) if self.keeps => kept.judge(failure(error), &self.object),
                        _ => failure(error),
                    },
                    Broken::Unbegun(error) => failure(error),
                })
        })
    }

    fn roll_back(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            let rolled_back = self.object.batch_execute("ROLLBACK").await;
            rolled_back.map_err(failure)
        })
    }

    fn discard(self: Box<Self>) {
        drop(Object::take(self.object));
    }

    fn into_work(self: Box<Self>, mark: String) -> Work {
        Work::new(PooledWork::new(self.object, mark))
    }
}

/// Why a trip failed.
enum Broken {
    Begun(tokio_postgres::Error),
    /// Its transaction could not be begun.
    Unbegun(tokio_postgres::Error),
}

impl Held {
    /// Each part sends when it is first asked, which is in this order. All answers are
    /// waited for. The first failure is the reason, and the others follow from it.
    async fn send(&self, trip: Trip<'_>, first: &str) -> Result<Vec<Vec<Row>>, Broken> {
        let client: &tokio_postgres::Client = &self.object;
        let batch = async |sql: &str| match sql {
            "" => Ok(()),
            sql => client.batch_execute(sql).await,
        };
        let begin = async {
            if let Some(begin) = trip.begin {
                let begun = client.batch_execute(begin.sql).await;
                begun.map_err(Broken::Unbegun)?;
                begin.done.notify_one();
            }
            Ok(())
        };
        let mut open = pin!(async {
            let (begun, first) = tokio::join!(biased; begin, batch(first));
            begun.and_then(|()| first.map_err(Broken::Begun))
        });
        let mut opened = open.as_mut().now_or_never();
        let mut prepare = pin!(join_all(
            trip.queries.iter().map(|query| self.prepare(query))
        ));
        let prepared = match prepare.as_mut().now_or_never() {
            Some(prepared) => prepared,
            // This connection's first time for one of them: their answers are waited for.
            None => {
                let open = async {
                    match opened.take() {
                        Some(opened) => opened,
                        None => open.as_mut().await,
                    }
                };
                let (answer, prepared) = tokio::join!(biased; open, prepare);
                opened = Some(answer);
                prepared
            }
        };
        let open = async {
            match opened {
                Some(opened) => opened,
                None => open.await,
            }
        };
        let mut statements = Vec::with_capacity(prepared.len());
        let mut unprepared = None;
        for statement in prepared {
            match statement {
                Ok(statement) => statements.push(statement),
                Err(error) => unprepared = unprepared.or(Some(error)),
            }
        }
        if let Some(error) = unprepared {
            let end = if trip.commit { "ROLLBACK" } else { "" };
            let (opened, _) = tokio::join!(biased; open, batch(end));
            opened?;
            return Err(Broken::Begun(error));
        }
        // Not known to the server, which would commit the others.
        let unsent = AtomicBool::new(false);
        let queries = trip.queries.iter().zip(statements);
        let queries = queries.map(async |((sql, params), statement)| {
            let answer = match statement {
                Some(statement) => {
                    let params: Vec<_> = params.iter().map(|(value, _)| *value).collect();
                    client.query(&statement, &params).await
                }
                None => client.query_typed(sql, params).await,
            };
            answer.inspect_err(|error| {
                unsent.fetch_or(error.as_db_error().is_none(), Ordering::Relaxed);
            })
        });
        let end = async {
            batch(match (trip.commit, unsent.load(Ordering::Relaxed)) {
                (false, _) => "",
                (true, false) => "COMMIT",
                (true, true) => "ROLLBACK",
            })
            .await
        };
        let (opened, answers, ended) = tokio::join!(biased; open, join_all(queries), end);
        opened?;
        let mut all = Vec::with_capacity(answers.len());
        for rows in answers {
            let rows = rows.map_err(Broken::Begun)?.into_iter();
            all.push(rows.map(|row| Row(Box::new(row))).collect());
        }
        ended.map_err(Broken::Begun)?;
        Ok(all)
    }

    /// The statement as this connection keeps it; at once, unless it is its first time.
    async fn prepare(
        &self,
        (sql, params): &Query<'_>,
    ) -> Result<Option<Statement>, tokio_postgres::Error> {
        if !self.keeps {
            return Ok(None);
        }
        let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
        let statement = self.object.prepare_typed_cached(sql, &types).await;
        statement.map(Some)
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
pub(super) struct Dirty(pub(super) Option<Object>);

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

pub(super) fn failure(error: tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(server) => Failure::Server {
            code: server.code().code().to_owned(),
            message: server.message().to_owned(),
            constraint: server.constraint().map(str::to_owned),
        },
        None => Failure::Connection(error.into()),
    }
}

/// A connection is asked for nothing before its transaction begins.
const RECYCLING: ManagerConfig = ManagerConfig {
    recycling_method: RecyclingMethod::Fast,
};

/// How long a stopped handler's last statement may keep its connection.
const ROLLBACK: Duration = Duration::from_secs(5);
