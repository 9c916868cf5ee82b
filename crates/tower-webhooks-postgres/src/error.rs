//! Why an inbox did not open, and what PostgreSQL's errors mean to the callers of one.

use std::{error::Error, fmt};

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
    /// The tables are another program's, or of a release that does not fit this one.
    Schema,
    /// The server did not answer, or refused.
    Unavailable,
    /// The URL or another setting cannot be used.
    Url,
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

    pub(crate) fn with_source(
        kind: OpenErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// Something could not be done with the database.
    pub(crate) fn unavailable(what: impl fmt::Display, failure: Failure) -> Self {
        Self::with_source(
            OpenErrorKind::Unavailable,
            format!("cannot {what}"),
            failure,
        )
    }
}

impl OpenError {
    /// Whether it may be otherwise in a moment: the server starts, or cannot be
    /// reached.
    pub(crate) fn may_pass(&self) -> bool {
        let source = self.source.as_ref();
        let failure = source.and_then(|source| source.downcast_ref::<Failure>());
        failure.is_some_and(|failure| match failure {
            Failure::Busy | Failure::Connection(_) | Failure::Late(_) => true,
            // Operator intervention, such as "the database system is starting up"; too
            // many connections, as when all programs come back at once.
            Failure::Server { code, .. } => code.starts_with("57P") || code == "53300",
            Failure::Raced | Failure::Row { .. } => false,
        })
    }

    /// Says what is tried again, and for how long.
    pub(crate) fn warn_of_waiting(&self, left: std::time::Duration) {
        let reason = self.source.as_ref().map(ToString::to_string);
        tracing::warn!(
            reason,
            "{self}; trying again for {} s",
            left.as_secs_f64().ceil()
        );
    }
}

impl From<OpenError> for InboxError {
    fn from(error: OpenError) -> Self {
        Self::new(InboxErrorKind::Unavailable, error)
    }
}

/// Why a statement or a connection failed.
///
/// Of what the server says only its code and message: the detail that it adds
/// quotes rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// All connections of the pool are in use.
    #[error("no connection to the database is free: all are in use")]
    Busy,
    /// The connection broke, or there was none.
    #[error(transparent)]
    Connection(Box<dyn Error + Send + Sync>),
    /// It took longer than was allowed.
    #[error("no answer from the database within {0:?}")]
    Late(std::time::Duration),
    /// Another process was faster: the same transaction, done again, sees it.
    #[error("other processes changed the same events again and again")]
    Raced,
    /// What was read is nothing that we write.
    #[error("column {column} of a row: {reason}")]
    Row {
        column: usize,
        reason: Box<dyn Error + Send + Sync>,
    },
    /// The server refused a statement.
    #[error("{message} (SQLSTATE {code})")]
    Server {
        code: String,
        message: String,
        /// The one that is violated.
        constraint: Option<String>,
    },
}

impl Failure {
    /// The server's five characters.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Server { code, .. } => code,
            Self::Busy | Self::Connection(_) | Self::Late(_) | Self::Raced | Self::Row { .. } => "",
        }
    }

    /// Whether this is a server that takes no writes: a standby.
    pub(crate) fn is_of_a_standby(&self) -> bool {
        matches!(self.code(), "0A000" | "25006")
    }

    /// The same, or `Raced` if another process has stored the key of an event, or
    /// given a turn, since it was looked for.
    pub(crate) fn raced(self) -> Self {
        match &self {
            Self::Server {
                code, constraint, ..
            } if code == "23505"
                && matches!(constraint.as_deref(), Some("event_key" | "job_turn")) =>
            {
                Self::Raced
            }
            _ => self,
        }
    }

    /// Whether the same transaction may succeed when it is done again at once: it
    /// was the victim of a deadlock or of another process's commit.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Raced) || matches!(self.code(), "40P01" | "40001")
    }

    fn kind(&self) -> InboxErrorKind {
        let code = self.code();
        match code.get(..2).unwrap_or_default() {
            // Data exceptions, violated constraints, program limits.
            "22" | "23" | "54" => InboxErrorKind::Data,
            _ if code == "53100" => InboxErrorKind::Full,
            _ => InboxErrorKind::Unavailable,
        }
    }
}

impl From<Failure> for InboxError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Failure {
        Failure::Server {
            code: code.to_owned(),
            message: "no".to_owned(),
            constraint: None,
        }
    }

    #[test]
    fn only_an_events_key_and_a_turn_are_raced_for() {
        let violated = |name: Option<&str>| Failure::Server {
            code: "23505".to_owned(),
            message: "no".to_owned(),
            constraint: name.map(str::to_owned),
        };
        for name in ["event_key", "job_turn"] {
            let raced = violated(Some(name)).raced();
            assert!(matches!(raced, Failure::Raced), "{name}");
        }
        for name in [Some("event_pkey"), Some("settlement_pkey"), None] {
            let kept = violated(name).raced();
            assert_eq!(kept.code(), "23505", "{name:?}");
        }
        assert_eq!(server("23514").raced().code(), "23514");
    }

    #[test]
    fn a_failure_says_who_is_at_fault() {
        for (code, kind) in [
            ("22021", InboxErrorKind::Data),
            ("23514", InboxErrorKind::Data),
            ("54000", InboxErrorKind::Data),
            ("53100", InboxErrorKind::Full),
            ("53200", InboxErrorKind::Unavailable),
            ("55P03", InboxErrorKind::Unavailable),
            ("57014", InboxErrorKind::Unavailable),
            ("25006", InboxErrorKind::Unavailable),
        ] {
            assert_eq!(InboxError::from(server(code)).kind(), kind, "{code}");
        }
        assert_eq!(
            InboxError::from(Failure::Raced).kind(),
            InboxErrorKind::Unavailable
        );
    }

    #[test]
    fn only_what_another_try_may_mend_is_tried_again() {
        for code in ["40P01", "40001"] {
            assert!(server(code).is_transient());
        }
        for code in ["55P03", "57014", "23505", ""] {
            assert!(!server(code).is_transient());
        }
        assert!(Failure::Raced.is_transient());
    }
}
