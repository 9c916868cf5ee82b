//! The description of one provider.

use std::time::Duration;

use http::{HeaderName, header};
use serde::{Deserialize, Serialize};

use super::{
    AlsoSent, Answers, Compression, Encryption, Envelope, Events, Handshake, Locator,
    PayloadSecret, Place, ProviderError, ReplyRule, Retries, Scheme, SignedTimestamp,
};
use crate::{Rejection, Screened, Text};

/// Who sends: how it signs, how its events are shaped, how it retries, and
/// what it wants answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ProviderData", into = "ProviderData")]
pub struct Provider(ProviderData);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderData {
    name: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Text>,
    scheme: Scheme,
    envelope: Envelope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption: Option<Encryption>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compression: Option<Compression>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    handshakes: Vec<Handshake>,
    #[serde(default)]
    answers: Answers,
    #[serde(default)]
    retries: Retries,
    #[serde(default)]
    events: Events,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replies: Vec<ReplyRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_body_bytes: Option<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    types_share_bodies: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_sent: Vec<AlsoSent>,
    /// What its signature does not cover, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    not_covered: Vec<Text>,
    /// Which of these values its documents leave open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    assumptions: Vec<Text>,
}

/// How long deduplication by the body's hash lasts where a provider's retry
/// span is not known. Three days: the longest span that the providers whose
/// schedules are public commonly use.
const UNKNOWN_RETRY_SPAN: Duration = Duration::from_secs(72 * 60 * 60);

impl Provider {
    /// A provider of that name (lower case with hyphens), scheme and
    /// envelope; everything else at its default.
    #[must_use]
    pub fn new(name: impl Into<Text>, scheme: Scheme, envelope: Envelope) -> Self {
        Self(ProviderData {
            name: name.into(),
            title: None,
            source: None,
            scheme,
            envelope,
            encryption: None,
            compression: None,
            handshakes: Vec::new(),
            answers: Answers::default(),
            retries: Retries::default(),
            events: Events::default(),
            replies: Vec::new(),
            max_body_bytes: None,
            types_share_bodies: false,
            also_sent: Vec::new(),
            not_covered: Vec::new(),
            assumptions: Vec::new(),
        })
    }

