//! The inbox.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, Durability, Erase, EventRecord, EventSeq, Filter, Inbox, InboxError,
    Listing, Page, Pruned, Replayed, Retention, Retire, Retired, Selection, Settle, SettleResult,
    Stats, Want, Work,
};

use crate::{
    OpenError, PostgresBuilder,
    hints::Hints,
    session::Database,
    store::{self, After, PrunedTo},
};

/// An inbox in PostgreSQL, which several receivers and workers share.
///
/// What is acknowledged is committed with `synchronous_commit = on`, whatever the
/// role or the database has set. See the [crate](crate) for how it is run.
///
/// Clones share the inbox and its connections. It needs a tokio runtime.
#[derive(Clone)]
pub struct PostgresInbox(Arc<Parts>);

struct Parts {
    database: Arc<Database>,
    hints: Option<Hints>,
    counted: AtomicU64,
    pruned_to: Mutex<PrunedTo>,
}

/// Does a transaction again that was the victim of another process, a bounded
/// number of times.
macro_rules! retrying {
    ($database:expr, $transaction:expr) => {
        $database.within(async {
            let mut tries = 0_u32;
            loop {
                tries += 1;
                match $transaction {
                    Err(failure) if failure.is_transient() && tries < TRIES => {}
                    done => break done,
                }
            }
        })
    };
}

/// Does what people do, in a transaction of its own.
macro_rules! operating {
    ($inbox:expr, $transaction:ident => $operation:expr) => {{
        let database = &$inbox.0.database;
        let done = retrying!(database, {
            async {
                let mut session = database.write().await?;
                let done = async {
                    let mut $transaction = store::operate(database, &mut session).await?;
                    let done = $operation.await?;
                    let after = $transaction.finish();
                    Ok((done, after))
                };
                let done = done.await;
                session.end(done).await
            }
            .await
        });
        match done.await {
            Ok((done, after)) => {
                $inbox.after_operation(after).await;
                Ok(done)
            }
            Err(failure) => Err(failure),
        }
    }};
}

impl PostgresInbox {
    /// Opens the inbox that this URL names, in schema `webhooks`, and makes or
    /// migrates its tables.
    ///
    /// # Errors
    ///
    /// As [`PostgresBuilder::open`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(url: impl Into<String>) -> Result<Self, OpenError> {
        Self::builder(url).open().await
    }

    /// An inbox at this URL, or libpq's `key=value` form, with settings. The
    /// [crate](crate#connections) says what its `sslmode` means.
    pub fn builder(url: impl Into<String>) -> PostgresBuilder {
        PostgresBuilder::from_url(url.into())
    }

    /// An inbox over a pool that the program has already. Handlers'
    /// [transactions](crate::Tx) come from it too, so give it a connection for
    /// each handler that runs at the same time and six more. Such a pool tells
    /// nobody what is notified, so workers over it hear of other processes' jobs by
    /// asking, about once a second.
    pub fn from_pool(pool: deadpool_postgres::Pool) -> PostgresBuilder {
        PostgresBuilder::from_pool(pool)
    }

    /// An inbox over a pool of sqlx's, sized as for [`from_pool`](Self::from_pool).
    /// One connection more listens.
    #[cfg(feature = "sqlx")]
    pub fn from_sqlx(pool: sqlx::PgPool) -> PostgresBuilder {
        PostgresBuilder::from_sqlx(pool)
    }

    /// The schema that the inbox's tables are in.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.0.database.schema().as_str()
    }

    pub(crate) fn new(database: Database, hints: Option<Hints>) -> Self {
        Self(Arc::new(Parts {
            database: Arc::new(database),
            hints,
            counted: AtomicU64::new(0),
            pruned_to: Mutex::new(PrunedTo::nothing()),
        }))
    }

    /// What a transaction leaves to do once it is committed.
    fn after(&self, after: After) {
        if after.due
            && let Some(hints) = &self.0.hints
        {
            hints.tell(&self.0.database);
        }
        self.counted(after);
    }

    /// The same for what people do, whose program may end with the answer.
    async fn after_operation(&self, after: After) {
        if after.due
            && let Some(hints) = &self.0.hints
        {
            hints.tell_now(&self.0.database).await;
        }
        self.counted(after);
    }

    fn counted(&self, after: After) {
        if after.counted {
            let counted = self.0.counted.fetch_add(1, Ordering::Relaxed) + 1;
            if counted.is_multiple_of(FOLD_EVERY) {
                self.fold();
            }
        }
    }

    /// Sums up the counts, in the background.
    fn fold(&self) {
        let database = self.0.database.clone();
        tokio::spawn(async move {
            if let Err(failure) = store::fold(&database).await {
                tracing::warn!(reason = %failure, "counts are not summed up; the next one does it");
            }
        });
    }

    fn pruned_to(&self) -> MutexGuard<'_, PrunedTo> {
        let pruned_to = &self.0.pruned_to;
        pruned_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_apply(&self, batch: &Batch) -> Result<Applied, InboxError> {
        let database = &self.0.database;
        let (applied, after) = retrying!(database, store::apply(database, batch).await).await?;
        self.after(after);
        Ok(applied)
    }

    async fn try_settle_apart(&self, settle: Settle) -> Result<SettleResult, InboxError> {
        let work = settle.work.as_ref();
        let Some((session, mark)) = work.and_then(|work| self.0.database.resume(work)) else {
            let reason = Text::from_static(
                "not a transaction of this inbox, or the handler still has it in use",
            );
            return Ok(SettleResult::WorkRefused(reason));
        };
        let schema = self.0.database.schema();
        let (result, after) = store::complete(session, schema, &mark, settle).await?;
        self.after(after);
        Ok(result)
    }

    async fn try_stats(&self) -> Result<Stats, InboxError> {
        let database = &self.0.database;
        let read = async {
            let mut session = database.read().await?;
            let read = store::stats(&mut session).await;
            session.end(read).await
        };
        let (stats, lines) = database.within(read).await?;
        if lines > FOLD_EVERY {
            self.fold();
        }
        Ok(stats)
    }
}

