//! Makes another event of a body, so that a receiver does not take it for a
//! duplicate. Edits the text: what is not replaced keeps its bytes.

use std::{collections::BTreeMap, ops::Range};

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use tower_webhooks_core::{Provider, provider::Place};
use uuid::Uuid;

/// The member that tells two events apart where a provider sends no id.
/// Receivers ignore what they do not know.
pub(crate) const MARK: &str = "webhooks_send";

/// Another event of the same type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// The body, in whose text nothing else was changed.
    pub body: String,
    /// The header that holds the id, where that is no part of the body.
    pub id_header: Option<(HeaderName, HeaderValue)>,
}

/// Makes another event of a body, so that a receiver does not take it for a
/// duplicate: it has a new id where the provider's ids lie, or a member
/// `webhooks_send` where it has none. Nothing if the body has no such place.
#[must_use]
pub fn renew(provider: &Provider, body: &str) -> Option<Renewed> {
    let envelope = provider.envelope();
    let Some(id) = envelope.id() else {
        return marked(body);
    };
    id.places()
        // A part that also makes the type would change what event it is.
        .filter(|place| !envelope.event_type().places().any(|part| part == *place))
        .find_map(|place| match place {
            Place::Header(name) => Some(Renewed {
                body: body.to_owned(),
                id_header: Some((name.clone(), HeaderValue::try_from(new_text("")).ok()?)),
            }),
            Place::Pointer(pointer) => replaced(body, pointer),
            _ => None,
        })
}

fn replaced(body: &str, pointer: &str) -> Option<Renewed> {
    let span = span(body, pointer)?;
    let value = new_value(body.get(span.clone())?)?;
    let mut body = body.to_owned();
    body.replace_range(span, &value);
    Some(Renewed {
        body,
        id_header: None,
    })
}

fn marked(body: &str) -> Option<Renewed> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    let open = body.trim_end().strip_suffix('}')?;
    let comma = if members.is_empty() { "" } else { "," };
    Some(Renewed {
        body: format!(r#"{open}{comma}"{MARK}":"{}"}}"#, Uuid::new_v4()),
        id_header: None,
    })
}

/// Where in the text the value at a JSON pointer (RFC 6901) stands.
fn span(text: &str, pointer: &str) -> Option<Range<usize>> {
    let mut value: &RawValue = serde_json::from_str(text).ok()?;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = if value.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            items.get(token.parse::<usize>().ok()?)?
        } else {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(&token)?
        };
    }
    let start = value.get().as_ptr().addr() - text.as_ptr().addr();
    Some(start..start + value.get().len())
}

/// A new value of the old one's form: text or a whole number.
fn new_value(old: &str) -> Option<String> {
    match serde_json::from_str(old).ok()? {
        serde_json::Value::String(text) => serde_json::to_string(&new_text(&text)).ok(),
        // As many bits as every reader of JSON takes exactly.
        serde_json::Value::Number(_) => Some((Uuid::new_v4().as_u128() >> (128 - 53)).to_string()),
        _ => None,
    }
}

/// A UUID for a UUID, and a like prefix for what has one: `evt_…`.
fn new_text(old: &str) -> String {
    let new = Uuid::new_v4();
    if Uuid::try_parse(old).is_ok() {
        return new.to_string();
    }
    match old.rsplit_once('_') {
        Some((prefix, _)) => format!("{prefix}_{}", new.simple()),
        None => new.simple().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use tower_webhooks_core::{
        Delivery, Restored, Text,
        provider::{BodyFormat, Envelope, HmacScheme, Place, Scheme},
        providers,
    };

    use super::*;

    fn provider(envelope: Envelope) -> Provider {
        let scheme = HmacScheme::new(HeaderName::from_static("x-signature"));
        Provider::new("acme", Scheme::Hmac(scheme), envelope)
    }

    fn head(provider: &Provider, body: &str) -> (Text, Option<Text>) {
        let stored = Restored::new(Bytes::from(body.to_owned()), std::time::UNIX_EPOCH);
        let delivery = Delivery::insecure_restore(provider.clone().into(), stored);
        let event = delivery.event().unwrap();
        (event.event_type().clone(), event.id().cloned())
    }

    #[test]
    fn every_sample_becomes_another_event_of_its_type() {
        let plain = |provider: &Provider| {
            let envelope = provider.envelope();
            !envelope.is_batch()
                && envelope.format() == BodyFormat::Json
                && provider.encryption().is_none()
                && !provider.has_type_in_unsigned_header()
                && !envelope.id().is_some_and(|id| {
                    let mut places = id.places();
                    places.any(|place| matches!(place, Place::Header(_)))
                })
        };
        for provider in providers::all().into_iter().filter(plain) {
            for event in &provider.events().list {
                let sample = event.sample.as_deref().unwrap();
                let first = renew(&provider, sample).unwrap().body;
                let second = renew(&provider, sample).unwrap().body;
                assert_ne!(first, second);
                let (first, second) = (head(&provider, &first), head(&provider, &second));
                assert_eq!((&first.0, &second.0), (&event.name, &event.name));
                if provider.envelope().id().is_some() {
                    assert_ne!(first.1, second.1, "{}", event.name);
                }
            }
        }
    }

    #[test]
    fn all_other_bytes_stay_as_they_are() {
        let acme = provider(Envelope::new("/type").with_id("/meta~1x/0/id"));
        let body = "{ \"amount\": 12.50,\n \"meta/x\":[{\"id\" : \"evt_1\"}], \"type\":\"a\" }\n";
        let renewed = renew(&acme, body).unwrap().body;
        let (before, rest) = renewed.split_once("\"evt_").unwrap();
        let (id, after) = rest.split_at(32);
        assert_eq!(before, "{ \"amount\": 12.50,\n \"meta/x\":[{\"id\" : ");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(after, "\"}], \"type\":\"a\" }\n");
    }

    #[test]
    fn a_number_stays_a_number_and_a_uuid_a_uuid() {
        assert!(new_value("7").unwrap().parse::<u64>().unwrap() < 1 << 53);
        let uuid: String =
            serde_json::from_str(&new_value(r#""ca0c57d2-b1c9-4bcd-9d5d-8d361cad6fd0""#).unwrap())
                .unwrap();
        assert_eq!(uuid.len(), 36);
        assert!(Uuid::try_parse(&uuid).is_ok());
        assert!(new_value("null").is_none());
    }

    #[test]
    fn an_id_in_a_header_is_renewed_there() {
        let name = HeaderName::from_static("webhook-id");
        let acme = provider(Envelope::new("/type").with_id(name.clone()));
        let renewed = renew(&acme, r#"{"type":"a"}"#).unwrap();
        assert_eq!(renewed.body, r#"{"type":"a"}"#);
        let (header, value) = renewed.id_header.unwrap();
        let headers = HeaderMap::from_iter([(header, value)]);
        assert_eq!(headers[name].len(), 32);
    }

    #[test]
    fn without_an_id_the_mark_tells_events_apart() {
        let acme = provider(Envelope::new("/type"));
        for body in [r#"{"type":"a"}"#, "{\"type\":\"a\"}\n"] {
            let renewed = renew(&acme, body).unwrap().body;
            assert!(
                renewed.starts_with(r#"{"type":"a","webhooks_send":""#),
                "{renewed}"
            );
            assert_eq!(head(&acme, &renewed).0, "a");
        }
        assert!(
            renew(&acme, "{}")
                .unwrap()
                .body
                .starts_with(r#"{"webhooks_send":"#)
        );
        for body in ["[]", "no json", "7"] {
            assert!(renew(&acme, body).is_none(), "{body}");
        }
    }
}
