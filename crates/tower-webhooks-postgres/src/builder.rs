//! How an inbox is opened.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    PostgresInbox,
    driver::{Hosts, Pool, Pooled},
    error::{OpenError, OpenErrorKind},
    hints::Hints,
    schema::{self, SchemaName, migration_sql},
    session::{Database, Limits},
    tls::Place,
};

/// Settings of a [`PostgresInbox`] that is about to be opened.
///
/// None of them weakens what is durable.
#[must_use = "nothing is opened until `open` is awaited"]
pub struct PostgresBuilder {
    source: Source,
    schema: Option<String>,
    auto_migrate: bool,
    notify: bool,
    any_certificate: bool,
    max_connections: usize,
    max_transactions: usize,
    begin_timeout: Duration,
    statement_timeout: Duration,
    open_wait: Duration,
    tables: Vec<String>,
}

/// Where the connections come from.
enum Source {
    Pool(deadpool_postgres::Pool),
    #[cfg(feature = "sqlx")]
    Sqlx(sqlx::PgPool),
    Url(String),
}

/// What a migration found and made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The schema's version before; 0 if there were no tables.
    pub from: u32,
    /// Its version now.
    pub to: u32,
}

/// What the settings name.
struct Found {
    pool: Arc<dyn Pool>,
    /// The handlers', if they have another.
    for_handlers: Option<Arc<dyn Pool>>,
    schema: SchemaName,
    /// Whether the URL lets notify.
    notify: bool,
}

impl PostgresBuilder {
    fn new(source: Source) -> Self {
        Self {
            source,
            schema: None,
            auto_migrate: true,
            notify: true,
            any_certificate: false,
            max_connections: 6,
            max_transactions: 16,
            begin_timeout: Duration::from_millis(500),
            statement_timeout: Duration::from_secs(5),
            open_wait: Duration::from_secs(5 * 60),
            tables: Vec::new(),
        }
    }

    pub(crate) fn from_url(url: String) -> Self {
        Self::new(Source::Url(url))
    }

    pub(crate) fn from_pool(pool: deadpool_postgres::Pool) -> Self {
        Self::new(Source::Pool(pool))
    }

    #[cfg(feature = "sqlx")]
    pub(crate) fn from_sqlx(pool: sqlx::PgPool) -> Self {
        Self::new(Source::Sqlx(pool))
    }

    /// Whether opening makes and migrates the tables. Default yes. If not, an
    /// inbox with an older schema that this release still knows is opened as it
    /// is, and any other is refused: for those whose role may not make tables, who
    /// run [`migration_sql`](crate::migration_sql) by hand.
    pub fn auto_migrate(mut self, yes: bool) -> Self {
        self.auto_migrate = yes;
        self
    }

    /// The schema of the inbox's tables. Default the one that the URL names with
    /// `schema=`, else `webhooks`. Made if it is absent, for which the role needs the
    /// right to make schemas in the database; one that exists needs only the right to
    /// make tables in it. Several inboxes in one database differ by it.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// How long to wait for a connection with a transaction begun on it, before
    /// the database counts as away and the caller hears `Unavailable`. What follows
    /// in the transaction has the [statement time-out](Self::with_statement_timeout).
    /// Default 500 ms, so that a receiver answers 503 within one second. Raise it where
    /// making a connection takes longer: TLS to a server far away.
    ///
    /// Where the URL names several hosts, the next one is asked too when one has not
    /// answered within an equal part of it: a third, of two. An address gets half
    /// of it to take a connection at all, unless the URL says `connect_timeout`.
    pub fn with_begin_timeout(mut self, limit: Duration) -> Self {
        self.begin_timeout = limit;
        self
    }

