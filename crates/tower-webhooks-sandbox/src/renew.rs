//! Makes another event of one, so that a receiver does not take it for a
//! duplicate.

use http::HeaderValue;
use tower_webhooks_core::{
    Provider,
    provider::{BodyFormat, Place},
};
use uuid::Uuid;

use crate::{
    Draft,
    edit::{form, json},
};

/// The member that tells two events apart where a provider sends no id.
/// Receivers ignore what they do not know.
const MARK: &str = "webhooks_send";

/// The shortest id of digits: so many that no two are the same.
const MIN_DIGITS: usize = 16;

pub(crate) fn renew(provider: &Provider, draft: &Draft) -> Option<Draft> {
    let text = std::str::from_utf8(&draft.body).ok()?;
    let envelope = provider.envelope();
    let Some(id) = envelope.id() else {
        return Some(draft.with_body(marked(provider, text)?.into()));
    };
    // The last part is the one that is the event's own; a part that also makes
    // the type would change what event it is.
    let places = id.parts().iter().rev().flat_map(|part| part.places());
    let renewed = places
        .filter(|place| !envelope.event_type().places().any(|part| part == *place))
        .find_map(|place| match place {
            Place::Header(name) => {
                let old = draft.headers.get(name).and_then(|old| old.to_str().ok());
                let new = HeaderValue::try_from(new_text(old.unwrap_or_default())).ok()?;
                let mut another = draft.clone();
                another.headers.insert(name.clone(), new);
                // Under an id that says nothing certain, an equal body is the
                // same event.
                if !provider.binds_id() {
                    another = another.with_body(marked(provider, text)?.into());
                }
                Some(another)
            }
            Place::Pointer(pointer) => {
                let renewed = match envelope.format() {
                    BodyFormat::Form => {
                        let name = pointer.strip_prefix('/')?;
                        form::replaced(text, name, |old| Some(new_text(old)))?
                    }
                    _ => json::replaced(text, pointer, new_value)?,
                };
                Some(draft.with_body(renewed.into()))
            }
            _ => None,
        });
    renewed.or_else(|| {
        let has_none = envelope.is_id_optional();
        has_none.then(|| Some(draft.with_body(marked(provider, text)?.into())))?
    })
}

