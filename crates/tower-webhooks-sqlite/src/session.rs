//! One connection that writes, and its transactions.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use tower_webhooks_inbox::{InboxError, InboxErrorKind};

use crate::{
    connection::{self, Safety, Settings},
    durable,
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
    pub(crate) left: Left,
}

/// What a transaction leaves behind that did not commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was taken back and the connection can go on.
    Sound,
    /// It may still be under way: the connection is given up.
    Unknown,
    /// Also, all of it may be in the log, and readable, and not on the disk.
    Unsaved,
}

/// Whether what can be read of the log is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Whoever wrote it has seen to that.
    Saved,
    /// Whoever wrote it may have failed, or been killed.
    Unsaved,
}

impl Session {
    pub(crate) fn open(path: &Path, settings: Settings, log: Log) -> Result<Self, OpenError> {
        let mut connection = connection::writing(path, settings)?;
        if log == Log::Unsaved {
            durable::rewrite_log(&mut connection, path)?;
        }
        durable::sync_folder(path)?;
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
                left: Left::Unknown,
            });
        }
        self.statement("BEGIN IMMEDIATE").map_err(|error| Failure {
            left: Left::sound_if(is_busy(&error)),
            error: inbox_error(error),
        })?;
        match self.inside(clock, boot, run) {
            Ok(Some(done)) => {
                self.statement("COMMIT").map_err(|error| {
                    let error = inbox_error(error);
                    let left = match error.kind() {
                        // It did not come to the sync.
                        InboxErrorKind::Full => Left::Unknown,
                        _ => Left::Unsaved,
                    };
                    Failure { error, left }
                })?;
                Ok(done)
            }
            Ok(None) => Err(Failure {
                left: Left::sound_if(self.take_back()),
                error: closed("another receiver has opened the inbox"),
            }),
            Err(error) => {
                let error = inbox_error(error);
                let back = self.take_back();
                let sound = matches!(error.kind(), InboxErrorKind::Data | InboxErrorKind::Full);
                Err(Failure {
                    error,
                    left: Left::sound_if(back && sound),
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

impl Left {
    fn sound_if(sound: bool) -> Self {
        if sound { Self::Sound } else { Self::Unknown }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tower_webhooks_inbox::{Batch, NewEvent};

    use super::*;
    use crate::{place, schema};

    const SETTINGS: Settings = Settings {
        busy_timeout: Duration::from_secs(1),
        checkpoint_pages: 1000,
    };

    fn open(path: &Path) -> Session {
        place::create(path).unwrap();
        let mut session = Session::open(path, SETTINGS, Log::Saved).unwrap();
        schema::prepare(session.connection_mut(), path, true).unwrap();
        session
    }

    fn insert(session: &mut Session, path: &Path, id: &str) -> Result<(), Failure> {
        let mut event = NewEvent::new("shop", vec![b'x'; 10_000], SystemTime::now());
        event.id = Some(id.into());
        let batch = Batch {
            inserts: vec![event],
            ..Batch::default()
        };
        let clock = StoreClock::system();
        session
            .transact(path, &clock, Boot::Beside, |tx| tx.apply(batch))
            .map(drop)
    }

    #[test]
    fn a_full_disk_is_named_and_nothing_needs_to_be_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let mut session = open(&path);
        let limit = |session: &Session, pages: u32| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            session
                .connection()
                .query_row(&sql, [], |_| Ok(()))
                .unwrap();
        };
        insert(&mut session, &path, "1").unwrap();
        // SQLite's own limit: the error of a full disk, from the same place.
        limit(&session, 1);
        for _ in 0..2 {
            let failure = insert(&mut session, &path, "2").unwrap_err();
            assert_eq!(failure.error.kind(), InboxErrorKind::Full);
            assert_eq!(failure.left, Left::Sound);
        }
        limit(&session, 1_000_000);
        insert(&mut session, &path, "2").unwrap();
        let stored: i64 = session
            .connection()
            .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, 2);
    }

    #[test]
    fn after_a_failed_commit_the_connection_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let mut session = open(&path);
        session
            .connection()
            .execute_batch(
                "CREATE TABLE parent (id PRIMARY KEY);
                 CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER dangles AFTER INSERT ON event
                 BEGIN INSERT INTO child VALUES (1); END",
            )
            .unwrap();
        let failure = insert(&mut session, &path, "1").unwrap_err();
        assert_eq!(failure.left, Left::Unsaved);
        drop(session);
        let session = Session::open(&path, SETTINGS, Log::Unsaved).unwrap();
        let stored: i64 = session
            .connection()
            .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, 0);
    }
}
