//! What a provider sends and expects, besides signatures.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::{
    Text,
    data::{header_name, milliseconds, optional_seconds, whole_seconds},
};

/// What a provider is answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Answers {
    /// To an event that is stored, new or known.
    pub acknowledge: Answer,
    /// The body of every 401. One constant body for all of them, so that the
    /// sender learns nothing from it; its status is not used.
    pub refuse: Answer,
}

impl Answers {
    /// Both answers.
    #[must_use]
    pub const fn new(acknowledge: Answer, refuse: Answer) -> Self {
        Self {
            acknowledge,
            refuse,
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body's media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Text>,
    /// The body.
    pub body: Text,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            content_type: None,
            body: Text::default(),
        }
    }
}

impl Answer {
    /// A plain text answer.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Text>) -> Self {
        Self {
            status,
            content_type: Some(Text::from_static("text/plain; charset=utf-8")),
            body: body.into(),
        }
    }

    /// A JSON answer; the text is sent as it is.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Text>) -> Self {
        Self {
            status,
            content_type: Some(Text::from_static("application/json")),
            body: body.into(),
        }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }
}

/// How a provider retries a delivery that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retries {
    /// The waits between one attempt and the next, in whole seconds. Empty
    /// where they are not known.
    #[serde(rename = "delays_seconds", with = "whole_seconds")]
    pub delays: Vec<Duration>,
    /// How long it goes on trying, in whole seconds, where only that is known of
    /// the schedule; 0 where it does not try again by itself.
    #[serde(
        rename = "lasts_seconds",
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub lasts: Option<Duration>,
    /// How long the provider waits for an answer, in whole seconds.
    #[serde(
        rename = "deadline_seconds",
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
    /// Whether a redelivery is dated and signed anew.
    pub signed_anew: SignedAnew,
    /// What follows the last attempt, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub afterwards: Option<Text>,
}

impl Retries {
    /// A known schedule: the waits between attempts.
    #[must_use]
    pub fn after(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self {
            delays: delays.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A schedule of which only is known how long it lasts.
    #[must_use]
    pub fn within(lasts: Duration) -> Self {
        Self {
            lasts: Some(lasts),
            ..Self::default()
        }
    }

    /// No retries by itself: whoever missed a delivery asks for it again.
    #[must_use]
    pub fn none() -> Self {
        Self::within(Duration::ZERO)
    }

    /// Sets how long the provider waits for an answer.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Says whether redeliveries are signed anew.
    #[must_use]
    pub const fn with_signed_anew(mut self, signed_anew: SignedAnew) -> Self {
        self.signed_anew = signed_anew;
        self
    }

    /// Says what follows the last attempt.
    #[must_use]
    pub fn with_afterwards(mut self, afterwards: impl Into<Text>) -> Self {
        self.afterwards = Some(afterwards.into());
        self
    }

    /// From the first attempt to the end of the last; nothing where the
    /// schedule is not known.
    #[must_use]
    pub fn span(&self) -> Option<Duration> {
        if self.delays.is_empty() {
            let last = self.deadline.unwrap_or_default();
            return self.lasts.map(|lasts| lasts.saturating_add(last));
        }
        let attempts = u32::try_from(self.delays.len()).ok()?.checked_add(1)?;
        let waiting = self.deadline.unwrap_or_default();
        self.delays
            .iter()
            .try_fold(waiting.checked_mul(attempts)?, |sum, delay| {
                sum.checked_add(*delay)
            })
    }
}

/// Whether a redelivery carries a new timestamp and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedAnew {
    /// It repeats the first one: a tolerance shorter than the retry span
    /// refuses the later attempts.
    No,
    /// Not documented.
    #[default]
    Unknown,
    /// It is dated and signed anew.
    Yes,
}

/// The event types of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Events {
    /// Whether the provider says that there are no others. A handler for a
    /// type outside a complete list is a set-up mistake; outside an open one
    /// it is worth a warning.
    pub complete: bool,
    /// The types that are known.
    pub list: Vec<EventInfo>,
}

impl Events {
    /// A list that may have gaps.
    #[must_use]
    pub fn open(list: impl IntoIterator<Item = EventInfo>) -> Self {
        Self {
            complete: false,
            list: list.into_iter().collect(),
        }
    }

    /// A list that the provider calls complete.
    #[must_use]
    pub fn complete(list: impl IntoIterator<Item = EventInfo>) -> Self {
        Self {
            complete: true,
            list: list.into_iter().collect(),
        }
    }

    /// What is known of a type.
    #[must_use]
    pub fn find(&self, event_type: &str) -> Option<&EventInfo> {
        self.list.iter().find(|event| event.name == event_type)
    }
}

/// One event type of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventInfo {
    /// The type, as handlers are registered for it.
    pub name: Text,
    /// A whole body of this type, made up from documented fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Text>,
}

impl EventInfo {
    /// A type with a sample body.
    #[must_use]
    pub fn new(name: impl Into<Text>, sample: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            sample: Some(sample.into()),
        }
    }
}

/// Events that want their answer decided on the spot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ReplyRule {
    /// The event type.
    pub event_type: Text,
    /// How long the provider waits for the decision, in whole milliseconds.
    #[serde(rename = "budget_ms", with = "milliseconds")]
    pub budget: Duration,
}

impl ReplyRule {
    /// A decision on events of that type within that time.
    #[must_use]
    pub fn new(event_type: impl Into<Text>, budget: Duration) -> Self {
        Self {
            event_type: event_type.into(),
            budget,
        }
    }
}

/// A header that is sent besides the signature and not covered by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AlsoSent {
    /// The header's name.
    #[serde(with = "header_name")]
    pub header: HeaderName,
    /// Its value.
    pub value: SentValue,
}

impl AlsoSent {
    /// A header and its value.
    #[must_use]
    pub const fn new(header: HeaderName, value: SentValue) -> Self {
        Self { header, value }
    }
}

/// The value of a header that is sent besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SentValue {
    /// The event's type.
    EventType,
    /// The time of sending, in milliseconds since 1970.
    Milliseconds,
    /// The time of sending, in seconds since 1970.
    Seconds,
}
