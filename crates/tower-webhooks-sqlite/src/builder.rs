//! How an inbox is opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tower_webhooks_core::Clock;

use crate::{
    SqliteInbox,
    checkpoint::Checkpoints,
    connection::{self, PAGE_BYTES, Settings},
    error::OpenError,
    inbox::Parts,
    place::{self, Filesystem, ReceiverLock},
    readers::Readers,
    schema::{self, migration_sql},
    session::{Log, Session},
    store::{self, Boot, PrunedTo},
    time::StoreClock,
    writer::Writer,
};

/// Settings of an [`SqliteInbox`] that is about to be opened.
///
/// None of them weakens what is durable, but for those that begin `insecure_`.
#[derive(Debug, Clone)]
#[must_use = "nothing is opened until `open` is awaited"]
pub struct SqliteBuilder {
    path: PathBuf,
    auto_migrate: bool,
    any_filesystem: bool,
    busy_timeout: Duration,
    checkpoint_pages: u32,
    clock: Option<Arc<dyn Clock>>,
    lock_wait: Duration,
    max_log_bytes: Option<u64>,
    tables: Vec<String>,
}

/// Which role opens the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Beside,
    Receiver,
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

impl SqliteBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            auto_migrate: true,
            any_filesystem: false,
            busy_timeout: Duration::from_secs(5),
            checkpoint_pages: 16_000,
            clock: None,
            lock_wait: Duration::from_secs(10),
            max_log_bytes: None,
            tables: Vec::new(),
        }
    }

    /// Whether opening makes and migrates the tables. Default yes. If not, an
    /// inbox with an older schema that this release still knows is opened as it
    /// is, and any other is refused.
    pub fn auto_migrate(mut self, yes: bool) -> Self {
        self.auto_migrate = yes;
        self
    }

    /// How long a transaction waits for another process that writes. Default
    /// 5 s; the command's transactions take milliseconds.
    pub fn with_busy_timeout(mut self, wait: Duration) -> Self {
        self.busy_timeout = wait;
        self
    }

    /// How many pages of 4 KiB the write-ahead log may have before a commit
    /// moves them into the database. Default 16 000, 64 MB: with SQLite's own
    /// 1 000 that happens so often under load that the slowest acknowledgements
    /// take several times as long. Zero counts as one.
    pub fn with_checkpoint_pages(mut self, pages: u32) -> Self {
        self.checkpoint_pages = pages.clamp(1, MAX_PAGES);
        self
    }

    /// Tells due times, leases and ages by this clock, in place of the operating
    /// system's.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// How long to wait for the receiver that has the inbox open to end. Default
    /// 10 s: a deploy that stops the old one while it starts the new one.
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The size of the write-ahead log, in bytes, beyond which writing waits for
    /// readers so that it can start over: 100 ms every two seconds, with a warning
    /// each time. Default four times the checkpoint's, 256 MB.
    pub fn with_max_log_bytes(mut self, bytes: u64) -> Self {
        self.max_log_bytes = Some(bytes);
        self
    }

    /// Adds SQL to run at each opening, such as `CREATE TABLE IF NOT EXISTS`: the
    /// tables that [`SqliteWork`](crate::SqliteWork) writes.
    pub fn with_tables(mut self, sql: impl Into<String>) -> Self {
        self.tables.push(sql.into());
        self
    }

    /// Takes file systems that are refused otherwise. **Acknowledged events are
    /// lost**: in memory with the next restart, over a network when two machines
    /// believe that they hold the lock. For tests.
    pub fn insecure_any_filesystem(mut self) -> Self {
        self.any_filesystem = true;
        self
    }

    /// Opens the inbox as its receiver, and makes the file if there is none.
    ///
    /// # Errors
    ///
    /// `Filesystem` if the file would not be kept there; `Locked` if another
    /// receiver still has it after the wait; `Schema` if the file is not an inbox
    /// or does not fit this release; `Weak` if SQLite refuses a setting;
    /// `Unavailable` if the file cannot be read or written, or its folder not
    /// be synced.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(self) -> Result<SqliteInbox, OpenError> {
        blocking(move || self.open_as(Role::Receiver)).await
    }

    /// Opens the inbox beside its receiver, running or not; see
    /// [`SqliteInbox::open_beside`]. Neither makes nor migrates tables.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but never `Locked`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open_beside(self) -> Result<SqliteInbox, OpenError> {
        blocking(move || self.auto_migrate(false).open_as(Role::Beside)).await
    }

    /// Makes or migrates the tables, and nothing else. A running receiver of an
    /// earlier release goes on: a migration only adds.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but never `Locked`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn migrate(mut self) -> Result<Migrated, OpenError> {
        blocking(move || {
            self.path = place::resolve(self.path);
            self.place()?;
            place::create(&self.path)?;
            let mut connection = connection::writing(&self.path, self.settings())?;
            let from = schema::version(&connection, &self.path)?;
            schema::prepare(&mut connection, &self.path, true)?;
            let to = schema::NEWEST.max(from);
            Ok(Migrated { from, to })
        })
        .await
    }

    /// The SQL that [`migrate`](Self::migrate) would run, for those who migrate by
    /// hand; empty if there is nothing to do. Makes no file, and changes none.
    ///
    /// # Errors
    ///
    /// `Schema` when it is another program's database or a later release made it,
    /// `Unavailable` when it cannot be read.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn pending_sql(self) -> Result<String, OpenError> {
        blocking(move || {
            if !self.path.exists() {
                return Ok(migration_sql(0));
            }
            let connection = connection::looking(&self.path, self.settings())?;
            schema::version(&connection, &self.path).map(migration_sql)
        })
        .await
    }

    fn open_as(mut self, role: Role) -> Result<SqliteInbox, OpenError> {
        self.path = place::resolve(self.path);
        let filesystem = self.place()?;
        let lock = match role {
            Role::Beside => None,
            Role::Receiver => Some(ReceiverLock::take(&self.path, self.lock_wait)?),
        };
        if role == Role::Receiver && self.auto_migrate {
            place::create(&self.path)?;
            // Also where it was not there before: the process may go elsewhere.
            self.path = place::resolve(self.path);
        }
        let settings = self.settings();
        let log = match role {
            // It would hold the receiver up, which has done it.
            Role::Beside => Log::Saved,
            Role::Receiver => Log::Unsaved,
        };
        let mut session = Session::open(&self.path, settings, log)?;
        schema::prepare(session.connection_mut(), &self.path, self.auto_migrate)?;
        let clock = match &self.clock {
            Some(clock) => StoreClock::Given(clock.clone()),
            None => StoreClock::system(),
        };
        let failed = |error| OpenError::unavailable("write to", &self.path, error);
        for sql in &self.tables {
            session.run_guarded(sql).map_err(failed)?;
        }
        let boot = match role {
            Role::Beside => Boot::Beside,
            Role::Receiver => {
                store::start_boot(session.connection_mut(), clock.now()).map_err(failed)?
            }
        };
        let writer = Writer {
            path: self.path.clone(),
            settings,
            clock: clock.clone(),
            boot,
            session: Some(session),
            log: Log::Saved,
            checkpoints: Checkpoints::new(&self.path, self.max_log_bytes()),
            pruned_to: PrunedTo::nothing(),
            lock,
        };
        let writer = writer.start().map_err(|error| {
            OpenError::unavailable("start the writing thread of", &self.path, error)
        })?;
        Ok(SqliteInbox::new(Parts {
            readers: Readers::new(self.path.clone(), settings, clock),
            writer,
            path: self.path,
            filesystem,
        }))
    }

    fn place(&self) -> Result<Filesystem, OpenError> {
        let filesystem = Filesystem::of(&self.path)?;
        if !self.any_filesystem {
            filesystem.check(&self.path)?;
        }
        Ok(filesystem)
    }

    fn settings(&self) -> Settings {
        Settings {
            busy_timeout: self.busy_timeout,
            checkpoint_pages: self.checkpoint_pages,
        }
    }

    fn max_log_bytes(&self) -> u64 {
        let pages = i64::from(self.checkpoint_pages).saturating_mul(4);
        let default = pages.saturating_mul(PAGE_BYTES).unsigned_abs();
        self.max_log_bytes.unwrap_or(default)
    }
}

/// What opens a file may wait for a disk or for a lock.
async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => opened,
        Err(error) => Err(OpenError::unavailable(
            "finish opening",
            Path::new("the inbox"),
            error,
        )),
    }
}

/// SQLite takes a signed number.
const MAX_PAGES: u32 = 2_147_483_647;
