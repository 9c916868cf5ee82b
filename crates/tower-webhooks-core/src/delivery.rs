//! One authentic request.

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use crate::{
    EventHead, Item, Opener, Provider, Text, Unusable,
    content::Content,
    envelope::{Reading, surroundings},
    form,
};

/// One authentic request: its bytes as received, when it came, and which
/// secret matched. Cheap to clone.
///
/// A [`Verifier`](crate::Verifier) makes one out of a request, so holding one
/// means that the bytes were checked, by this process or by the one that put
/// them into the inbox: [`Delivery::insecure_restore`] believes what it is given.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    provider: Arc<Provider>,
    tenant: Option<Text>,
    secret_label: Option<Text>,
    signed_at: Option<SystemTime>,
    received_at: SystemTime,
    headers: HeaderMap,
    body: Bytes,
    content: Option<Content>,
    contents: Contents,
}

/// What a body holds.
#[derive(Clone)]
enum Contents {
    /// One of several, by itself.
    Alone(Item),
    One(Result<EventHead, Unusable>),
    Several(Result<Arc<[Item]>, Unusable>),
}

impl Contents {
    fn read(provider: &Provider, headers: &HeaderMap, content: &Result<Content, Unusable>) -> Self {
        let envelope = provider.envelope();
        let reading = content.as_ref().map_err(|reason| *reason);
        let reading = reading.map(|content| Reading {
            body: &content.body,
            data: content.data.as_ref(),
            headers,
        });
        if envelope.is_batch() {
            Self::Several(reading.and_then(|reading| envelope.split(&reading).map(Arc::from)))
        } else {
            Self::One(reading.and_then(|reading| envelope.read(&reading)))
        }
    }
}

/// What the verifier hands over.
pub(crate) struct Verified<'r> {
    pub(crate) provider: Arc<Provider>,
    pub(crate) tenant: Option<Text>,
    pub(crate) secret_label: Text,
    pub(crate) signed_at: Option<SystemTime>,
    pub(crate) received_at: SystemTime,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) content: Result<Content, Unusable>,
}

/// What an inbox kept of an authentic request.
///
/// `Debug` prints lengths in place of headers and body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Restored {
    /// Whose secret it matched.
    pub tenant: Option<Text>,
    /// The label of that secret.
    pub secret_label: Option<Text>,
    /// When the request came.
    pub received_at: SystemTime,
    /// The headers that were kept.
    pub headers: HeaderMap,
    /// The bytes as received.
    pub body: Bytes,
}

impl Restored {
    /// A body and when it came; the other fields can be set afterwards.
    #[must_use]
    pub fn new(body: Bytes, received_at: SystemTime) -> Self {
        Self {
            tenant: None,
            secret_label: None,
            received_at,
            headers: HeaderMap::new(),
            body,
        }
    }
}

