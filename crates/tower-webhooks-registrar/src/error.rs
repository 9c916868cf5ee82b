//! Why a call did not succeed.

use std::{fmt, time::Duration};

/// Why a call did not succeed. Shows of what the provider answered its message
/// alone, in which neither the keys nor the secret of the call stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    /// Nothing left this machine.
    is_unsent: bool,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An answer that is not what the provider documents.
    Answer,
    /// A field of the wish is not as the provider wants it; nothing was sent.
    Invalid {
        /// The field, as [`Wish`](crate::Wish) has it.
        field: &'static str,
    },
    /// A registration is as wished, and another of the same URL that it
    /// supersedes could not be deleted: both send.
    NotDeleted,
    /// There is no such registration: 404.
    NotFound,
    /// Too many requests: 429. Nothing was done.
    RateLimited {
        /// How long to wait, if the answer says so.
        retry_after: Option<Duration>,
    },
    /// The provider refused the call: another 4xx.
    Refused {
        /// The status.
        status: u16,
    },
    /// The provider failed: 5xx. Whether it did what was asked is not known.
    Server {
        /// The status.
        status: u16,
    },
    /// No whole answer in time. Whether it did what was asked is not known.
    TimedOut,
    /// No connection, or none until the answer's end.
    Transport,
    /// The provider refused the key: 401.
    Unauthorized,
    /// The provider documents no such call.
    Unsupported,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            is_unsent: false,
        }
    }

    /// A call that never reached its provider.
    pub(crate) fn unsent(message: impl Into<String>) -> Self {
        Self {
            is_unsent: true,
            ..Self::new(ErrorKind::Transport, message)
        }
    }

    pub(crate) fn invalid(field: &'static str, why: &str) -> Self {
        Self::new(ErrorKind::Invalid { field }, format!("{field} {why}"))
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new(ErrorKind::Unsupported, what)
    }

    /// Says what to do besides, where the call may have been done and only its answer is
    /// lost.
    pub(crate) fn advising(mut self, what_to_do: &str) -> Self {
        let may_be_done = match self.kind {
            ErrorKind::Answer | ErrorKind::Server { .. } | ErrorKind::TimedOut => true,
            ErrorKind::Refused { status } => status < 400,
            ErrorKind::Transport => !self.is_unsent,
            _ => false,
        };
        if may_be_done {
            self.message = format!("{}; {what_to_do}", self.message);
        }
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
