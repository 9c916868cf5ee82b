//! An event before it is signed.

use std::{sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use tower_webhooks_core::{
    Delivery, EventHead, Provider, Restored, Unusable,
    provider::{Locator, Place},
};

use crate::renew::renew;

/// An event before it is signed: its body, plain where the provider encrypts,
/// and the headers that belong to the event rather than to its signature.
///
/// ```
/// use std::sync::Arc;
/// use tower_webhooks_core::providers;
/// use tower_webhooks_sandbox::Draft;
///
/// let github = Arc::new(providers::github());
/// let ping = Draft::new(&github, Some("ping"), r#"{"hook_id":1}"#);
/// assert_eq!(ping.headers["x-github-event"], "ping");
/// assert_eq!(ping.head(&github)?.event_type(), "ping");
///
/// let another = ping.renewed(&github).expect("the body is an object");
/// assert_ne!(another.head(&github)?.id(), ping.head(&github)?.id());
/// # Ok::<(), tower_webhooks_core::Unusable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Draft {
    /// The headers that hold its type or its id, where the provider has them
    /// there.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Draft {
    /// An event with exactly this body. Where the provider has the type in a
    /// header, it goes there. Where it has the id in a header, one stands there
    /// that follows from the body: the same body is the same event.
    #[must_use]
    pub fn new(provider: &Provider, event_type: Option<&str>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let envelope = provider.envelope();
        let mut headers = HeaderMap::new();
        let value = event_type.and_then(|name| HeaderValue::try_from(name).ok());
        if let (Some(name), Some(value)) = (only_header(envelope.event_type()), value) {
            headers.insert(name.clone(), value);
        }
        for name in envelope.id().iter().flat_map(|id| headers_of(id)) {
            headers.insert(name.clone(), id_of(&body));
        }
        Self { headers, body }
    }

    pub(crate) fn with_body(&self, body: Bytes) -> Self {
        Self {
            headers: self.headers.clone(),
            body,
        }
    }

    /// Another event of the same type, so that a receiver does not take it for
    /// a duplicate: it has a new id where the provider's ids lie, and a member
    /// or field `webhooks_send` where there is none, or none that the signature
    /// binds to its body. Nothing if the body has no such place.
    #[must_use]
    pub fn renewed(&self, provider: &Provider) -> Option<Self> {
        renew(provider, self)
    }

    /// What its envelope says; of several events the first one's.
    ///
    /// # Errors
    ///
    /// [`Unusable`] when the body names no event.
    pub fn head(&self, provider: &Arc<Provider>) -> Result<EventHead, Unusable> {
        let plain = match provider.encryption() {
            Some(_) => Arc::new(Provider::clone(provider).without_encryption()),
            None => Arc::clone(provider),
        };
        let mut whole = Restored::new(self.body.clone(), UNIX_EPOCH);
        whole.headers = self.headers.clone();
        let delivery = Delivery::insecure_restore(plain, whole);
        match delivery.items() {
            Some([first, ..]) => first.event().cloned(),
            _ => delivery.event().cloned(),
        }
    }
}

/// An id that follows from a body: half of its digest, as long as most ids are.
fn id_of(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let half = digest.iter().take(16);
    let id: String = half.map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("0"))
}

/// The header that alone holds a value.
fn only_header(locator: &Locator) -> Option<&HeaderName> {
    let mut places = locator.places();
    match (places.next(), places.next()) {
        (Some(Place::Header(name)), None) => Some(name),
        _ => None,
    }
}

fn headers_of(locator: &Locator) -> impl Iterator<Item = &HeaderName> {
    locator.places().filter_map(|place| match place {
        Place::Header(name) => Some(name),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn the_same_body_is_the_same_event_and_another_body_another() {
        let svix = Arc::new(providers::svix());
        let id = |body: &'static str| {
            let draft = Draft::new(&svix, None, body);
            draft.head(&svix).unwrap().id().cloned()
        };
        assert_eq!(id(r#"{"type":"a"}"#), id(r#"{"type":"a"}"#));
        assert_ne!(id(r#"{"type":"a"}"#), id(r#"{"type":"b"}"#));
    }

    #[test]
    fn a_payload_is_read_before_it_is_sealed() {
        for (provider, event_type) in [
            (providers::lark(), "contact.user.created_v3"),
            (providers::wechat_pay(), "TRANSACTION.SUCCESS"),
        ] {
            let provider = Arc::new(provider);
            let sample = provider.events().find(event_type).unwrap().sample.clone();
            let draft = Draft::new(&provider, None, sample.unwrap().to_string());
            assert_eq!(draft.head(&provider).unwrap().event_type(), event_type);
        }
    }

    #[test]
    fn a_body_without_a_type_names_no_event() {
        let line = Arc::new(providers::line());
        let empty = Draft::new(&line, None, r#"{"events":[]}"#);
        assert_eq!(empty.head(&line), Err(Unusable::Batch));
        let monterrey = Arc::new(providers::monterrey());
        let empty = Draft::new(&monterrey, Some("payment.expired"), "{}");
        assert_eq!(empty.head(&monterrey), Err(Unusable::TypeMissing));
    }
}