/// Reads in a transaction of its own.
macro_rules! reading {
    ($inbox:expr, $session:ident => $read:expr) => {
        Box::pin(async move {
            let database = &$inbox.0.database;
            let read = async {
                let mut session = database.read().await?;
                let read = {
                    let $session = &mut session;
                    $read.await
                };
                session.end(read).await
            };
            Ok(database.within(read).await?)
        })
    };
}

impl Inbox for PostgresInbox {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        Box::pin(async move { self.try_apply(&batch).await })
    }

    fn writers(&self) -> NonZeroUsize {
        WRITERS
    }

    fn begin(&self) -> BoxFuture<'_, Result<Option<Work>, InboxError>> {
        Box::pin(async { Ok(Some(self.0.database.begin_work().await?)) })
    }

    fn settle_apart(&self, settle: Settle) -> BoxFuture<'_, Result<SettleResult, InboxError>> {
        Box::pin(self.try_settle_apart(settle))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        match &self.0.hints {
            Some(hints) => Box::pin(hints.heard(&self.0.database)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn next_due<'a>(
        &'a self,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Option<Duration>, InboxError>> {
        Box::pin(async move {
            let database = &self.0.database;
            Ok(database.within(store::next_due(database, wants)).await?)
        })
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, InboxError>> {
        reading!(self, session => store::list(session, filter, page))
    }

    fn get(&self, seq: EventSeq) -> BoxFuture<'_, Result<Option<EventRecord>, InboxError>> {
        reading!(self, session => store::get(session, seq))
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, InboxError>> {
        Box::pin(self.try_stats())
    }

    fn replay<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Replayed, InboxError>> {
        if selection.dry_run {
            let database = &self.0.database;
            return reading!(self, session => store::dry_run(database, session, selection));
        }
        Box::pin(async move { Ok(operating!(self, transaction => transaction.replay(selection))?) })
    }

    fn prune<'a>(
        &'a self,
        retention: &'a Retention,
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Pruned, InboxError>> {
        Box::pin(async move {
            let from = *self.pruned_to();
            let step = operating!(self, transaction => {
                transaction.prune(retention, max_rows, from)
            });
            let (pruned, to) = step?;
            *self.pruned_to() = to;
            Ok(pruned)
        })
    }

    fn retire<'a>(
        &'a self,
        what: &'a Retire,
        max_jobs: usize,
    ) -> BoxFuture<'a, Result<Retired, InboxError>> {
        Box::pin(
            async move { Ok(operating!(self, transaction => transaction.retire(what, max_jobs))?) },
        )
    }

    fn erase<'a>(&'a self, what: &'a Erase) -> BoxFuture<'a, Result<u64, InboxError>> {
        Box::pin(async move {
            let (mut erased, mut after) = (0, 0);
            loop {
                let step = operating!(self, transaction => {
                    transaction.erase(what, after, ERASED_AT_ONCE)
                });
                let (events, last) = step?;
                erased += events;
                let Some(last) = last else { return Ok(erased) };
                after = last;
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>> {
        Box::pin(async move {
            let database = &self.0.database;
            let check = async {
                let mut session = database.read().await?;
                let checked = store::check(&mut session).await;
                session.end(checked).await
            };
            Ok(database.within(check).await?)
        })
    }
}

impl fmt::Debug for PostgresInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresInbox")
            .field("schema", &self.0.database.schema().as_str())
            .finish_non_exhaustive()
    }
}

/// How many transactions store and settle at once: while one waits for its commit, the next one
/// fills.
const WRITERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How often a transaction is done that others get in the way of.
const TRIES: u32 = 8;

/// How many transactions append counts before somebody sums them up.
const FOLD_EVERY: u64 = 1_000;

/// How many events one transaction erases.
const ERASED_AT_ONCE: usize = 250;

/// What whoever waits for its locks gets between two of them.
const PAUSE: Duration = Duration::from_millis(5);