fn marked(provider: &Provider, text: &str) -> Option<String> {
    let envelope = provider.envelope();
    let names_type = |place: &Place| matches!(place, Place::NameBeside(_));
    if envelope.event_type().places().any(names_type) {
        return None;
    }
    let mark = || format!("\"{}\"", Uuid::new_v4());
    match envelope.format() {
        BodyFormat::Form => Some(form::with_field(text, MARK, &Uuid::new_v4().to_string())),
        _ => json::with_member(text, envelope.batch().unwrap_or_default(), MARK, mark),
    }
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

/// A UUID for a UUID, digits for digits, and a like prefix for what has one:
/// `evt_…`.
fn new_text(old: &str) -> String {
    let new = Uuid::new_v4();
    if Uuid::try_parse(old).is_ok_and(|_| old.contains('-')) {
        return new.to_string();
    }
    if !old.is_empty() && old.bytes().all(|byte| byte.is_ascii_digit()) {
        let mut digits = new.as_u128().to_string();
        digits.truncate(old.len().max(MIN_DIGITS));
        return digits;
    }
    match old.rsplit_once('_') {
        Some((prefix, _)) => format!("{prefix}_{}", new.simple()),
        None => new.simple().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderName;
    use tower_webhooks_core::{
        Text,
        provider::{Envelope, EventInfo, HmacScheme, Part, Scheme},
        providers,
    };

    use super::*;

    fn provider(envelope: Envelope) -> Arc<Provider> {
        let scheme = HmacScheme::new(HeaderName::from_static("x-signature"));
        Arc::new(Provider::new("acme", Scheme::Hmac(scheme), envelope))
    }

    fn head(provider: &Arc<Provider>, draft: &Draft) -> (Text, Option<Text>) {
        let event = draft.head(provider).unwrap();
        (event.event_type().clone(), event.id().cloned())
    }

    fn renewed(provider: &Provider, body: &'static str) -> Option<String> {
        let draft = Draft::new(provider, None, body).renewed(provider)?;
        Some(String::from_utf8(draft.body.to_vec()).unwrap())
    }

    /// Of Twilio's events those of a call have none.
    fn has_id(provider: &Provider, event: &EventInfo) -> bool {
        let sample = event.sample.as_deref().unwrap();
        provider.envelope().id().is_some() && !sample.contains("CallSid")
    }

    #[test]
    fn every_sample_becomes_another_event_of_its_type() {
        for provider in providers::all().into_iter().map(Arc::new) {
            for event in &provider.events().list {
                let sample = event.sample.as_deref().unwrap().to_owned();
                let sample = Draft::new(&provider, Some(&event.name), sample);
                let first = sample.renewed(&provider).unwrap();
                let second = sample.renewed(&provider).unwrap();
                // Where the id is not bound to the body, only another body is
                // certainly another event.
                let bodies_differ = first.body != second.body;
                assert_ne!(first, second, "{}", event.name);
                let (first, second) = (head(&provider, &first), head(&provider, &second));
                assert_eq!((&first.0, &second.0), (&event.name, &event.name));
                let has_id = has_id(&provider, event);
                assert_eq!(first.1.is_some(), has_id, "{}", event.name);
                if has_id {
                    assert_ne!(first.1, second.1, "{}", event.name);
                }
                if !has_id || !provider.binds_id() {
                    assert!(bodies_differ, "{}", event.name);
                }
            }
        }
    }

    #[test]
    fn all_other_bytes_stay_as_they_are() {
        let acme = provider(Envelope::new("/type").with_id("/meta~1x/0/id"));
        let body = "{ \"amount\": 12.50,\n \"meta/x\":[{\"id\" : \"evt_1\"}], \"type\":\"a\" }\n";
        let renewed = renewed(&acme, body).unwrap();
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
        for (old, length) in [("7", 16), ("7914073381342284", 16), (&"1".repeat(18), 18)] {
            let new = new_text(old);
            assert_eq!(new.len(), length);
            assert!(new.bytes().all(|byte| byte.is_ascii_digit()), "{new}");
        }
        assert!(new_value("null").is_none());
    }

    #[test]
    fn an_id_in_a_signed_header_is_renewed_there_and_nowhere_else() {
        let name = HeaderName::from_static("webhook-id");
        let signed = HmacScheme::new(HeaderName::from_static("x-signature")).with_signed([
            Part::Header(name.clone()),
            Part::literal("."),
            Part::Body,
        ]);
        let envelope = Envelope::new("/type").with_id(name.clone());
        let acme = Provider::new("acme", Scheme::Hmac(signed), envelope.clone());
        let sample = Draft::new(&acme, None, r#"{"type":"a"}"#);
        let another = sample.renewed(&acme).unwrap();
        assert_eq!(another.body, sample.body);
        assert_ne!(another.headers[&name], sample.headers[&name]);
        assert_eq!(another.headers[&name].len(), 32);

        // Unsigned, it makes no other event of an equal body.
        let acme = provider(envelope);
        let another = sample.renewed(&acme).unwrap();
        assert_ne!(another.headers[&name], sample.headers[&name]);
        assert!(another.body.starts_with(br#"{"type":"a","webhooks_send":"#));
    }

    #[test]
    fn without_an_id_the_mark_tells_events_apart() {
        let acme = provider(Envelope::new("/type"));
        for body in [r#"{"type":"a"}"#, "{\"type\":\"a\"}\n"] {
            let renewed = renewed(&acme, body).unwrap();
            let expected = r#"{"type":"a","webhooks_send":""#;
            assert!(renewed.starts_with(expected), "{renewed}");
            let draft = Draft::new(&acme, None, renewed);
            assert_eq!(head(&acme, &draft).0, "a");
        }
        let empty = renewed(&acme, "{}").unwrap();
        assert!(empty.starts_with(r#"{"webhooks_send":"#));
        for body in ["[]", "no json", "7"] {
            assert!(renewed(&acme, body).is_none(), "{body}");
        }
        // There it would become part of what names the type.
        let by_name = provider(Envelope::new(Place::NameBeside("at".to_owned())));
        assert!(renewed(&by_name, r#"{"at":1,"message":{}}"#).is_none());
    }

    #[test]
    fn every_event_of_a_batch_becomes_another() {
        let acme = provider(Envelope::new("/*/type").with_data("/*").with_batch("/*"));
        let renewed = renewed(&acme, r#"[{"type":"a"},{"type":"a"}]"#).unwrap();
        let items: Vec<serde_json::Value> = serde_json::from_str(&renewed).unwrap();
        assert!(items[0]["webhooks_send"].is_string());
        assert_ne!(items[0], items[1]);
    }
}
