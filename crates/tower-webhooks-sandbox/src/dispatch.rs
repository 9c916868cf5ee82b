//! What was sent, attempt by attempt.

use std::time::Duration;

use serde::Serialize;
use tower_webhooks_core::Text;

/// One event on its way to one registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dispatch {
    /// Its id, `dsp_…`.
    pub id: String,
    /// The provider's name.
    pub provider: Text,
    /// The registration's id.
    pub registration: String,
    /// Where it goes.
    pub url: String,
    /// The event's type.
    pub event_type: Text,
    /// The event's id, where the provider has ids.
    pub event_id: Option<Text>,
    /// How it stands.
    pub state: State,
    /// What was tried, in order: the last 1,000.
    pub attempts: Vec<Attempt>,
}

/// How a dispatch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Its registration was deleted or is not active: no more is sent.
    Cancelled,
    /// The receiver accepted it.
    Delivered,
    /// No attempt was accepted, and no more follow. That the event is then
    /// marked as failed is documented by Monterrey, and ours for the others.
    Failed,
    /// Further attempts follow.
    Pending,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, in RFC 3339.
    pub at: String,
    /// When it began, from the dispatch's beginning.
    #[serde(rename = "after_ms", serialize_with = "milliseconds")]
    pub after: Duration,
    /// How long it took.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
    /// Whether it was asked for by hand.
    pub by_hand: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// The beginning of its body, at most 4 KiB.
        body: String,
    },
    /// No connection, or none until the answer's end.
    Broken(String),
    /// Nothing was sent, and why not.
    NotSent(String),
    /// No whole answer within the deadline.
    TimedOut,
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
