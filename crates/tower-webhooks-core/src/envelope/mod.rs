//! Where an event's type, id, time and data lie in a delivery.
//!
//! ```
//! use tower_webhooks_core::provider::Envelope;
//!
//! // {"id":"evt_1","kind":"paid","payload":{…}}
//! let envelope = Envelope::new("/kind").with_id("/id").with_data("/payload");
//! assert_eq!(envelope.data(), "/payload");
//! ```

mod locator;
mod read;
#[cfg(test)]
mod tests;

use std::{fmt, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

pub use locator::{Locator, LocatorPart, Place};
use read::Plan;

use crate::{Text, provider::Mistake, timestamp::TimeUnit};

/// Where an event's type, id, time and data lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "EnvelopeData", into = "EnvelopeData")]
pub struct Envelope {
    data: EnvelopeData,
    plan: Plan,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeData {
    event_type: Locator,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Locator>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Locator>,
    #[serde(default = "rfc_3339")]
    time_unit: TimeUnit,
    /// A JSON pointer; the empty one is the whole body.
    #[serde(default)]
    data: String,
}

const fn rfc_3339() -> TimeUnit {
    TimeUnit::Rfc3339
}

impl Envelope {
    /// The event's type lies there; the whole body is its data, and it has no
    /// id. A string is a JSON pointer into the body.
    ///
    /// A place that cannot be one is found out by [`Provider::check`], which
    /// every set-up runs.
    ///
    /// [`Provider::check`]: crate::Provider::check
    #[must_use]
    pub fn new(event_type: impl Into<Locator>) -> Self {
        Self::from(EnvelopeData {
            event_type: event_type.into(),
            id: None,
            time: None,
            time_unit: rfc_3339(),
            data: String::new(),
        })
    }

    /// The event's id lies there.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Locator>) -> Self {
        self.data.id = Some(id.into());
        Self::from(self.data)
    }

    /// The time at which the event happened lies there, in RFC 3339.
    #[must_use]
    pub fn with_time(mut self, time: impl Into<Locator>) -> Self {
        self.data.time = Some(time.into());
        Self::from(self.data)
    }

    /// Replaces the form of the event's time. The default is RFC 3339.
    #[must_use]
    pub const fn with_time_unit(mut self, unit: TimeUnit) -> Self {
        self.data.time_unit = unit;
        self
    }

    /// The payload that handlers decode lies at this JSON pointer. The
    /// default is the whole body.
    #[must_use]
    pub fn with_data(mut self, pointer: impl Into<String>) -> Self {
        self.data.data = pointer.into();
        Self::from(self.data)
    }

    /// Where the type lies.
    #[must_use]
    pub const fn event_type(&self) -> &Locator {
        &self.data.event_type
    }

    /// Where the id lies, if there is one.
    #[must_use]
    pub const fn id(&self) -> Option<&Locator> {
        self.data.id.as_ref()
    }

    /// Where the time lies, if there is one.
    #[must_use]
    pub const fn time(&self) -> Option<&Locator> {
        self.data.time.as_ref()
    }

    /// Where the payload lies.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data.data
    }

    pub(crate) const fn mistake(&self) -> Option<&Mistake> {
        self.plan.mistake.as_ref()
    }

    pub(crate) fn read(&self, body: &Bytes, headers: &HeaderMap) -> Result<EventHead, Unusable> {
        read::read(&self.data, &self.plan, body, headers)
    }
}

impl From<EnvelopeData> for Envelope {
    fn from(data: EnvelopeData) -> Self {
        let plan = Plan::new(&data);
        Self { data, plan }
    }
}

impl From<Envelope> for EnvelopeData {
    fn from(envelope: Envelope) -> Self {
        envelope.data
    }
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for Envelope {}

/// What an envelope says of its event. Shares the memory of the body.
///
/// `Debug` prints the payload's length in place of the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct EventHead {
    event_type: Text,
    id: Option<Text>,
    occurred_at: Option<SystemTime>,
    data: Text,
}

impl EventHead {
    /// The event's type: 1 to 255 printable ASCII characters.
    #[must_use]
    pub const fn event_type(&self) -> &Text {
        &self.event_type
    }

    /// The provider's id for the event, if it sends one: 1 to 255 printable
    /// ASCII characters.
    #[must_use]
    pub const fn id(&self) -> Option<&Text> {
        self.id.as_ref()
    }

    /// When the event happened, as the provider says.
    #[must_use]
    pub const fn occurred_at(&self) -> Option<SystemTime> {
        self.occurred_at
    }

    /// The payload, as JSON text; `null` where the envelope has none.
    #[must_use]
    pub const fn data(&self) -> &Text {
        &self.data
    }
}

impl fmt::Debug for EventHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHead")
            .field("event_type", &self.event_type)
            .field("id", &self.id)
            .field("occurred_at", &self.occurred_at)
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// Why an authentic body cannot be used. Holds no part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A field of the envelope stands in the body twice: two readers could
    /// see two events.
    #[error("a field of the envelope stands in the body twice")]
    DuplicateField,
    /// The event id is not text of 1 to 255 printable ASCII characters.
    #[error("the event id is not 1 to 255 printable ASCII characters")]
    IdMalformed,
    /// The envelope has no id although this provider sends one.
    #[error("the envelope has no event id")]
    IdMissing,
    /// The body is JSON, but no object that could hold an envelope.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is not one JSON document in UTF-8.
    #[error("the body is not one JSON document")]
    NotJson,
    /// The event type is not text of 1 to 255 printable ASCII characters.
    #[error("the event type is not 1 to 255 printable ASCII characters")]
    TypeMalformed,
    /// The envelope names no event type.
    #[error("the envelope names no event type")]
    TypeMissing,
}

impl Unusable {
    /// The reason's name in the inbox and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateField => "duplicate-field",
            Self::IdMalformed => "id-malformed",
            Self::IdMissing => "id-missing",
            Self::NotAnObject => "not-an-object",
            Self::NotJson => "not-json",
            Self::TypeMalformed => "type-malformed",
            Self::TypeMissing => "type-missing",
        }
    }
}
