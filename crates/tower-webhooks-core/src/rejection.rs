//! Why a request was refused.

use std::fmt;

/// Why a request was refused: a closed set, fit to be a metric's label.
///
/// The sender never learns it. It is left in the response's extensions, in
/// metrics and in traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The body ended before its declared or framed end.
    BodyIncomplete,
    /// The body did not arrive within the deadline.
    BodyTimeout,
    /// The body is larger than the limit, as declared or as received.
    BodyTooLarge,
    /// The body has a `Content-Encoding` that the provider does not declare.
    ContentEncodingUnsupported,
    /// The receiver is shutting down.
    Draining,
    /// The framing of the message is ambiguous: `Transfer-Encoding` beside
    /// `Content-Length`, or a transfer coding other than `chunked`.
    FramingAmbiguous,
    /// The inbox is away, full or refused to commit.
    InboxUnavailable,
    /// The method is not one that the provider uses.
    MethodNotAllowed,
    /// Too many body bytes are in flight or queued.
    Overloaded,
    /// The lookup of the tenant's secrets failed or took too long.
    SecretLookupFailed,
    /// The signature header cannot be a signature: wrong prefix, encoding,
    /// length or number of entries.
    SignatureMalformed,
    /// A well-formed signature that no configured secret explains.
    SignatureMismatch,
    /// The signature header, or a header that is part of what is signed, is
    /// absent.
    SignatureMissing,
    /// The signature header, or a header that is part of what is signed,
    /// stands in the request more than once.
    SignatureRepeated,
    /// No tenant belongs to the request.
    TenantUnknown,
    /// The signed timestamp is further in the future than the tolerance.
    TimestampFuture,
    /// The signed timestamp is not in the provider's form.
    TimestampMalformed,
    /// The signed timestamp is absent.
    TimestampMissing,
    /// The signed timestamp is older than the tolerance.
    TimestampStale,
}

impl RejectionKind {
    /// Every kind, in the order of their names.
    pub const ALL: &'static [Self] = &[
        Self::BodyIncomplete,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::ContentEncodingUnsupported,
        Self::Draining,
        Self::FramingAmbiguous,
        Self::InboxUnavailable,
        Self::MethodNotAllowed,
        Self::Overloaded,
        Self::SecretLookupFailed,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::SignatureMissing,
        Self::SignatureRepeated,
        Self::TenantUnknown,
        Self::TimestampFuture,
        Self::TimestampMalformed,
        Self::TimestampMissing,
        Self::TimestampStale,
    ];

    /// The kind's name in metrics, logs and the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyIncomplete => "body-incomplete",
            Self::BodyTimeout => "body-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::ContentEncodingUnsupported => "content-encoding-unsupported",
            Self::Draining => "draining",
            Self::FramingAmbiguous => "framing-ambiguous",
            Self::InboxUnavailable => "inbox-unavailable",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Overloaded => "overloaded",
            Self::SecretLookupFailed => "secret-lookup-failed",
            Self::SignatureMalformed => "signature-malformed",
            Self::SignatureMismatch => "signature-mismatch",
            Self::SignatureMissing => "signature-missing",
            Self::SignatureRepeated => "signature-repeated",
            Self::TenantUnknown => "tenant-unknown",
            Self::TimestampFuture => "timestamp-future",
            Self::TimestampMalformed => "timestamp-malformed",
            Self::TimestampMissing => "timestamp-missing",
            Self::TimestampStale => "timestamp-stale",
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused request. Holds a kind and nothing that came from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("webhook refused: {kind}")]
pub struct Rejection {
    kind: RejectionKind,
}

impl Rejection {
    /// Why the request was refused.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self { kind }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: HashSet<_> = RejectionKind::ALL
            .iter()
            .map(|kind| kind.as_str())
            .collect();
        assert_eq!(names.len(), RejectionKind::ALL.len());
    }
}
