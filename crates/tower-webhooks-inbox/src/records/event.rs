//! One event, before and after it was stored.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tower_webhooks_core::Text;

use super::RecordedReply;

/// Header names and values as received, without signatures and authorization.
/// Shared, so that an event can be cloned without copying them.
pub type Headers = Arc<[(Text, Bytes)]>;

/// An event to store: authentic, and read as far as it could be.
///
/// `Debug` prints lengths in place of headers and body.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewEvent {
    /// The endpoint that received it.
    pub endpoint: Text,
    /// The tenant, where the endpoint has several.
    pub tenant: Option<Text>,
    /// The provider's event id. Without one the body's SHA-256 stands in.
    pub id: Option<Text>,
    /// Whether the signature covers the id, or the id is a field of the body.
    /// Default `true`. If not, whoever can repeat a delivery can rename it, so a
    /// known body is a duplicate too, and another body under a known id is an event
    /// of its own.
    pub id_signed: bool,
    /// The event type; without one only `*` and fallback handlers match.
    pub event_type: Option<Text>,
    /// Whether the signature covers the type, or the type is a field of the body.
    /// Default `true`. If neither it nor the id is signed, an equal body is the same
    /// only with an equal type: one order sends `orders/create` and `orders/paid`.
    pub type_signed: bool,
    /// What its handlers may order their jobs by, such as an account; see
    /// [`Ordering`](super::Ordering). Default none.
    pub ordering_key: Option<Text>,
    /// Why nobody can handle it as it is: it does not parse, decrypt or name
    /// a type, or the store refused it (`refused-by-inbox`). Stored by its body's
    /// SHA-256, without a job, until it is read anew.
    pub unusable: Option<Text>,
    /// When the provider says it happened.
    pub occurred_at: Option<SystemTime>,
    /// When the last byte of its delivery arrived, by the receiver's clock.
    pub received_at: SystemTime,
    /// Headers worth keeping. Default none.
    pub headers: Headers,
    /// The wire bytes. Where a delivery carries several events, its body without the
    /// other ones.
    pub body: Bytes,
    /// The SHA-256 that stands for the body, as [`hash_body`](Self::hash_body)
    /// computes it when it is `None`; where redeliveries change some of the body,
    /// [`hash_content`](Self::hash_content) sets it over what they do not change.
    pub body_sha256: Option<[u8; 32]>,
    /// The label of the secret that matched.
    pub secret_label: Option<Text>,
    /// The label of the secret that opened the payload, where it came encrypted.
    pub payload_label: Option<Text>,
    /// How long an equal body counts as the same event, since the earlier one
    /// was received; used only without a signed id. Default 72 h, the retry span
    /// of most providers: shorter runs handlers twice, longer swallows an event
    /// that really happened again.
    pub dedup_span: Duration,
}

impl NewEvent {
    /// An event with nothing known but where, what and when.
    #[must_use]
    pub fn new(endpoint: impl Into<Text>, body: impl Into<Bytes>, received_at: SystemTime) -> Self {
        Self {
            endpoint: endpoint.into(),
            tenant: None,
            id: None,
            id_signed: true,
            event_type: None,
            type_signed: true,
            ordering_key: None,
            unusable: None,
            occurred_at: None,
            received_at,
            headers: Headers::default(),
            body: body.into(),
            body_sha256: None,
            secret_label: None,
            payload_label: None,
            dedup_span: DEFAULT_DEDUP_SPAN,
        }
    }

    /// The SHA-256 that stands for the body: the one set, or else computed now
    /// and remembered. Where neither id nor type is signed,
    /// [the type is in it](typed_hash).
    pub fn hash_body(&mut self) -> [u8; 32] {
        match self.body_sha256 {
            Some(sha256) => sha256,
            None => self.hash_content(None),
        }
    }

