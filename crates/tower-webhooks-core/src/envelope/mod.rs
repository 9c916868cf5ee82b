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

use serde::{Deserialize, Serialize};

pub use locator::{Locator, LocatorPart, Place};
use read::Plan;
pub(crate) use read::{Reading, surroundings};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordering_key: Option<Locator>,
    /// A JSON pointer; the empty one is the whole body.
    #[serde(default)]
    data: String,
    #[serde(default)]
    format: BodyFormat,
    /// A JSON pointer that ends in `/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`. Its fields are read as those of a
    /// JSON object of text; a name that stands there several times has a list.
    Form,
    /// One JSON document. The default, since nearly every provider sends it.
    #[default]
    Json,
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
            ordering_key: None,
            data: String::new(),
            format: BodyFormat::Json,
            batch: None,
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

    /// What handlers may order an event's jobs by, such as an account, lies
    /// there: in one or several fields of the body, which the signature must
    /// cover. Default none.
    ///
    /// A key is like an id: text of 1 to 255 printable ASCII characters, or a
    /// whole number. **An event in which it is missing, or something else, has
    /// no key, and its jobs wait for no others.**
    #[must_use]
    pub fn with_ordering_key(mut self, key: impl Into<Locator>) -> Self {
        self.data.ordering_key = Some(key.into());
        Self::from(self.data)
    }

    /// The payload that handlers decode lies at this JSON pointer. The
    /// default is the whole body.
    #[must_use]
    pub fn with_data(mut self, pointer: impl Into<String>) -> Self {
        self.data.data = pointer.into();
        Self::from(self.data)
    }

    /// Replaces how the body is written. The default is JSON.
    #[must_use]
    pub const fn with_format(mut self, format: BodyFormat) -> Self {
        self.data.format = format;
        self
    }

    /// A delivery holds several events: the elements of the list that this JSON
    /// pointer names, which ends in `/*`. The other places point into one
    /// element with the same beginning, and into what surrounds the list
    /// without it. An id must be each event's own; without one its SHA-256 stands in.
    ///
    /// ```
    /// use tower_webhooks_core::provider::Envelope;
    ///
    /// // {"sender":"acme","events":[{"kind":"paid","id":"1"},…]}
    /// let envelope = Envelope::new("/events/*/kind")
    ///     .with_id("/events/*/id")
    ///     .with_data("/events/*")
    ///     .with_batch("/events/*");
    /// assert!(envelope.is_batch());
    /// ```
    #[must_use]
    pub fn with_batch(mut self, pointer: impl Into<String>) -> Self {
        self.data.batch = Some(pointer.into());
        Self::from(self.data)
    }

    /// How the body is written.
    #[must_use]
    pub const fn format(&self) -> BodyFormat {
        self.data.format
    }

    /// Whether a delivery holds several events.
    #[must_use]
    pub const fn is_batch(&self) -> bool {
        self.data.batch.is_some()
    }

    /// The list whose elements are the events, where a delivery holds several: a
    /// JSON pointer that ends in `/*`.
    #[must_use]
    pub fn batch(&self) -> Option<&str> {
        self.data.batch.as_deref()
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

    /// Where the ordering key lies, if there is one.
    #[must_use]
    pub const fn ordering_key(&self) -> Option<&Locator> {
        self.data.ordering_key.as_ref()
    }

    /// Where the payload lies.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data.data
    }

    pub(crate) const fn mistake(&self) -> Option<&Mistake> {
        self.plan.mistake.as_ref()
    }

    pub(crate) fn read(&self, reading: &Reading<'_>) -> Result<EventHead, Unusable> {
        read::read(&self.data, &self.plan, reading)
    }

    pub(crate) fn split(&self, reading: &Reading<'_>) -> Result<Vec<Item>, Unusable> {
        read::split(&self.data, &self.plan, reading)
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
    ordering_key: Option<Text>,
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

    /// What the event's jobs may be ordered by, where the envelope says where
    /// that lies and it is there: 1 to 255 printable ASCII characters.
    #[must_use]
    pub const fn ordering_key(&self) -> Option<&Text> {
        self.ordering_key.as_ref()
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
            .field("ordering_key", &self.ordering_key)
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// One of the events of a delivery.
///
/// `Debug` prints the length of its JSON in place of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    index: usize,
    id: Text,
    event: Result<EventHead, Unusable>,
    json: Text,
    sha256: [u8; 32],
}

impl Item {
    /// Its place in the delivery, counted from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// What a redelivery of the same event has too: the provider's id, or the
    /// SHA-256 of the event's own bytes in hexadecimal, with `-2` behind it for
    /// the second of two equal ones in one delivery.
    #[must_use]
    pub const fn id(&self) -> &Text {
        &self.id
    }

    /// What its envelope says.
    ///
    /// # Errors
    ///
    /// [`Unusable`] when this event cannot be used; the others of its delivery
    /// still can.
    pub fn event(&self) -> Result<&EventHead, Unusable> {
        self.event.as_ref().map_err(|reason| *reason)
    }

    /// A SHA-256 that a redelivery of the same event has too, whatever else comes
    /// with it: of the event's own bytes, or for the second and later of equal ones
    /// without an id, of its [id](Self::id).
    #[must_use]
    pub const fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The event's own part of the body.
    #[must_use]
    pub const fn json(&self) -> &Text {
        &self.json
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("index", &self.index)
            .field("id", &self.id)
            .field("event", &self.event)
            .field("json_bytes", &self.json.len())
            .finish()
    }
}

/// Why an authentic body cannot be used. Holds no part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The body holds several events: ask for its
    /// [items](crate::Delivery::items).
    #[error("the body holds several events")]
    Batch,
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
    /// The body is not a form in UTF-8 of at most 1,000 fields.
    #[error("the body is not a form")]
    NotAForm,
    /// The body has no list where its events should lie.
    #[error("the body has no list of events")]
    NotAList,
    /// The body could not be inflated: its coding is not declared, it is not one
    /// whole stream, or it becomes too large.
    #[error("the body cannot be inflated")]
    NotInflated,
    /// The body is JSON, but no object that could hold an envelope.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is not one JSON document in UTF-8.
    #[error("the body is not one JSON document")]
    NotJson,
    /// The body holds more than 10,000 events, or so many that what surrounds them,
    /// kept with each, would be more than 8 MiB.
    #[error("the body holds more events than can be kept one by one")]
    TooManyItems,
    /// The event type is not text of 1 to 255 printable ASCII characters.
    #[error("the event type is not 1 to 255 printable ASCII characters")]
    TypeMalformed,
    /// The envelope names no event type.
    #[error("the envelope names no event type")]
    TypeMissing,
    /// The body could not be decrypted. Why not is not said.
    #[error("the body cannot be decrypted")]
    Undecryptable,
}

impl Unusable {
    /// The reason's name in the inbox and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::DuplicateField => "duplicate-field",
            Self::IdMalformed => "id-malformed",
            Self::IdMissing => "id-missing",
            Self::NotAForm => "not-a-form",
            Self::NotAList => "not-a-list",
            Self::NotAnObject => "not-an-object",
            Self::NotInflated => "not-inflated",
            Self::NotJson => "not-json",
            Self::TooManyItems => "too-many-items",
            Self::TypeMalformed => "type-malformed",
            Self::TypeMissing => "type-missing",
            Self::Undecryptable => "undecryptable",
        }
    }
}