    /// How many connections the inbox's own work has. Default 6: two that store
    /// and settle, the others for workers, lists and counts. At least 2. Not used with a pool of
    /// yours.
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(2);
        self
    }

    /// How many handlers can be in a [transaction](crate::Tx) at the same time;
    /// more wait. Default 16 connections, made when they are needed, and apart from
    /// the others: slow handlers never keep an acknowledgement waiting. Not used
    /// with a pool of yours.
    pub fn with_max_transactions(mut self, transactions: usize) -> Self {
        self.max_transactions = transactions.max(1);
        self
    }

    /// How long to try for a first connection when opening, while the server does
    /// not answer, has no connection left or says that it is starting. Default 5 min:
    /// a database recovers from a crash in seconds to minutes, and whoever gives up
    /// before it is started again later and later by most service managers. Once in 10 s the log
    /// says what is waited for. What does not pass, such as a wrong password, is
    /// said at once.
    pub fn with_open_wait(mut self, wait: Duration) -> Self {
        self.open_wait = wait;
        self
    }

    /// How long one statement of the inbox's may take on the server. Default 5 s; one
    /// takes milliseconds. For a whole transaction, with what is done again, the caller
    /// waits no longer than for two and the [begin time-out](Self::with_begin_timeout);
    /// migrating and [`with_tables`](Self::with_tables) wait for other processes that do
    /// the same, as long as that takes.
    pub fn with_statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = limit;
        self
    }

    /// SQL that runs at each opening, after the inbox's own migration: `CREATE TABLE
    /// IF NOT EXISTS …` of the tables that handlers write by [`Tx`](crate::Tx). As
    /// in a handler, what has no schema is looked for on the role's own search path.
    /// One process runs it at a time.
    pub fn with_tables(mut self, sql: impl Into<String>) -> Self {
        self.tables.push(sql.into());
        self
    }

    /// Neither notifies nor listens: for PgBouncer in transaction mode, where a
    /// connection that listens would be another one each time. Workers then hear
    /// of other processes' jobs by asking, about once a second. Nor are statements kept
    /// in a connection. `notify=off` in the URL says the same.
    pub fn without_notify(mut self) -> Self {
        self.notify = false;
        self
    }

    /// Encrypts, and believes any certificate. **Whoever is between the program
    /// and its database can read and change everything.** For servers whose
    /// authority is nowhere to be had; otherwise name its file with `sslrootcert`.
    pub fn insecure_any_certificate(mut self) -> Self {
        self.any_certificate = true;
        self
    }

    /// Opens the inbox.
    ///
    /// # Errors
    ///
    /// `Url` if the URL or another setting cannot be used; `Unavailable` if the
    /// server does not answer, or refuses that or what
    /// [`with_tables`](Self::with_tables) says; `Schema` if the tables are another
    /// program's or do not fit this release.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(self) -> Result<PostgresInbox, OpenError> {
        let Found {
            pool,
            for_handlers,
            schema,
            notify,
        } = self.find()?;
        let database = self.patient(&pool, &schema);
        let prepare = || schema::prepare(&database, self.auto_migrate);
        self.patiently(prepare).await?;
        schema::make_tables(&database, &self.tables).await?;
        let limits = Limits {
            begin: self.begin_timeout,
            statement: self.statement_timeout,
        };
        let database = Database::new(pool, for_handlers, schema, limits);
        database.probe().await;
        let hints = (self.notify && notify).then(Hints::new);
        Ok(PostgresInbox::new(database, hints))
    }

    /// Makes or migrates the tables, and nothing else. A running release before
    /// this one goes on: a migration only adds. Of several processes that migrate
    /// one does, and the others wait for it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn migrate(self) -> Result<Migrated, OpenError> {
        let Found { pool, schema, .. } = self.find()?;
        let database = self.patient(&pool, &schema);
        let prepare = || schema::prepare(&database, true);
        let (from, to) = self.patiently(prepare).await?;
        Ok(Migrated { from, to })
    }

    /// The SQL that [`migrate`](Self::migrate) would run, for those who migrate by
    /// hand; empty if there is nothing to do. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but for another program's tables, which the SQL
    /// itself would fail at.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn pending_sql(self) -> Result<String, OpenError> {
        let Found { pool, schema, .. } = self.find()?;
        let database = self.patient(&pool, &schema);
        let version = self.patiently(|| schema::found(&database)).await?;
        migration_sql(schema.as_str(), version)
    }

    /// The database as who opens an inbox sees it.
    fn patient(&self, pool: &Arc<dyn Pool>, schema: &SchemaName) -> Database {
        let limits = Limits {
            begin: self.open_wait.min(ONE_TRY).max(self.begin_timeout),
            statement: self.statement_timeout,
        };
        Database::new(pool.clone(), None, schema.clone(), limits)
    }

    /// Asks again for as long as the server may still be starting.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, OpenError>
    where
        F: Future<Output = Result<T, OpenError>>,
    {
        let until = Instant::now() + self.open_wait;
        let mut say_at = Instant::now();
        loop {
            let now = Instant::now();
            match ask().await {
                Err(error) if error.may_pass() && now + RETRY < until => {
                    if now >= say_at {
                        say_at = now + SAY_AGAIN;
                        error.warn_of_waiting(until - now);
                    }
                    sleep(RETRY).await;
                }
                other => return other,
            }
        }
    }

    fn find(&self) -> Result<Found, OpenError> {
        let named = |url: Option<String>| {
            let name = self.schema.clone().or(url);
            SchemaName::new(name.as_deref().unwrap_or(schema::DEFAULT_SCHEMA))
        };
        let shared = |pool: Arc<dyn Pool>| {
            Ok(Found {
                pool,
                for_handlers: None,
                schema: named(None)?,
                notify: true,
            })
        };
        match &self.source {
            Source::Pool(pool) => shared(Arc::new(Pooled::theirs(pool.clone()))),
            #[cfg(feature = "sqlx")]
            Source::Sqlx(pool) => shared(Arc::new(crate::driver::SqlxPool(pool.clone()))),
            Source::Url(url) => {
                let mut place = Place::parse(url)?;
                if self.any_certificate {
                    place.trust_anyone();
                }
                // Who does without notifications has a pooler.
                let direct = self.notify && place.notify;
                let limit = self.begin_timeout;
                let pool = own_pool(&mut place, self.max_connections, limit, direct)?;
                // What handlers ask is theirs.
                let for_handlers = own_pool(&mut place, self.max_transactions, limit, false)?;
                Ok(Found {
                    schema: named(place.schema.take())?,
                    notify: place.notify,
                    pool,
                    for_handlers: Some(for_handlers),
                })
            }
        }
    }
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may have a password.
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("auto_migrate", &self.auto_migrate)
            .field("notify", &self.notify)
            .field("max_connections", &self.max_connections)
            .field("max_transactions", &self.max_transactions)
            .field("begin_timeout", &self.begin_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .finish_non_exhaustive()
    }
}