    /// As [`hash_body`](Self::hash_body), anew and, where it is given, over the hash of
    /// what redeliveries do not change in place of the body's. Call it once id and type
    /// are set.
    pub fn hash_content(&mut self, sha256: Option<[u8; 32]>) -> [u8; 32] {
        let body = sha256.unwrap_or_else(|| Sha256::digest(&self.body).into());
        let sha256 = match &self.event_type {
            Some(event_type) if self.names_type() => typed_hash(&body, event_type),
            Some(_) | None => body,
        };
        *self.body_sha256.insert(sha256)
    }

    /// What is kept of an event that a store refuses: where it came from and its bytes, as
    /// [unusable](Self::unusable), without what was read out of them. Once the
    /// store takes it, it can be read anew and replayed.
    pub(crate) fn set_aside(mut self) -> Self {
        if self.event_type.is_some() && self.names_type() {
            // It is in the hash, and is now to be read anew.
            self.body_sha256 = None;
        }
        self.unusable.get_or_insert(Text::from_static(REFUSED));
        self.event_type = None;
        self.id = None;
        self.ordering_key = None;
        self.occurred_at = None;
        self.hash_body();
        self
    }

    /// The bytes of headers and body: what a batch or a store counts for it.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        weight_bytes(&self.headers, self.body.len())
    }

    /// Whether nothing that is signed tells two events of one body apart but their type.
    fn names_type(&self) -> bool {
        !self.type_signed && (self.id.is_none() || !self.id_signed)
    }
}

/// What stands for a body together with its type, where nothing that is signed
/// tells two events of one body apart: the SHA-256 of the body's SHA-256 followed
/// by the type.
///
/// The price: whoever can repeat a delivery has its handlers run once for each
/// type that he makes up. Without it, of two genuine events with one body the
/// second would never reach its handler.
#[must_use]
pub fn typed_hash(body_sha256: &[u8; 32], event_type: &str) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(body_sha256);
    hash.update(event_type);
    hash.finalize().into()
}

impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEvent")
            .field("endpoint", &self.endpoint)
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("unusable", &self.unusable)
            .field("received_at", &self.received_at)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An event's place in one inbox: later events have greater numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventSeq(pub u64);

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of an event when it was stored. All but `Routed` have no job,
/// and get theirs when they are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventState {
    /// Its signed id was known with another body: stored apart.
    Conflict,
    /// Every handler that it is for has a job, or a reply decides it.
    Routed,
    /// No handler and no fallback matched.
    Unhandled,
    /// It could not be read; see [`StoredEvent::unusable`].
    Unusable,
}

/// An event as the inbox holds it.
///
/// `Debug` prints lengths in place of headers and body.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its place in the inbox.
    pub seq: EventSeq,
    /// What it is unique by within its endpoint and tenant; see [`NewEvent::id_key`].
    pub key: Text,
    /// What became of it.
    pub state: EventState,
    /// The endpoint that received it.
    pub endpoint: Text,
    /// The tenant, where the endpoint has several.
    pub tenant: Option<Text>,
    /// The provider's event id.
    pub id: Option<Text>,
    /// Whether the signature covers the id, or the id is a field of the body.
    pub id_signed: bool,
    /// The event type.
    pub event_type: Option<Text>,
    /// What its handlers may order their jobs by.
    pub ordering_key: Option<Text>,
    /// Why it could not be read.
    pub unusable: Option<Text>,
    /// When the provider says it happened.
    pub occurred_at: Option<SystemTime>,
    /// When it was received.
    pub received_at: SystemTime,
    /// Headers worth keeping. Empty once pruned or erased.
    pub headers: Headers,
    /// The wire bytes, as [`NewEvent::body`] says. `None` once pruned or erased, and where a listing leaves them out.
    pub body: Option<Bytes>,
    /// How long the body is or was, in bytes.
    pub body_bytes: u64,
    /// The SHA-256 that stands for the body, or for [body and type](typed_hash).
    /// Stays when the body goes.
    pub body_sha256: [u8; 32],
    /// The label of the secret that matched.
    pub secret_label: Option<Text>,
    /// The label of the secret that opened the payload, where it came encrypted.
    pub payload_label: Option<Text>,
    /// How many later deliveries were taken for this one because their body
    /// was equal, not their signed id. Replaying this event makes up for them.
    pub suppressed: u32,
    /// The answer recorded for it.
    pub reply: Option<RecordedReply>,
    /// Whether it was erased on request.
    pub erased: bool,
}

