//! What SQLite takes for certain and a disk that has failed does not keep.
//!
//! * Most of Linux's file systems show what a failed sync could not save, and
//!   count it as saved from then on. SQLite, when it finds a log whose end nobody
//!   remembers, takes all that it can read: commits that were refused, with
//!   acknowledged ones after them, and a power cut ends the log before both.
//! * SQLite syncs the folder after it has made a log in it, and does not look
//!   whether that failed: a power cut may take the whole log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use rusqlite::{Connection, TransactionBehavior};

use crate::{error::OpenError, place::beside};

/// Writes the log again as it can be read, and syncs it: what is taken from it
/// is on the disk then. Nobody else writes meanwhile; readers go on.
pub(crate) fn rewrite_log(connection: &mut Connection, database: &Path) -> Result<(), OpenError> {
    let alone = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| OpenError::unavailable("lock", database, error))?;
    let path = beside(database, "-wal");
    rewrite(&path).map_err(|error| OpenError::unavailable("save again", &path, error))?;
    alone
        .rollback()
        .map_err(|error| OpenError::unavailable("unlock", database, error))
}

fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(chunk.get(..read).unwrap_or_default())?;
        at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    if at > 0 { file.sync_all() } else { Ok(()) }
}

/// Syncs the names of the database and its log. Called when the log is there:
/// SQLite makes it when it first reads, and deletes it only when it closes.
#[cfg(unix)]
pub(crate) fn sync_folder(database: &Path) -> Result<(), OpenError> {
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Of file systems that have no such thing.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced.map_err(|error| OpenError::unavailable("sync the folder", folder, error)),
    }
}

/// Elsewhere a folder cannot be opened, and its names are kept with the files.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// As much as is read and written at once.
const CHUNK_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        connection::{self, Settings},
        place,
    };

    const SETTINGS: Settings = Settings {
        busy_timeout: Duration::from_millis(10),
        checkpoint_pages: 1000,
    };

    fn log_of_some_pages(path: &Path) -> Connection {
        place::create(path).unwrap();
        let connection = connection::writing(path, SETTINGS).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE a (b); INSERT INTO a VALUES (zeroblob(3000000));
                 INSERT INTO a VALUES ('last')",
            )
            .unwrap();
        connection
    }

    #[test]
    fn a_log_is_written_again_as_it_was_while_readers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let mut connection = log_of_some_pages(&path);
        let log = beside(&path, "-wal");
        let before = std::fs::read(&log).unwrap();
        assert!(before.len() > 2 * CHUNK_BYTES);
        let reader = connection::reading(&path, SETTINGS).unwrap();
        let held = reader.unchecked_transaction().unwrap();
        let last = |connection: &Connection| {
            let sql = "SELECT b FROM a ORDER BY rowid DESC LIMIT 1";
            connection.query_row(sql, [], |row| row.get::<_, String>(0))
        };
        assert_eq!(last(&held).unwrap(), "last");
        rewrite_log(&mut connection, &path).unwrap();
        assert!(std::fs::read(&log).unwrap() == before);
        assert_eq!(last(&held).unwrap(), "last");
        assert_eq!(last(&connection).unwrap(), "last");
    }

    #[test]
    fn a_log_is_not_written_again_while_somebody_else_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let other = log_of_some_pages(&path);
        let mut connection = connection::writing(&path, SETTINGS).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(rewrite_log(&mut connection, &path).is_err());
        other.execute_batch("COMMIT").unwrap();
        rewrite_log(&mut connection, &path).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_is_synced_and_one_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        sync_folder(&folder.path().join("inbox.db")).unwrap();
        sync_folder(Path::new("inbox.db")).unwrap();
        let failed = sync_folder(Path::new("/nowhere/inbox.db")).unwrap_err();
        assert_eq!(failed.to_string(), "cannot sync the folder /nowhere");
    }
}
