//! What is changed in a request, before or after it is signed.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tower_webhooks_core::{
    Provider,
    provider::{BodyFormat, Part, Place, SentValue, TimestampPlace},
};

use crate::{
    edit::{form, json},
    faults::play::Prepared,
};

/// A type that no provider has.
const NO_TYPE: &str = "another.type";

/// Whether the provider writes into the body what proves it.
pub(super) fn is_proven_inside(provider: &Provider) -> bool {
    let scheme = provider.scheme();
    let timestamp = scheme.timestamp().map(|timestamp| timestamp.place());
    scheme.field().is_some() || matches!(timestamp, Some(TimestampPlace::Pointer(_)))
}

/// Another body of the same meaning and under the same id, to be signed.
pub(super) fn reworded(provider: &Provider, body: &Bytes) -> Bytes {
    match provider.envelope().format() {
        BodyFormat::Form => form::with_field(&text(body), "webhooks_send", "2").into(),
        _ => with_a_space(body),
    }
}

/// The body that was signed, with a change that the signature covers. Nothing
/// where it covers none.
pub(super) fn tampered(provider: &Provider, body: &Bytes) -> Option<Bytes> {
    let scheme = provider.scheme();
    let is_form = |part: &Part| matches!(part, Part::Form { .. });
    if scheme.covers_body() || scheme.parts().iter().any(is_form) {
        return Some(with_a_space(body));
    }
    let longer = |old: &str| {
        let old: String = serde_json::from_str(old).ok()?;
        Some(Value::from(format!("{old}0")).to_string())
    };
    scheme
        .parts()
        .iter()
        .find_map(|part| json::replaced(&text(body), signed_field(part)?, longer))
        .map(Bytes::from)
}

/// The request without what proves it.
pub(super) fn unproven(provider: &Provider, request: &Prepared) -> Option<Prepared> {
    with_proof(provider, request, |_| None)
}

/// The request with a proof that is in no encoding.
pub(super) fn misspelt(provider: &Provider, request: &Prepared) -> Option<Prepared> {
    with_proof(provider, request, |proof| {
        let mut proof = proof.to_owned();
        proof.pop();
        Some(format!("{proof}!"))
    })
}

fn with_proof(
    provider: &Provider,
    request: &Prepared,
    change: impl Fn(&str) -> Option<String>,
) -> Option<Prepared> {
    let mut changed = request.clone();
    if let Some(name) = provider.scheme().header() {
        let proof = changed.headers.remove(name)?;
        if let Some(proof) = change(proof.to_str().ok()?) {
            let proof = HeaderValue::try_from(proof).ok()?;
            changed.headers.insert(name.clone(), proof);
        }
        return Some(changed);
    }
    let body = json::replaced(&text(&request.body), provider.scheme().field()?, |proof| {
        let proof: String = serde_json::from_str(proof).ok()?;
        let changed = change(&proof).map_or(Value::Null, Value::from);
        Some(changed.to_string())
    });
    changed.body = body?.into();
    Some(changed)
}

/// The body with its type once more beside it, of another value: readers
/// disagree which one counts. Nothing where it has no type, or where the
/// signature has it apart from the body, and could not be made.
pub(super) fn type_twice(provider: &Provider, body: &Bytes) -> Option<Bytes> {
    let envelope = provider.envelope();
    let body = text(body);
    envelope.event_type().places().find_map(|place| {
        let Place::Pointer(pointer) = place else {
            return None;
        };
        let signed = provider.scheme().parts().iter().filter_map(signed_field);
        if signed.into_iter().any(|field| field == pointer) {
            return None;
        }
        let (parent, name) = pointer.rsplit_once('/')?;
        let name = name.replace("~1", "/").replace("~0", "~");
        if envelope.format() == BodyFormat::Form {
            form::replaced(&body, &name, |old| Some(old.to_owned()))?;
            return Some(form::with_field(&body, &name, NO_TYPE).into());
        }
        if json::spans(&body, pointer).is_empty() {
            return None;
        }
        let other = || format!("\"{NO_TYPE}\"");
        json::with_member(&body, parent, &name, other).map(Bytes::from)
    })
}

/// The headers with another type in the one that names it unsigned, beside the
/// type that counts. Nothing where there is none.
pub(super) fn with_other_type(provider: &Provider, headers: &HeaderMap) -> Option<HeaderMap> {
    let mut sent = provider.also_sent().iter();
    let sent = sent.find(|sent| sent.value == SentValue::EventType)?;
    let own = headers.get(&sent.header)?;
    let mut others = provider.events().list.iter().map(|event| &event.name);
    let other = others.find(|name| own != name.as_bytes());
    let other = other.map_or(NO_TYPE, |name| name.as_str());
    let mut changed = headers.clone();
    changed.insert(sent.header.clone(), HeaderValue::try_from(other).ok()?);
    Some(changed)
}

pub(super) fn gzip(body: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.map_or_else(|_| body.clone(), Bytes::from)
}

fn signed_field(part: &Part) -> Option<&str> {
    match part {
        Part::Field(pointer) | Part::OptionalField(pointer) => Some(pointer),
        _ => None,
    }
}

/// White space at the end: another body of the same meaning.
fn with_a_space(body: &Bytes) -> Bytes {
    let mut changed = body.to_vec();
    changed.push(b' ');
    changed.into()
}

fn text(body: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body)
}

#[cfg(test)]
mod tests {
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn a_type_stands_there_twice_wherever_it_stands() {
        for (provider, sample, expected) in [
            (
                providers::monterrey(),
                r#"{"event":"a"}"#,
                r#"{"event":"a","event":"another.type"}"#,
            ),
            (
                providers::discord(),
                r#"{"event":{"type":"a"},"x":1}"#,
                r#"{"event":{"type":"a","type":"another.type"},"x":1}"#,
            ),
            (
                providers::sendgrid(),
                r#"[{"event":"a"}]"#,
                r#"[{"event":"a","event":"another.type"}]"#,
            ),
            (
                providers::twilio(),
                "SmsStatus=a",
                "SmsStatus=a&SmsStatus=another.type",
            ),
        ] {
            let twice = type_twice(&provider, &Bytes::from(sample)).unwrap();
            assert_eq!(twice, expected);
        }
        let adyen = providers::adyen();
        let sample = adyen.events().list[0].sample.clone().unwrap().to_string();
        assert_eq!(
            type_twice(&adyen, &sample.into()),
            None,
            "it signs the type"
        );
        let github = providers::github();
        assert_eq!(type_twice(&github, &Bytes::from("{}")), None, "in a header");
        let monterrey = providers::monterrey();
        assert_eq!(type_twice(&monterrey, &Bytes::from("{}")), None);
    }

    #[test]
    fn what_is_changed_is_what_the_signature_covers() {
        let mailgun = providers::mailgun();
        let body = r#"{"signature":{"token":"t"},"event-data":{}}"#;
        let changed = tampered(&mailgun, &Bytes::from(body)).unwrap();
        assert_eq!(changed, body.replace("\"t\"", "\"t0\""));
        assert_eq!(tampered(&providers::gitlab(), &Bytes::from("{}")), None);
    }
}
