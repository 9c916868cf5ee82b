//! When the write-ahead log goes into the database.
//!
//! Three rules. SQLite itself checkpoints at a commit once the log has
//! `checkpoint_pages`: many, because a checkpoint in the middle of a load is what
//! the slowest acknowledgements wait for. As soon as nothing was asked for a
//! while, the rest goes, so that under an uneven load the first rule hardly ever
//! applies. And when readers keep the log from starting over until it is larger
//! than allowed, writing now and then waits a moment for them and says so, so
//! that it cannot fill the disk unnoticed.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{connection::Settings, place, writer::FOREVER};

#[derive(Debug)]
pub(crate) struct Checkpoints {
    log: PathBuf,
    max_log_bytes: u64,
    /// Whether something was committed since the last complete checkpoint.
    behind: bool,
    /// When the log was last found to be too large.
    forced_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Waits for nobody, does what it can.
    Passive,
    /// Waits for readers and makes the log empty.
    Truncate,
}

impl Checkpoints {
    pub(crate) fn new(database: &Path, max_log_bytes: u64) -> Self {
        Self {
            log: place::beside(database, "-wal"),
            max_log_bytes,
            behind: false,
            forced_at: None,
        }
    }

    /// How long to wait for something to do before a checkpoint.
    pub(crate) fn patience(&self) -> Duration {
        if self.behind { IDLE } else { FOREVER }
    }

    /// Notes a commit. True if the log has outgrown its limit, but not again
    /// shortly after: readers that keep it large must not slow every commit.
    pub(crate) fn is_too_large_after_commit(&mut self) -> bool {
        self.behind = true;
        let size = std::fs::metadata(&self.log).map_or(0, |file| file.len());
        let lately = self.forced_at.is_some_and(|at| at.elapsed() < FORCE_AGAIN);
        if size <= self.max_log_bytes || lately {
            return false;
        }
        self.forced_at = Some(Instant::now());
        true
    }

    /// A checkpoint that fails costs nothing but room: the log is as durable. True if
    /// nothing was in its way.
    pub(crate) fn run(&mut self, connection: &Connection, settings: Settings, mode: Mode) -> bool {
        let ran = match mode {
            Mode::Passive => checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)"),
            Mode::Truncate => connection.busy_timeout(FORCE_WAIT).and_then(|()| {
                let ran = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
                connection.busy_timeout(settings.busy_timeout).and(ran)
            }),
        };
        let is_complete = matches!(ran, Ok((false, ..)));
        match ran {
            Ok((true, pages, done)) if mode == Mode::Truncate => tracing::warn!(
                pages,
                done,
                "readers keep the inbox's write-ahead log from being emptied"
            ),
            // What readers still need goes after the next commit.
            Ok(_) => self.behind = false,
            Err(error) => {
                self.behind = false;
                tracing::warn!(%error, "the inbox's write-ahead log could not be checkpointed");
            }
        }
        is_complete
    }
}

/// Whether somebody was in the way, the pages of the log, and those that are in
/// the database now.
fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<(bool, i64, i64)> {
    connection.query_row(sql, [], |row| {
        let busy: i64 = row.get(0)?;
        Ok((busy != 0, row.get(1)?, row.get(2)?))
    })
}

/// Long enough that a steady trickle shares checkpoints, short enough that most
/// pauses have one.
const IDLE: Duration = Duration::from_millis(200);

/// What an acknowledgement may wait for readers, and how seldom.
const FORCE_WAIT: Duration = Duration::from_millis(100);
const FORCE_AGAIN: Duration = Duration::from_secs(2);