    /// Names the provider as it writes itself. The default is its name.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<Text>) -> Self {
        self.0.title = Some(title.into());
        self
    }

    /// Cites where the description was read, and on which day.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Text>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Replaces how it authenticates its requests.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.0.scheme = scheme;
        self
    }

    /// Replaces how its events are shaped.
    #[must_use]
    pub fn with_envelope(mut self, envelope: Envelope) -> Self {
        self.0.envelope = envelope;
        self
    }

    /// Says where its events name what handlers may order jobs by, such as an
    /// account: see [`Envelope::with_ordering_key`]. The default is nowhere.
    #[must_use]
    pub fn with_ordering_key(mut self, key: impl Into<Locator>) -> Self {
        self.0.envelope = self.0.envelope.with_ordering_key(key);
        self
    }

    /// Says which fields of the body its redeliveries change: see
    /// [`Envelope::with_changing_fields`]. The default is none.
    #[must_use]
    pub fn with_changing_fields<P: Into<String>>(
        mut self,
        pointers: impl IntoIterator<Item = P>,
    ) -> Self {
        self.0.envelope = self.0.envelope.with_changing_fields(pointers);
        self
    }

    /// Says how its payloads are encrypted. The default is not at all.
    #[must_use]
    pub fn with_encryption(mut self, encryption: Encryption) -> Self {
        self.0.encryption = Some(encryption);
        self
    }

    /// As it would be if it encrypted nothing: what reads a payload before it is
    /// sealed.
    #[must_use]
    pub fn without_encryption(mut self) -> Self {
        self.0.encryption = None;
        self
    }

    /// Says how its bodies may be compressed. The default is not at all.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.0.compression = Some(compression);
        self
    }

    /// Says how it makes sure that a receiver is there. The default is not at
    /// all.
    #[must_use]
    pub fn with_handshakes(mut self, handshakes: impl IntoIterator<Item = Handshake>) -> Self {
        self.0.handshakes = handshakes.into_iter().collect();
        self
    }

    /// Replaces what it is answered. The default is an empty 200, and an empty
    /// 401.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        self.0.answers = answers;
        self
    }

    /// Replaces how it retries. The default is unknown.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.0.retries = retries;
        self
    }

    /// Replaces its event types. The default is an open, empty list.
    #[must_use]
    pub fn with_events(mut self, events: Events) -> Self {
        self.0.events = events;
        self
    }

    /// Names events that want an answer decided on the spot.
    #[must_use]
    pub fn with_replies(mut self, replies: impl IntoIterator<Item = ReplyRule>) -> Self {
        self.0.replies = replies.into_iter().collect();
        self
    }

    /// Sets a size limit of its own, in bytes. The default is the endpoint's.
    #[must_use]
    pub const fn with_max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.0.max_body_bytes = Some(max_body_bytes);
        self
    }

    /// Says that it sends one body under several types, told apart by a header alone:
    /// an order that is made and paid at once. By default a body is one event,
    /// whatever a header says that the signature does not cover: otherwise whoever
    /// captured a delivery has handlers run for every type that he makes up.
    #[must_use]
    pub const fn with_types_sharing_bodies(mut self) -> Self {
        self.0.types_share_bodies = true;
        self
    }

    /// Names the headers that it sends besides and does not sign. They are
    /// never trusted; a sender's side adds them to look like the provider.
    #[must_use]
    pub fn with_also_sent(mut self, also_sent: impl IntoIterator<Item = AlsoSent>) -> Self {
        self.0.also_sent = also_sent.into_iter().collect();
        self
    }

    /// Says what its signature does not cover.
    #[must_use]
    pub fn with_not_covered<T: Into<Text>>(
        mut self,
        not_covered: impl IntoIterator<Item = T>,
    ) -> Self {
        self.0.not_covered = not_covered.into_iter().map(Into::into).collect();
        self
    }

    /// Says which of these values its documents leave open, and what was
    /// assumed instead.
    #[must_use]
    pub fn with_assumptions<T: Into<Text>>(
        mut self,
        assumptions: impl IntoIterator<Item = T>,
    ) -> Self {
        self.0.assumptions = assumptions.into_iter().map(Into::into).collect();
        self
    }

    /// Its name: lower case with hyphens.
    #[must_use]
    pub const fn name(&self) -> &Text {
        &self.0.name
    }

    /// Its name as it writes itself.
    #[must_use]
    pub fn title(&self) -> &Text {
        self.0.title.as_ref().unwrap_or(&self.0.name)
    }

    /// Where the description was read, and on which day.
    #[must_use]
    pub const fn source(&self) -> Option<&Text> {
        self.0.source.as_ref()
    }

    /// How it authenticates its requests.
    #[must_use]
    pub const fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    /// How its events are shaped.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// How its payloads are encrypted.
    #[must_use]
    pub const fn encryption(&self) -> Option<&Encryption> {
        self.0.encryption.as_ref()
    }

    /// How its bodies may be compressed.
    #[must_use]
    pub const fn compression(&self) -> Option<&Compression> {
        self.0.compression.as_ref()
    }

    /// How it makes sure that a receiver is there.
    #[must_use]
    pub fn handshakes(&self) -> &[Handshake] {
        &self.0.handshakes
    }

    /// Whether its payloads are opened by a secret of their own.
    #[must_use]
    pub fn needs_payload_secrets(&self) -> bool {
        self.encryption()
            .is_some_and(|encryption| encryption.secret() == PayloadSecret::Own)
    }

    /// What it is answered.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// How it retries.
    #[must_use]
    pub const fn retries(&self) -> &Retries {
        &self.0.retries
    }

    /// Its event types.
    #[must_use]
    pub const fn events(&self) -> &Events {
        &self.0.events
    }

    /// The events that want an answer decided on the spot.
    #[must_use]
    pub fn replies(&self) -> &[ReplyRule] {
        &self.0.replies
    }

    /// Its own size limit, in bytes.
    #[must_use]
    pub const fn max_body_bytes(&self) -> Option<usize> {
        self.0.max_body_bytes
    }

    /// The headers that it sends besides and does not sign.
    #[must_use]
    pub fn also_sent(&self) -> &[AlsoSent] {
        &self.0.also_sent
    }

    /// What its signature does not cover, in words.
    #[must_use]
    pub fn not_covered(&self) -> &[Text] {
        &self.0.not_covered
    }

    /// What its documents leave open, and what is assumed instead.
    #[must_use]
    pub fn assumptions(&self) -> &[Text] {
        &self.0.assumptions
    }

    /// How long a redelivery of one event may come after the first: the whole
    /// retry schedule with its time-outs, or 72 h where it is not known.
    #[must_use]
    pub fn retry_span(&self) -> Duration {
        self.0.retries.span().unwrap_or(UNKNOWN_RETRY_SPAN)
    }

    /// How long an equal body counts as the same event where no signed id says so:
    /// the retry schedule and half of it, since retries come late, or at least 72 h
    /// where its single waits are not known; and as long as a captured request stays
    /// fresh, or at least 72 h where no time is signed.
    #[must_use]
    pub fn dedup_span(&self) -> Duration {
        let span = self.retry_span();
        let late = span.checked_div(2).unwrap_or_default();
        let span = if self.0.retries.delays.is_empty() {
            span.max(UNKNOWN_RETRY_SPAN)
        } else {
            span.saturating_add(late)
        };
        let timestamp = self.0.scheme.timestamp();
        let tolerance = timestamp.and_then(SignedTimestamp::tolerance);
        let fresh = tolerance.map_or(UNKNOWN_RETRY_SPAN, |it| it.saturating_mul(2));
        span.max(fresh)
    }

    /// Whether the event's type comes from a header that the signature does
    /// not cover: whoever captured a request can send it as another event.
    #[must_use]
    pub fn has_type_in_unsigned_header(&self) -> bool {
        self.0
            .envelope
            .event_type()
            .places()
            .any(|place| matches!(place, Place::Header(name) if !self.0.scheme.covers_header(name)))
    }

    /// Whether an equal body is another event where an unsigned header names another
    /// type: see [`with_types_sharing_bodies`](Self::with_types_sharing_bodies).
    #[must_use]
    pub fn tells_bodies_apart_by_type(&self) -> bool {
        self.0.types_share_bodies && self.has_type_in_unsigned_header()
    }

    /// Whether the event's id is covered by the signature. One that is not can
    /// be changed by whoever replays a captured request.
    #[must_use]
    pub fn signs_id(&self) -> bool {
        self.0
            .envelope
            .id()
            .is_some_and(|locator| self.signs(locator))
    }

    /// Whether a request cannot come again under another id: the signature covers
    /// the id, or it is read from the body alone, so that another id makes another
    /// body, but for a form that is signed as one row. With a shared token that is all there is: whoever has seen the token
    /// can write any body.
    #[must_use]
    pub fn binds_id(&self) -> bool {
        self.0
            .envelope
            .id()
            .is_some_and(|locator| self.signs(locator) || self.is_of_body(locator))
    }

    fn is_of_body(&self, locator: &Locator) -> bool {
        locator.places().all(|place| match place {
            Place::EventType => self.is_of_body(self.0.envelope.event_type()),
            Place::Header(_) => false,
            Place::NameBeside(_) | Place::Pointer(_) => !self.0.scheme.signs_row(),
        })
    }

    /// Whether the event's type is covered by the signature.
    #[must_use]
    pub fn signs_type(&self) -> bool {
        self.signs(self.0.envelope.event_type())
    }

    fn signs(&self, locator: &Locator) -> bool {
        locator.places().all(|place| match place {
            Place::EventType => self.signs(self.0.envelope.event_type()),
            Place::Header(name) => self.0.scheme.covers_header(name),
            Place::NameBeside(_) => self.0.scheme.covers_body(),
            // Of one event among several only its own bytes count.
            Place::Pointer(pointer) => self.0.scheme.covers_field(pointer),
        })
    }

    /// Whether a header holds a signature, a token or another credential: none
    /// of them is kept with a delivery. By its name too: some send an older signature
    /// beside the one that is checked, as GitHub's `x-hub-signature`.
    #[must_use]
    pub fn is_credential(&self, name: &HeaderName) -> bool {
        const CREDENTIALS: [HeaderName; 3] = [
            header::AUTHORIZATION,
            header::COOKIE,
            header::PROXY_AUTHORIZATION,
        ];
        const WORDS: [&str; 2] = ["hmac", "signature"];
        self.0.scheme.header() == Some(name)
            || CREDENTIALS.contains(name)
            || WORDS.iter().any(|word| name.as_str().contains(word))
    }

    /// Refuses a request that cannot be authentic, by its headers alone.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] when the signature header is absent, repeated or
    /// cannot be a signature, or when the signed timestamp is not fresh.
    pub fn screen(
        &self,
        headers: &http::HeaderMap,
        now: std::time::SystemTime,
    ) -> Result<Screened, Rejection> {
        self.0.scheme.screen(headers, now)
    }

    /// Replaces the tolerance of the signed timestamp, in both directions.
    /// Changes nothing for a provider that signs no time.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        if let Some(timestamp) = self.0.scheme.timestamp_mut() {
            *timestamp = timestamp.clone().with_tolerance(tolerance);
        }
        self
    }

    /// Replaces the header that holds the signature or the token.
    #[must_use]
    pub fn with_signature_header(mut self, header: HeaderName) -> Self {
        self.0.scheme.set_header(header);
        self
    }
}

impl TryFrom<ProviderData> for Provider {
    type Error = ProviderError;

    fn try_from(data: ProviderData) -> Result<Self, ProviderError> {
        let provider = Self(data);
        provider.check()?;
        Ok(provider)
    }
}

impl From<Provider> for ProviderData {
    fn from(provider: Provider) -> Self {
        provider.0
    }
}
