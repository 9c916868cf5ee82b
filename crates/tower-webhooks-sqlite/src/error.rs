//! Why an inbox did not open, and what SQLite's errors mean to the callers of one.

use std::{error::Error, fmt, path::Path};

use rusqlite::ErrorCode;
use tower_webhooks_inbox::{InboxError, InboxErrorKind};

/// Why an inbox did not open. Its text says what to change.
///
/// Opaque but for its [`kind`](Self::kind).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpenError {
    kind: OpenErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kept an inbox from opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The file is on a file system that loses it or whose locks cannot be
    /// trusted.
    Filesystem,
    /// Another receiver has the inbox open.
    Locked,
    /// The file is another program's, or of a release that does not fit this one.
    Schema,
    /// The file could not be read or written.
    Unavailable,
    /// SQLite refused a setting that durability depends on.
    Weak,
}

impl OpenError {
    /// What kept the inbox from opening.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: OpenErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Something could not be done with this file.
    pub(crate) fn unavailable(
        what: impl fmt::Display,
        path: &Path,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind: OpenErrorKind::Unavailable,
            message: format!("cannot {what} {}", path.display()),
            source: Some(source.into()),
        }
    }
}

impl From<OpenError> for InboxError {
    fn from(error: OpenError) -> Self {
        Self::new(InboxErrorKind::Unavailable, error)
    }
}

/// What an error of SQLite's means to a caller. SQLite's messages name tables
/// and columns and quote no values.
pub(crate) fn inbox_error(error: rusqlite::Error) -> InboxError {
    let kind = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => {
                InboxErrorKind::Data
            }
            ErrorCode::DiskFull => InboxErrorKind::Full,
            _ => InboxErrorKind::Unavailable,
        },
        rusqlite::Error::ToSqlConversionFailure(_) => InboxErrorKind::Data,
        _ => InboxErrorKind::Unavailable,
    };
    InboxError::new(kind, error)
}

pub(crate) fn unavailable(reason: &'static str) -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, reason)
}

pub(crate) fn closed(reason: &'static str) -> InboxError {
    InboxError::new(InboxErrorKind::Closed, reason)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_failure_says_who_is_at_fault() {
        let kind = |code| {
            let failure = ffi::Error::new(code);
            inbox_error(rusqlite::Error::SqliteFailure(failure, None)).kind()
        };
        assert_eq!(kind(ffi::SQLITE_TOOBIG), InboxErrorKind::Data);
        assert_eq!(kind(ffi::SQLITE_CONSTRAINT), InboxErrorKind::Data);
        assert_eq!(kind(ffi::SQLITE_FULL), InboxErrorKind::Full);
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_BUSY, ffi::SQLITE_CORRUPT] {
            assert_eq!(kind(code), InboxErrorKind::Unavailable);
        }
    }
}
