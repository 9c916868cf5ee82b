//! Why an inbox could not do what it was asked.

use std::{error::Error, fmt, sync::Arc};

/// A call to an inbox that failed as a whole: nothing of it was kept.
///
/// Opaque but for its [`kind`](Self::kind); the store's own error is the
/// [`source`](Error::source). Clones share it, since one failed commit answers
/// everyone who waited for it.
///
/// ```
/// use tower_webhooks_inbox::{InboxError, InboxErrorKind};
///
/// let error = InboxError::new(InboxErrorKind::Full, "the disk is full");
/// assert_eq!(error.kind(), InboxErrorKind::Full);
/// assert_eq!(error.to_string(), "the inbox is full");
/// ```
#[derive(Clone)]
pub struct InboxError(Arc<Inner>);

struct Inner {
    kind: InboxErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

/// What kind of failure it was; decides who is at fault and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// The inbox was closed; it takes nothing more.
    Closed,
    /// Something in the batch cannot be stored. The same batch fails again,
    /// its good parts alone succeed: the committer looks for them.
    Data,
    /// No room. Intake is refused until something is finished or pruned.
    Full,
    /// The store did not answer, or failed. Trying again later may help.
    Unavailable,
}

impl InboxError {
    /// An error of this kind with what the store said about it. That is logged,
    /// so it must not quote bodies or headers.
    #[must_use]
    pub fn new(kind: InboxErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            source: source.into(),
        }))
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> InboxErrorKind {
        self.0.kind
    }

    pub(crate) fn closed() -> Self {
        Self::new(InboxErrorKind::Closed, "the committer has stopped")
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            InboxErrorKind::Closed => "the inbox is closed",
            InboxErrorKind::Data => "the inbox cannot store this",
            InboxErrorKind::Full => "the inbox is full",
            InboxErrorKind::Unavailable => "the inbox is unavailable",
        })
    }
}

impl fmt::Debug for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxError")
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for InboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0.source)
    }
}
