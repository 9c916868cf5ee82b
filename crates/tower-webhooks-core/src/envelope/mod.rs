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
mod redelivered;
#[cfg(test)]
mod tests;
mod unusable;

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

pub use locator::{Locator, LocatorPart, Place};
use read::Plan;
pub(crate) use read::{Reading, surroundings};
pub use unusable::Unusable;

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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    id_optional: bool,
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
    /// The field of a form that may hold the JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form_field: Option<String>,
    /// A JSON pointer that ends in `/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    /// JSON pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changing_fields: Vec<String>,
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
            id_optional: false,
            time: None,
            time_unit: rfc_3339(),
            ordering_key: None,
            data: String::new(),
            format: BodyFormat::Json,
            form_field: None,
            batch: None,
            changing_fields: Vec::new(),
        })
    }

    /// The event's id lies there. An event without one is unusable.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Locator>) -> Self {
        self.data.id = Some(id.into());
        self.data.id_optional = false;
        Self::from(self.data)
    }

    /// The event's id lies there, and some kinds of events have none: of these the
    /// body's SHA-256 stands in, as where no id is named at all.
    #[must_use]
    pub fn with_optional_id(mut self, id: impl Into<Locator>) -> Self {
        self.data.id = Some(id.into());
        self.data.id_optional = true;
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

    /// A JSON document may also come as the value of this field of a form, as
    /// GitHub's does where its webhook is set to that. The body tells which it is,
    /// since it is signed and a header is not: JSON begins with a brace or a bracket.
    /// The field must stand there once; other fields are passed over. Default none.
    #[must_use]
    pub fn with_form_field(mut self, name: impl Into<String>) -> Self {
        self.data.form_field = Some(name.into());
        Self::from(self.data)
    }

    /// Redeliveries change the values at these JSON pointers, such as a count of
    /// attempts: under a known id a body that differs there alone is a duplicate, and
    /// no conflict; where events have no id, such bodies are one event. One that is absent once
    /// and there the next time makes another body. Default none.
    /// In a batch they point into one element.
    ///
    /// The signature still covers every byte. What the handlers see is what came
    /// first. A value is cut out of the bytes of a JSON body and nothing else is
    /// changed, so that another order of fields, or white space, is another body. **A
    /// body in which one of them stands twice is compared as a whole**, and so is a
    /// JSON document that came in a form.
    ///
    /// ```
    /// use tower_webhooks_core::provider::Envelope;
    ///
    /// // {"id":"evt_1","type":"paid","data":{…},"attempt":2}
    /// let envelope = Envelope::new("/type")
    ///     .with_id("/id")
    ///     .with_changing_fields(["/attempt"]);
    /// assert_eq!(envelope.changing_fields(), ["/attempt"]);
    /// ```
    #[must_use]
    pub fn with_changing_fields<P: Into<String>>(
        mut self,
        pointers: impl IntoIterator<Item = P>,
    ) -> Self {
        self.data.changing_fields = pointers.into_iter().map(Into::into).collect();
        Self::from(self.data)
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

    /// The field of a form that may hold the JSON document.
    #[must_use]
    pub fn form_field(&self) -> Option<&str> {
        self.data.form_field.as_deref()
    }

    /// The JSON pointers to what redeliveries change.
    #[must_use]
    pub fn changing_fields(&self) -> &[String] {
        &self.data.changing_fields
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

    /// Whether some kinds of events have no id.
    #[must_use]
    pub const fn is_id_optional(&self) -> bool {
        self.data.id_optional
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

    /// The SHA-256 of a body without what redeliveries change, where it is there.
    pub(crate) fn sha256_of_lasting(&self, body: &[u8]) -> Option<[u8; 32]> {
        if self.is_batch() || self.data.changing_fields.is_empty() {
            return None;
        }
        let json = std::str::from_utf8(body).ok()?;
        redelivered::sha256_without(&self.plan.changing, json)
    }

    /// Whether this body is read as a form.
    pub(crate) fn reads_form(&self, body: &[u8]) -> bool {
        read::form_of(&self.data, body).is_some()
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
    /// [SHA-256](Self::sha256) of the event's own bytes in hexadecimal, with `-2` behind it for
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
    /// with it: of the event's own bytes without what
    /// [redeliveries change](Envelope::with_changing_fields), or for the second and later of equal ones
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