impl StoredEvent {
    /// The record of `event` under this number, key and state. Hashes the body
    /// if the event does not bring its hash.
    #[must_use]
    pub fn new(seq: EventSeq, key: Text, state: EventState, mut event: NewEvent) -> Self {
        Self {
            seq,
            key,
            state,
            body_sha256: event.hash_body(),
            body_bytes: u64::try_from(event.body.len()).unwrap_or(u64::MAX),
            endpoint: event.endpoint,
            tenant: event.tenant,
            id: event.id,
            id_signed: event.id_signed,
            event_type: event.event_type,
            ordering_key: event.ordering_key,
            unusable: event.unusable,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            headers: event.headers,
            body: Some(event.body),
            secret_label: event.secret_label,
            payload_label: event.payload_label,
            suppressed: 0,
            reply: None,
            erased: false,
        }
    }

    /// The bytes of the headers and body that are still there.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        weight_bytes(&self.headers, self.body.as_ref().map_or(0, Bytes::len))
    }
}

impl fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEvent")
            .field("seq", &self.seq)
            .field("key", &self.key)
            .field("state", &self.state)
            .field("endpoint", &self.endpoint)
            .field("tenant", &self.tenant)
            .field("event_type", &self.event_type)
            .field("unusable", &self.unusable)
            .field("received_at", &self.received_at)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body_bytes)
            .field("suppressed", &self.suppressed)
            .field("reply", &self.reply)
            .field("erased", &self.erased)
            .finish_non_exhaustive()
    }
}

fn weight_bytes(headers: &Headers, body: usize) -> usize {
    headers.iter().fold(body, |sum, (name, value)| {
        sum.saturating_add(name.len()).saturating_add(value.len())
    })
}

/// Why an event is unusable that the store refused as it was.
const REFUSED: &str = "refused-by-inbox";

const DEFAULT_DEDUP_SPAN: Duration = Duration::from_secs(72 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(id: Option<&'static str>, type_signed: bool) -> NewEvent {
        let mut event = NewEvent::new("shop", "body", SystemTime::UNIX_EPOCH);
        event.event_type = Some(Text::from_static("order.paid"));
        event.type_signed = type_signed;
        event.id = id.map(Text::from_static);
        event.ordering_key = Some(Text::from_static("account"));
        event
    }

    #[test]
    fn what_was_read_out_of_a_refused_event_is_left_out_and_its_bytes_are_not() {
        let mut event = refused(Some("evt_1"), true);
        event.hash_content(Some([7; 32]));
        let aside = event.set_aside();
        assert_eq!(aside.unusable.as_deref(), Some("refused-by-inbox"));
        assert_eq!(
            (aside.id, aside.event_type, aside.ordering_key),
            (None, None, None)
        );
        assert_eq!((&*aside.endpoint, &*aside.body), ("shop", &b"body"[..]));
        assert_eq!(
            aside.body_sha256,
            Some([7; 32]),
            "what redeliveries do not change"
        );
    }

    #[test]
    fn a_refused_event_is_known_by_its_body_and_not_by_the_type_that_was_in_its_hash() {
        let mut event = refused(None, false);
        let body: [u8; 32] = Sha256::digest("body").into();
        assert_eq!(event.hash_body(), typed_hash(&body, "order.paid"));
        assert_eq!(event.set_aside().body_sha256, Some(body));
    }

    #[test]
    fn a_refused_event_that_was_unusable_before_keeps_its_reason() {
        let mut event = refused(None, true);
        event.unusable = Some(Text::from_static("not-json"));
        assert_eq!(event.set_aside().unusable.as_deref(), Some("not-json"));
    }
}