/// A pool of ours.
fn own_pool(
    place: &mut Place,
    connections: usize,
    limit: Duration,
    direct: bool,
) -> Result<Arc<dyn Pool>, OpenError> {
    let config = &mut place.config;
    if config.get_application_name().is_none() {
        config.application_name("tower-webhooks");
    }
    if config.get_tcp_user_timeout().is_none() {
        // A server that vanished without a word.
        config.tcp_user_timeout(VANISHED);
    }
    if config.get_keepalives_idle() == tokio_postgres::Config::new().get_keepalives_idle() {
        // Whoever listens sends nothing, and would wait for that server for hours.
        config.keepalives_idle(QUIET);
    }
    if config.get_connect_timeout().is_none() {
        // A name may stand for several addresses, which are tried one after another.
        config.connect_timeout(limit / 2);
    }
    let hosts = Hosts::new(&place.config, place.tls()?, limit);
    let pool = Pooled::ours(&place.config, hosts, connections, direct).map_err(|error| {
        OpenError::with_source(OpenErrorKind::Url, "the pool cannot be made", error)
    })?;
    Ok(Arc::new(pool))
}

/// For a first connection that the server neither makes nor refuses.
const ONE_TRY: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(250);
const SAY_AGAIN: Duration = Duration::from_secs(10);
const VANISHED: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(30);