impl fmt::Debug for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restored")
            .field("tenant", &self.tenant)
            .field("secret_label", &self.secret_label)
            .field("received_at", &self.received_at)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl Delivery {
    pub(crate) fn verified(verified: Verified<'_>) -> Self {
        let content = verified.content;
        let contents = Contents::read(&verified.provider, verified.headers, &content);
        Self(Arc::new(Inner {
            provider: verified.provider,
            tenant: verified.tenant,
            secret_label: Some(verified.secret_label),
            signed_at: verified.signed_at,
            received_at: verified.received_at,
            headers: HeaderMap::new(),
            body: verified.body,
            content: content.ok(),
            contents,
        }))
    }

    /// The delivery that an inbox kept, read anew. Where the provider puts several
    /// events into one delivery, an inbox keeps each [by itself](Self::alone), so one
    /// that holds a single event is that event.
    ///
    /// Checks no signature: it was checked before the inbox took the request.
    /// With bytes that did not come out of an inbox, nothing vouches for them.
    #[must_use]
    pub fn insecure_restore(provider: Arc<Provider>, stored: Restored) -> Self {
        Self::restore(provider, stored, None)
    }

    /// As [`insecure_restore`](Self::insecure_restore), for a provider that
    /// encrypts its payloads.
    #[must_use]
    pub fn insecure_restore_sealed(
        provider: Arc<Provider>,
        stored: Restored,
        opener: &Opener,
    ) -> Self {
        Self::restore(provider, stored, Some(opener))
    }

    fn restore(provider: Arc<Provider>, stored: Restored, opener: Option<&Opener>) -> Self {
        let content = Content::of_wire(
            &provider,
            &stored.headers,
            &stored.body,
            opener,
            stored.received_at,
        );
        let contents = match Contents::read(&provider, &stored.headers, &content) {
            Contents::Several(Ok(items)) if items.len() == 1 => {
                let alone = items.first().cloned().map(Contents::Alone);
                alone.unwrap_or(Contents::Several(Ok(items)))
            }
            contents => contents,
        };
        Self(Arc::new(Inner {
            provider,
            tenant: stored.tenant,
            secret_label: stored.secret_label,
            signed_at: None,
            received_at: stored.received_at,
            headers: stored.headers,
            body: stored.body,
            content: content.ok(),
            contents,
        }))
    }

    /// Keeps the request's headers with the delivery, without those that hold
    /// a signature, a token or another credential.
    #[must_use]
    pub fn with_headers(mut self, mut headers: HeaderMap) -> Self {
        let credentials: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.0.provider.is_credential(name))
            .cloned()
            .collect();
        for name in credentials {
            headers.remove(name);
        }
        Arc::make_mut(&mut self.0).headers = headers;
        self
    }

    /// Who sent it.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.0.provider
    }

    /// Whose secret matched, where a lookup chose it.
    #[must_use]
    pub fn tenant(&self) -> Option<&Text> {
        self.0.tenant.as_ref()
    }

    /// The label of the secret that matched.
    #[must_use]
    pub fn secret_label(&self) -> Option<&Text> {
        self.0.secret_label.as_ref()
    }

    /// The label of the secret that opened the payload, where the provider encrypts it:
    /// nothing where none did.
    #[must_use]
    pub fn payload_label(&self) -> Option<&Text> {
        self.0.content.as_ref()?.label.as_ref()
    }

    /// When the provider signed it, where it signs a time.
    #[must_use]
    pub fn signed_at(&self) -> Option<SystemTime> {
        self.0.signed_at
    }

    /// When it came.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.0.received_at
    }

    /// The headers that were kept with it: none right after verification,
    /// where the request still has them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The bytes as received.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The body without its compression and, where its whole was encrypted, its
    /// encryption: nothing where they could not be undone.
    #[must_use]
    pub fn content(&self) -> Option<&Bytes> {
        self.0.content.as_ref().map(|content| &content.body)
    }

    /// A SHA-256 that a redelivery of the event has too although its bytes may
    /// differ: of the plain content, where the provider compresses bodies; where
    /// it encrypts them, one keyed with the key that opened this one, so that
    /// nobody can find out by it what was sealed; of an event's own part, where a
    /// delivery holds several; of a form's fields as they are signed, where that is one
    /// row; without what its
    /// [redeliveries change](crate::provider::Envelope::with_changing_fields). Nothing
    /// where the body as received says it, or could not be restored.
    #[must_use]
    pub fn content_sha256(&self) -> Option<[u8; 32]> {
        if let Contents::Alone(item) = &self.0.contents {
            return Some(item.sha256());
        }
        let content = self.0.content.as_ref()?;
        match (&content.digest, &content.data) {
            (Some(digest), None) => Some(*digest),
            // The type stands outside.
            (Some(digest), Some(_)) => {
                let mut hash = Sha256::new();
                if let Ok(event) = self.event() {
                    hash.update(event.event_type().as_bytes());
                }
                hash.update([0]);
                hash.update(digest);
                Some(hash.finalize().into())
            }
            (None, _) if self.0.provider.scheme().signs_row() => {
                let row = form::row(&content.body)?;
                Some(Sha256::digest(row).into())
            }
            (None, _) => {
                let lasting = self.0.provider.envelope().sha256_of_lasting(&content.body);
                lasting.or_else(|| {
                    self.0.provider.compression()?;
                    Some(Sha256::digest(&content.body).into())
                })
            }
        }
    }

    /// How many bytes of memory undoing compression and encryption took, or reading a
    /// form, or putting an event [by itself](Self::alone), beside the request's own body.
    #[must_use]
    pub fn restored_bytes(&self) -> usize {
        let Some(content) = &self.0.content else {
            return 0;
        };
        if matches!(self.0.contents, Contents::Alone(_)) {
            return self.0.body.len();
        }
        let envelope = self.0.provider.envelope();
        let data = match (&content.data, &self.0.contents) {
            (Some(data), _) => data.len(),
            // What a form says is kept as JSON beside it.
            (None, Contents::One(Ok(head))) if envelope.reads_form(&content.body) => {
                head.data().len()
            }
            (None, _) => 0,
        };
        if content.body.as_ptr() == self.0.body.as_ptr() {
            return data;
        }
        data.saturating_add(content.body.len())
    }

    /// What its envelope says of the event.
    ///
    /// # Errors
    ///
    /// [`Unusable`] when the body is authentic but names no event, and
    /// [`Unusable::Batch`] when it came with a list of events, however many: they
    /// are its [items](Self::items).
    pub fn event(&self) -> Result<&EventHead, Unusable> {
        match &self.0.contents {
            Contents::Alone(item) => item.event(),
            Contents::One(event) => event.as_ref().map_err(|reason| *reason),
            Contents::Several(Ok(_)) => Err(Unusable::Batch),
            Contents::Several(Err(reason)) => Err(*reason),
        }
    }

    /// The events of a provider that puts several into one delivery, in their
    /// order: none where the whole body cannot be used, which
    /// [`event`](Self::event) then says. Nothing for a provider that sends one
    /// at a time.
    #[must_use]
    pub fn items(&self) -> Option<&[Item]> {
        match &self.0.contents {
            Contents::Alone(item) => Some(std::slice::from_ref(item)),
            Contents::One(_) => None,
            Contents::Several(Ok(items)) => Some(items),
            Contents::Several(Err(_)) => Some(&[]),
        }
    }

    /// One of its [items](Self::items) by itself, as an inbox keeps it: a delivery
    /// whose body is the plain one without the other events, and whose
    /// [`event`](Self::event) is this one. Nothing where there is no item of that
    /// index.
    ///
    /// The signature covered the whole, and is not the part's.
    #[must_use]
    pub fn alone(&self, index: usize) -> Option<Self> {
        let items = self.items()?;
        let item = items.get(index)?.clone();
        let content = self.0.content.as_ref()?;
        let (first, last) = (items.first()?.json(), items.last()?.json());
        let (before, behind) = surroundings(&content.body, first, last);
        let body = Bytes::from([before, item.json().as_bytes(), behind].concat());
        let mut alone = self.clone();
        let inner = Arc::make_mut(&mut alone.0);
        inner.content = Some(Content {
            body: body.clone(),
            data: None,
            digest: None,
            label: content.label.clone(),
        });
        inner.body = body;
        inner.contents = Contents::Alone(item);
        Some(alone)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("provider", &self.0.provider.name())
            .field("tenant", &self.0.tenant)
            .field("event_type", &self.event().map(EventHead::event_type))
            .field("body_bytes", &self.0.body.len())
            .finish_non_exhaustive()
    }
}
