//! What came of a fault, and whether it is right.

use serde::Serialize;
use tower_webhooks_core::Provider;

use super::{Fault, wire::Reply};

/// A fault that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Played {
    /// Which.
    pub fault: Fault,
    /// What was sent and answered, in order.
    pub exchanges: Vec<Exchange>,
    /// Whether the answers are right.
    pub verdict: Verdict,
    /// How many effects a right receiver that answered so has afterwards;
    /// nothing where several are right.
    pub effects: Option<u32>,
}

/// One request of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exchange {
    /// What was sent, in words.
    pub sent: &'static str,
    /// What came back.
    pub reply: Reply,
}

/// Whether a receiver answered rightly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// This provider cannot send such a thing, and why.
    NotApplicable(&'static str),
    /// It did.
    Right,
    /// It did not; this is what would have been right.
    Wrong(&'static str),
}

impl Played {
    pub(super) fn not_applicable(fault: Fault, why: &'static str) -> Self {
        Self {
            fault,
            exchanges: Vec::new(),
            verdict: Verdict::NotApplicable(why),
            effects: None,
        }
    }

    pub(super) fn judged(provider: &Provider, fault: Fault, exchanges: Vec<Exchange>) -> Self {
        let verdict = if is_right(fault, &exchanges) {
            Verdict::Right
        } else {
            Verdict::Wrong(fault.expected())
        };
        Self {
            fault,
            verdict,
            effects: effects(provider, fault, &exchanges),
            exchanges,
        }
    }
}

fn is_right(fault: Fault, exchanges: &[Exchange]) -> bool {
    let last = last(exchanges);
    match fault {
        Fault::BodyChanged
        | Fault::MalformedSignature
        | Fault::MissingSignature
        | Fault::Oversize
        | Fault::StaleTimestamp
        | Fault::WrongSecret => is_refused(last),
        Fault::Chunked => is_accepted(last) || last == Reply::Status(411),
        Fault::ConcurrentDuplicate | Fault::Duplicate | Fault::Reorder => {
            exchanges.iter().all(|one| is_accepted(one.reply))
        }
        Fault::CutConnection => is_accepted(last),
        Fault::DuplicateKeys
        | Fault::Gzip
        | Fault::InvalidJson
        | Fault::UnsignedType
        | Fault::WrongContentType => is_accepted(last) || is_refused(last),
        Fault::SameIdOtherBody => {
            exchanges
                .first()
                .is_some_and(|first| is_accepted(first.reply))
                && (is_accepted(last) || is_refused(last))
        }
        Fault::SlowBody => is_accepted(last) || last == Reply::Status(408),
        // A connection that ends, and one that never answers, accept nothing.
        Fault::TruncatedBody => !is_accepted(last),
    }
}

fn effects(provider: &Provider, fault: Fault, exchanges: &[Exchange]) -> Option<u32> {
    match fault {
        Fault::BodyChanged
        | Fault::InvalidJson
        | Fault::MalformedSignature
        | Fault::MissingSignature
        | Fault::Oversize
        | Fault::StaleTimestamp
        | Fault::TruncatedBody
        | Fault::WrongSecret => Some(0),
        Fault::ConcurrentDuplicate | Fault::CutConnection | Fault::Duplicate => Some(1),
        // Under an id that the signature does not bind to the body, another body
        // may be an event of its own.
        Fault::SameIdOtherBody => provider.binds_id().then_some(1),
        Fault::Reorder => Some(2),
        // Of the type that is signed, or none.
        Fault::UnsignedType => Some(u32::from(is_accepted(last(exchanges)))),
        Fault::Chunked
        | Fault::DuplicateKeys
        | Fault::Gzip
        | Fault::SlowBody
        | Fault::WrongContentType => None,
    }
}

fn last(exchanges: &[Exchange]) -> Reply {
    exchanges.last().map_or(Reply::Closed, |last| last.reply)
}

const fn is_accepted(reply: Reply) -> bool {
    matches!(reply, Reply::Status(200..300))
}

const fn is_refused(reply: Reply) -> bool {
    matches!(reply, Reply::Status(400..500))
}
