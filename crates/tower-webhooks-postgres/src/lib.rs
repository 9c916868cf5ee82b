//! The shared inbox of tower-webhooks: events and jobs in PostgreSQL.
//!
//! * [`PostgresInbox`] is the store, [`PostgresBuilder`] sets it up; its defaults
//!   are safe.
//! * [`Tx`] and, with feature `sqlx`, `SqlxTx` are the transaction that a handler
//!   writes in: its rows commit together with its job's completion.
//!
//! ```no_run
//! use tower_webhooks_inbox::Inbox;
//! use tower_webhooks_postgres::PostgresInbox;
//!
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! let inbox = PostgresInbox::builder("postgres://webhooks@db.internal/app?sslmode=verify-full")
//!     .with_schema("webhooks")
//!     .open()
//!     .await?;
//! assert!(inbox.check().await?.durable);
//! # Ok(())
//! # }
//! ```
//!
//! # When to choose it
//!
//! When one machine is not enough: several receivers behind a load balancer,
//! workers apart from receivers, rolling deploys without a pause; or when handlers
//! write to PostgreSQL anyway and should do so exactly once. For one process on one
//! machine the embedded inbox in SQLite is faster and needs nothing to be run.
//!
//! Any number of receivers and workers share one schema, of this release and of
//! the one before. Two schemas are two inboxes.
//!
//! # What PostgreSQL must do
//!
//! * **12 or later**, a database in UTF8, with `fsync` and `full_page_writes` on, as they are by
//!   default; [`check`](tower_webhooks_inbox::Inbox::check) reads them back. Every
//!   transaction sets `synchronous_commit = on` itself, whatever a role or database
//!   says (`remote_apply`, which is stronger, stays). `LISTEN` and `NOTIFY` carry
//!   hints between processes; without them workers ask about once a second.
//! * **Failover**: what is acknowledged is on the primary's disk. It is on a
//!   standby too only if that is synchronous (`synchronous_standby_names`); a
//!   failover to an asynchronous one can lose the last acknowledged events. After a
//!   failover the inbox finds the new primary if the URL names all hosts: the one
//!   that takes writes is meant, unless it says `target_session_attrs`, and a host
//!   that says nothing keeps nobody from the next. A standby refuses to store, which
//!   is [`Unavailable`](tower_webhooks_inbox::InboxErrorKind::Unavailable); a
//!   connection to one is not kept.
//! * **A role of its own, not a superuser.** It owns the schema, or may make one
//!   in the database. Where the program's role may not make tables, open with
//!   [`auto_migrate(false)`](PostgresBuilder::auto_migrate), run what
//!   [`migration_sql`] prints as the owner, and grant:
//!
//! ```sql
//! GRANT USAGE ON SCHEMA webhooks TO app;
//! GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA webhooks TO app;
//! GRANT USAGE ON ALL SEQUENCES IN SCHEMA webhooks TO app;
//! ```
//!
//! # Connections
//!
//! An inbox has up to 6 connections for its own work, one that listens, and up to
//! 16 for handlers' transactions, made when they are needed; see
//! [`with_max_connections`](PostgresBuilder::with_max_connections). Each process
//! has its own: keep the sum below the server's `max_connections`.
//!
//! While the database is away, the caller hears `Unavailable` within the
//! [begin time-out](PostgresBuilder::with_begin_timeout), half a second, so that a
//! receiver answers 503 and the provider tries again; it recovers by itself. That
//! all of an inbox's own connections are in use is `Unavailable` after the same time. A
//! lock is waited for no longer than 1.5 s, a little more than the server takes to notice a
//! deadlock; where a handler's transaction is settled, for as long as a
//! [statement](PostgresBuilder::with_statement_timeout) may take. A
//! program that starts meanwhile waits for
//! [five minutes](PostgresBuilder::with_open_wait).
//!
//! The server takes back a transaction whose client has gone without a word: one of
//! the inbox's own after the statement time-out, a handler's after ten minutes without
//! a statement, unless the role or database has an
//! `idle_in_transaction_session_timeout`.
//!
//! | the URL's `sslmode` | encrypted | whose certificate |
//! |---|---|---|
//! | none, `prefer` | if the server can | anybody's: who can pretend to be the server can also refuse to encrypt |
//! | `disable` | no | |
//! | `require`, `verify-full` | yes | of an authority that the system knows, or in the file `sslrootcert=…`, and for this host |
//!
//! This differs from libpq in that `require` verifies (there only with a root
//! certificate at hand; `verify-ca` is not known here). See
//! [PostgreSQL's table](https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION),
//! read on 2026-11-22. A server with a certificate of its own making, as a managed
//! one often has, needs `sslrootcert`.
//!
//! **PgBouncer** in transaction mode works, with `notify=off` in the URL or
//! [`without_notify`](PostgresBuilder::without_notify): nothing is kept in a
//! connection between transactions, statements have no names, and all locks are
//! the transaction's. Handlers' transactions work through it too. A pool of sqlx's
//! needs `ignore_startup_parameters = extra_float_digits` there. Both are tested
//! with the whole conformance suite.
//!
//! Without `notify=off` an inbox with connections of its own keeps the statements of
//! its batches prepared, and stores about 1.5 times as many events a second. Opening it
//! tries whether two connections change places, and each batch asks again: behind a
//! pooler none are kept. What a batch has kept in a process of the server before that
//! is noticed stays there until the pooler closes it.
//!
//! # Growth
//!
//! * `event` is written once, and changed only where somebody routes, replays or
//!   erases it, or it comes again; bodies and headers are in
//!   `event_body`, so that pruning them leaves no holes among the keys. With a body
//!   of 600 bytes count on 1.5 kB for an event with one job, indexes included.
//! * `job` is narrow, with room in each page for its versions, and vacuumed when
//!   2 % of it is dead. **A transaction that is open for long, anybody's in the
//!   database, keeps vacuum from removing anything**, and claims become slower with
//!   every finished job: set `idle_in_transaction_session_timeout`, and watch
//!   `pg_stat_activity` for old `xact_start`. Logical replication slots that nobody
//!   reads do the same.
//! * `tally` holds the counts as changes, which are summed up every thousand
//!   transactions: one row that everybody updates would make them wait for one
//!   another.
//! * After the first bulk import, `ANALYZE` once; autovacuum does it from then on.
//!
//! # Looking into it
//!
//! `psql` shows tables `event`, `event_body`, `job`, `reply` and `handler`, and
//! the view `dead_letter`. To change something use
//! [`Inbox`](tower_webhooks_inbox::Inbox)'s methods: the counts are kept by them.
//!
//! # Completing a job by a statement
//!
//! Who works with another library, such as diesel, completes a job that is leased to
//! him in his own transaction:
//!
//! ```sql
//! SELECT webhooks.complete($1, $2, $3)  -- seq, handler, token
//! ```
//!
//! A handler has them from `Job::lease` and `Job::handler`, whoever claims through
//! the [`Inbox`](tower_webhooks_inbox::Inbox) itself from
//! [`Leased`](tower_webhooks_inbox::Leased).
//!
//! `true`: the job is done when the transaction commits. `false`: the token is not
//! the job's current one, so another worker has it, or it is done; roll back. It
//! waits for nobody but who stores or ends other jobs of the same ordering key, or of one in 256
//! that shares its lock, and so do these for it. A job of an
//! [ordering key](tower_webhooks_inbox::NewEvent::ordering_key) wants a transaction that
//! is `READ COMMITTED`, as they are by default, and is an error (25000) in any other: its
//! snapshot may hide the job whose turn comes next, which then nobody would call. A
//! settle that a worker sends afterwards finds the lease ended, and changes
//! nothing.

mod builder;
mod driver;
mod error;
mod hints;
mod inbox;
mod schema;
mod session;
#[cfg(feature = "sqlx")]
mod sqlx_tx;
mod store;
mod time;
mod tls;
mod tx;

/// The pool, in the version that [`PostgresInbox::from_pool`] takes.
pub use deadpool_postgres;
/// The library whose pool [`PostgresInbox::from_sqlx`] takes.
#[cfg(feature = "sqlx")]
pub use sqlx;
/// The driver, in the version that [`Tx`] is of.
pub use tokio_postgres;

pub use builder::{Migrated, PostgresBuilder};
pub use error::{OpenError, OpenErrorKind};
pub use inbox::PostgresInbox;
pub use schema::migration_sql;
#[cfg(feature = "sqlx")]
pub use sqlx_tx::SqlxTx;
pub use tx::{Tx, TxError};
