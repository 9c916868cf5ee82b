//! One connection that writes, and its transactions.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use tower_webhooks_inbox::{InboxError, InboxErrorKind};

use crate::{
    connection::{self, Safety, Settings},
    error::{OpenError, closed, inbox_error, unavailable},
    place::Identity,
    store::{Boot, Guard, Memo, Tx},
    time::StoreClock,
};

/// The writing connection with what goes with it. Dropped after a failure that
/// may have left it in doubt, and opened anew.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    guard: Guard,
    memo: Memo,
    identity: Identity,
}

/// A transaction that did not commit.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: InboxError,
    /// Whether it was taken back and the connection can go on.
    pub(crate) sound: bool,
}

impl Session {
    pub(crate) fn open(path: &Path, settings: Settings) -> Result<Self, OpenError> {
        let mut connection = connection::writing(path, settings)?;
        let guard = Guard::install(&mut connection);
        let identity =
            Identity::of(path).map_err(|error| OpenError::unavailable("look at", path, error))?;
        Ok(Self {
            connection,
            guard,
            memo: Memo::default(),
            identity,
        })
    }

    /// Runs and commits a transaction. A commit that fails is not tried again:
    /// after a failed fsync the kernel may have dropped what it could not write,
    /// and the next one would succeed without it.
    pub(crate) fn transact<T>(
        &mut self,
        path: &Path,
        clock: &StoreClock,
        boot: Boot,
        run: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        if Identity::of(path).ok() != Some(self.identity) {
            return Err(Failure {
                error: unavailable("the inbox's file was moved, replaced or deleted"),
                sound: false,
            });
        }
        self.statement("BEGIN IMMEDIATE").map_err(|error| Failure {
            sound: is_busy(&error),
            error: inbox_error(error),
        })?;
        match self.inside(clock, boot, run) {
            Ok(Some(done)) => {
                self.statement("COMMIT").map_err(|error| Failure {
                    error: inbox_error(error),
                    sound: false,
                })?;
                Ok(done)
            }
            Ok(None) => Err(Failure {
                sound: self.take_back(),
                error: closed("another receiver has opened the inbox"),
            }),
            Err(error) => {
                let error = inbox_error(error);
                let back = self.take_back();
                let sound = matches!(error.kind(), InboxErrorKind::Data | InboxErrorKind::Full);
                Err(Failure {
                    error,
                    sound: back && sound,
                })
            }
        }
    }

    fn inside<T>(
        &mut self,
        clock: &StoreClock,
        boot: Boot,
        run: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        // Told after the lock was waited for.
        let now = clock.now();
        let begun = Tx::begin(&self.connection, &self.guard, &mut self.memo, now, boot)?;
        let Some(mut transaction) = begun else {
            return Ok(None);
        };
        let done = run(&mut transaction)?;
        transaction.finish()?;
        Ok(Some(done))
    }

    /// Whether the transaction is gone.
    fn take_back(&mut self) -> bool {
        self.memo = Memo::default();
        // SQLite itself takes it back after some failures.
        self.connection.is_autocommit() || self.statement("ROLLBACK").is_ok()
    }

    /// Runs SQL of the user's as work would be run.
    pub(crate) fn run_guarded(&mut self, sql: &str) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        self.guard.during(|| transaction.execute_batch(sql))?;
        transaction.commit()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(crate) fn safety(&self) -> rusqlite::Result<Safety> {
        Safety::of(&self.connection)
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
