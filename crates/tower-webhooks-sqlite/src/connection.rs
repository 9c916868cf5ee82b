//! One connection, with the settings that durability depends on read back.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::error::{OpenError, OpenErrorKind};

/// How much of the write-ahead log one connection lets grow, and how long it
/// waits for others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) busy_timeout: Duration,
    pub(crate) checkpoint_pages: u32,
}

/// Opens the connection that writes.
///
/// SQLite answers OK to a switch that it does not make, so both settings are
/// read back: without WAL, FULL would sync more and gain less; without FULL, a
/// commit returns before it is on the disk.
pub(crate) fn writing(path: &Path, settings: Settings) -> Result<Connection, OpenError> {
    let failed = |error| OpenError::unavailable("open", path, error);
    let connection = open(path, settings, WRITE).map_err(failed)?;
    let journal: String = connection
        .query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))
        .map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = full;
             PRAGMA fullfsync = on;
             PRAGMA checkpoint_fullfsync = on;
             PRAGMA wal_autocheckpoint = {pages};
             PRAGMA journal_size_limit = {bytes};
             PRAGMA temp_store = memory;
             PRAGMA cache_size = -{CACHE_KIB};",
            pages = settings.checkpoint_pages,
            bytes = i64::from(settings.checkpoint_pages).saturating_mul(PAGE_BYTES),
        ))
        .map_err(failed)?;
    let safety = Safety::of(&connection).map_err(failed)?;
    if !safety.is_durable() {
        return Err(OpenError::new(
            OpenErrorKind::Weak,
            format!(
                "SQLite refused the settings that keep {}: journal_mode is {journal}, not wal, or \
                 synchronous is {}, not full",
                path.display(),
                safety.synchronous,
            ),
        ));
    }
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn reading(path: &Path, settings: Settings) -> rusqlite::Result<Connection> {
    let connection = open(path, settings, WRITE)?;
    connection.execute_batch("PRAGMA query_only = on; PRAGMA temp_store = memory;")?;
    Ok(connection)
}

/// Opens a file that may be another program's: not even its log is tidied up.
pub(crate) fn looking(path: &Path, settings: Settings) -> Result<Connection, OpenError> {
    open(path, settings, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| OpenError::unavailable("open", path, error))
}

fn open(path: &Path, settings: Settings, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(settings.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise a statement is compiled anew for each value that could decide whether a partial
    // index will do, which takes several times as long as running it. Ours say so in literals.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Safety {
    pub(crate) journal_mode: String,
    pub(crate) synchronous: i64,
}

impl Safety {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            journal_mode: connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?,
            synchronous: connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?,
        })
    }

    /// FULL is 2, EXTRA 3.
    pub(crate) fn is_durable(&self) -> bool {
        self.journal_mode == "wal" && self.synchronous >= 2
    }
}

/// Never with CREATE: an inbox that has vanished must not come back empty.
const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE;

/// SQLite's default, which new databases get.
pub(crate) const PAGE_BYTES: i64 = 4096;

/// Enough for the indexes' upper levels and the bodies that are being handled.
const CACHE_KIB: u32 = 16 * 1024;

/// All that an inbox runs.
const STATEMENTS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        busy_timeout: Duration::from_secs(1),
        checkpoint_pages: 1000,
    };

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let failed = writing(&path, SETTINGS).unwrap_err();
        assert_eq!(failed.kind(), OpenErrorKind::Unavailable);
        assert!(!path.exists());
    }

    #[test]
    fn settings_are_in_force_and_weaker_ones_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        crate::place::create(&path).unwrap();
        let connection = writing(&path, SETTINGS).unwrap();
        assert!(Safety::of(&connection).unwrap().is_durable());
        connection
            .execute_batch("PRAGMA synchronous = normal")
            .unwrap();
        assert!(!Safety::of(&connection).unwrap().is_durable());
        let memory = Connection::open_in_memory().unwrap();
        memory.execute_batch("PRAGMA synchronous = full").unwrap();
        assert!(!Safety::of(&memory).unwrap().is_durable(), "not WAL");
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        crate::place::create(&path).unwrap();
        writing(&path, SETTINGS).unwrap();
        let reader = reading(&path, SETTINGS).unwrap();
        assert!(reader.execute_batch("CREATE TABLE a (b)").is_err());
    }
}
