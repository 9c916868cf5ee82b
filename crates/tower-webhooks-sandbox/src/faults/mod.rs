//! What providers, networks and strangers do to a receiver besides a plain
//! delivery: nineteen faults, played over a socket of their own, and what a right
//! receiver answers to each.
//!
//! * [`Fault`] names them; [`Fault::ALL`] is the list.
//! * [`FaultPlayer`] plays one and gives what was answered, with a verdict.
//!
//! A fault that a provider cannot send, such as a stale time where none is
//! signed, is [`Verdict::NotApplicable`] and says why. What HTTP alone cannot
//! show is not claimed: a receiver that runs a handler twice answers a duplicate
//! as well as one that does not. [`Played::effects`] says how many effects are
//! right, for those who can count.
//!
//! ```
//! use tower_webhooks_sandbox::faults::Fault;
//!
//! let fault: Fault = "stale-timestamp".parse()?;
//! assert_eq!(fault, Fault::StaleTimestamp);
//! assert_eq!(Fault::ALL.len(), 19);
//! # Ok::<(), tower_webhooks_sandbox::faults::UnknownFault>(())
//! ```

mod alter;
mod play;
mod verdict;
mod wire;

use std::{fmt, str::FromStr};

use serde::Serialize;

pub use play::{FaultError, FaultPlayer, Prepared};
pub use verdict::{Exchange, Played, Verdict};
pub use wire::Reply;

/// Something that goes wrong on the way to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The body was changed after signing.
    BodyChanged,
    /// The body comes in chunks, without a length.
    Chunked,
    /// One event twice, at the same time.
    ConcurrentDuplicate,
    /// The connection is cut in the body; then the event comes whole.
    CutConnection,
    /// One event twice, one after the other.
    Duplicate,
    /// The type stands in the body twice; what is signed is that body.
    DuplicateKeys,
    /// The body is compressed, and signed as it is sent.
    Gzip,
    /// The body is no JSON, and rightly signed.
    InvalidJson,
    /// The signature is in no encoding.
    MalformedSignature,
    /// What proves the request is not there.
    MissingSignature,
    /// The body is larger than anything that the provider sends.
    Oversize,
    /// Two events, the younger one first.
    Reorder,
    /// An id that is known, with another body.
    SameIdOtherBody,
    /// The body comes in small pieces, over more than a second.
    SlowBody,
    /// Rightly signed, a day ago.
    StaleTimestamp,
    /// The body ends before its declared length.
    TruncatedBody,
    /// A header that the signature does not cover names another type than the
    /// signed one.
    UnsignedType,
    /// Another media type than the provider's.
    WrongContentType,
    /// Signed with another secret.
    WrongSecret,
}

/// There is no fault of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault of that name")]
pub struct UnknownFault;

impl Fault {
    /// All of them, in the order in which they are best played: what leaves
    /// nothing behind comes first.
    pub const ALL: [Self; 19] = [
        Self::WrongSecret,
        Self::MissingSignature,
        Self::MalformedSignature,
        Self::BodyChanged,
        Self::StaleTimestamp,
        Self::Oversize,
        Self::TruncatedBody,
        Self::WrongContentType,
        Self::Gzip,
        Self::InvalidJson,
        Self::DuplicateKeys,
        Self::UnsignedType,
        Self::Chunked,
        Self::SlowBody,
        Self::CutConnection,
        Self::Duplicate,
        Self::ConcurrentDuplicate,
        Self::SameIdOtherBody,
        Self::Reorder,
    ];

    /// Its name: lower case with hyphens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BodyChanged => "body-changed",
            Self::Chunked => "chunked",
            Self::ConcurrentDuplicate => "concurrent-duplicate",
            Self::CutConnection => "cut-connection",
            Self::Duplicate => "duplicate",
            Self::DuplicateKeys => "duplicate-keys",
            Self::Gzip => "gzip",
            Self::InvalidJson => "invalid-json",
            Self::MalformedSignature => "malformed-signature",
            Self::MissingSignature => "missing-signature",
            Self::Oversize => "oversize",
            Self::Reorder => "reorder",
            Self::SameIdOtherBody => "same-id-other-body",
            Self::SlowBody => "slow-body",
            Self::StaleTimestamp => "stale-timestamp",
            Self::TruncatedBody => "truncated-body",
            Self::UnsignedType => "unsigned-type",
            Self::WrongContentType => "wrong-content-type",
            Self::WrongSecret => "wrong-secret",
        }
    }

    /// What a right receiver does, in words.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::BodyChanged
            | Self::MalformedSignature
            | Self::MissingSignature
            | Self::Oversize
            | Self::StaleTimestamp
            | Self::WrongSecret => "refuses it with a 4xx",
            Self::Chunked => "accepts it, or asks for a length with 411",
            Self::ConcurrentDuplicate | Self::Duplicate | Self::Reorder => "accepts both",
            Self::CutConnection => "accepts the whole one that follows",
            Self::DuplicateKeys | Self::InvalidJson => {
                "accepts or refuses it for good: a 5xx brings it back"
            }
            Self::Gzip | Self::UnsignedType | Self::WrongContentType => {
                "accepts it, or refuses it with a 4xx"
            }
            Self::SameIdOtherBody => "accepts or refuses the second for good, without a 5xx",
            Self::SlowBody => "accepts it, or answers 408",
            Self::TruncatedBody => "accepts nothing",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let mut all = Self::ALL.into_iter();
        all.find(|fault| fault.name() == name).ok_or(UnknownFault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_listed_once_and_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
            let json = serde_json::to_string(&fault).unwrap();
            assert_eq!(json, format!("\"{fault}\""));
            assert_eq!(Fault::ALL.iter().filter(|one| **one == fault).count(), 1);
        }
        assert_eq!("none".parse::<Fault>(), Err(UnknownFault));
    }
}
