//! What makes a provider's description contradict itself.

use http::HeaderValue;

use crate::{
    Provider,
    envelope::Place,
    pointers::{Pointers, split_each},
    provider::{Encryption, Handshake, HandshakeAnswer},
    scheme::{AnyAlgorithm, Layout, Part, Scheme, Signed},
    timestamp::TimestampPlace,
};

/// Why a provider's description cannot be used. Says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ProviderError(#[from] Mistake);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("the answer has status {0}: an acknowledgement must be 2xx")]
    AnswerStatus(u16),
    #[error(
        "{0:?} names no list of events: it must be a JSON pointer that ends in /* and has no other *"
    )]
    Batch(String),
    #[error("several events in one delivery are read out of JSON alone, and not out of a form")]
    BatchForm,
    #[error(
        "the id lies outside of the events, which would all have the same: name a field of each, or none"
    )]
    BatchId,
    #[error(
        "several events in one delivery are taken apart, and sealed as one they cannot be kept"
    )]
    BatchSealed,
    #[error(
        "{0:?} holds the type, the id, the ordering key or the payload of an event: with another one it is another event, and not a redelivery"
    )]
    ChangingEvent(String),
    #[error("what redeliveries change is cut out of JSON alone, and not out of a form")]
    ChangingForm,
    #[error(
        "{0:?} lies outside of the events of a delivery: only within one can redeliveries change anything that counts"
    )]
    ChangingOutside(String),
    #[error(
        "payloads are encrypted: nothing can be said of what redeliveries change, since what is compared is a digest of what was sealed"
    )]
    ChangingSealed,
    #[error("{0:?} cannot be the content type of an answer")]
    ContentType(String),
    #[error("a body that is always a form has no JSON document in one of its fields")]
    FormField,
    #[error(
        "the handshake does not fit together: a query is proven by a token in it and given back as text, a body by its signature or a token in it and given back as JSON"
    )]
    Handshake,
    #[error("{0:?} does not name a header")]
    HeaderName(String),
    #[error("the provider's name {0:?} is not lower-case letters, digits and hyphens")]
    Name(String),
    #[error(
        "nothing of the request is signed: name its parts, of which one is the body or a field of it"
    )]
    NothingSigned,
    #[error("the ordering key lies at {0:?}: only a field of the body can be one")]
    OrderingKeyPlace(String),
    #[error(
        "the ordering key lies in the body, which the signature does not cover: take it away, since whoever sees one request could put events into any line"
    )]
    OrderingKeyUnsigned,
    #[error("the handshake would sign for a stranger: only one that is signed itself may")]
    Oracle,
    #[error(
        "{0:?} is no place: a pointer into the body begins with a slash, a header is written header:NAME"
    )]
    Place(String),
    #[error(
        "a plain digest needs the secret among its parts exactly once, and nothing else may have it"
    )]
    SecretPart,
    #[error("a signature that stands in the body cannot cover the body's bytes")]
    SignsItself,
    #[error("say where the signature or the token stands: in a header or in a field of the body")]
    SignaturePlace,
    #[error("the signature header holds no fields, so the timestamp cannot be one of them")]
    TimestampField,
    #[error("the timestamp is not part of what is signed: it would prove nothing")]
    TimestampNotSigned,
    #[error("what is signed has a timestamp, but it is not said where it stands")]
    TimestampPlace,
    #[error("more than 12 places in the body are named")]
    TooManyPlaces,
}

impl Provider {
    /// Checks that the description does not contradict itself.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], which says what to change.
    pub fn check(&self) -> Result<(), ProviderError> {
        let named = !self.name().is_empty()
            && self
                .name()
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !named {
            return Err(Mistake::Name(self.name().to_string()).into());
        }
        let status = self.answers().acknowledge.status;
        if !(200..300).contains(&status) {
            return Err(Mistake::AnswerStatus(status).into());
        }
        for answer in [&self.answers().acknowledge, &self.answers().refuse] {
            if let Some(content_type) = &answer.content_type
                && HeaderValue::from_str(content_type).is_err()
            {
                return Err(Mistake::ContentType(content_type.to_string()).into());
            }
        }
        if let Some(mistake) = self.envelope().mistake() {
            return Err(mistake.clone().into());
        }
        if let Some(key) = self.envelope().ordering_key() {
            let mut places = key.places();
            if let Some(place) = places.find(|place| !matches!(place, Place::Pointer(_))) {
                return Err(Mistake::OrderingKeyPlace(place.to_string()).into());
            }
            if !self.scheme().covers_body() {
                return Err(Mistake::OrderingKeyUnsigned.into());
            }
        }
        if self.envelope().is_batch() && self.encryption().is_some() {
            return Err(Mistake::BatchSealed.into());
        }
        if !self.envelope().changing_fields().is_empty() && self.encryption().is_some() {
            return Err(Mistake::ChangingSealed.into());
        }
        let wrapping = self.encryption().and_then(Encryption::mistake);
        // Of a body that is not signed whole, a stranger writes what is signed for him.
        let signs = |one: &Handshake| matches!(one.answer(), HandshakeAnswer::SignedJson { .. });
        let is_oracle = !self.scheme().covers_body() && self.handshakes().iter().any(signs);
        let mut handshakes = self.handshakes().iter().filter_map(Handshake::mistake);
        let mistake = wrapping.or_else(|| handshakes.next());
        if let Some(mistake) = mistake.or_else(|| is_oracle.then_some(Mistake::Oracle)) {
            return Err(mistake.into());
        }
        let scheme = self.scheme();
        if scheme.header().is_some() == scheme.field().is_some() {
            return Err(Mistake::SignaturePlace.into());
        }
        match (scheme, scheme.signed()) {
            (_, Some(signed)) => check_signed(&signed),
            (Scheme::Token(token), None) => match &token.field {
                Some(pointer) if !is_token_place(pointer) => Err(Mistake::Place(pointer.clone())),
                _ => Ok(()),
            },
            (_, None) => Ok(()),
        }
        .map_err(ProviderError)
    }
}

/// A pointer into the body, with one `*` at the most.
fn is_token_place(pointer: &str) -> bool {
    pointer.starts_with('/')
        && split_each(pointer).is_none_or(|(_, rest)| split_each(rest).is_none())
}

fn check_signed(signed: &Signed<'_>) -> Result<(), Mistake> {
    let mut pointers = Pointers::default();
    for pointer in signed.pointers() {
        if split_each(pointer).is_some() {
            return Err(Mistake::Place(pointer.to_owned()));
        }
        pointers.add(pointer)?;
    }
    if !signed.parts.iter().any(Part::is_content) {
        return Err(Mistake::NothingSigned);
    }
    if signed.field.is_some() && signed.has(&Part::Body) {
        return Err(Mistake::SignsItself);
    }
    let wanted = usize::from(matches!(signed.algorithm, AnyAlgorithm::Digest(_)));
    let secrets = signed.parts.iter().filter(|part| **part == Part::Secret);
    if secrets.count() != wanted {
        return Err(Mistake::SecretPart);
    }
    let signs_time = signed.has(&Part::Timestamp);
    let in_body = |place: &TimestampPlace| place.pointer().is_some() && signed.has(&Part::Body);
    match signed.timestamp {
        None if signs_time => Err(Mistake::TimestampPlace),
        Some(timestamp) if !signs_time && !in_body(&timestamp.place) => {
            Err(Mistake::TimestampNotSigned)
        }
        Some(timestamp)
            if matches!(timestamp.place, TimestampPlace::Field(_))
                && !(signed.header.is_some() && matches!(signed.layout, Layout::Fields { .. })) =>
        {
            Err(Mistake::TimestampField)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::envelope::{Locator, LocatorPart};
    use crate::provider::{
        Cipher, DigestScheme, Encryption, Envelope, HmacScheme, SignedTimestamp, TokenScheme,
    };

    fn hmac() -> HmacScheme {
        HmacScheme::new(HeaderName::from_static("x-signature"))
    }

    fn mistake(scheme: Scheme) -> Option<Mistake> {
        let provider = Provider::new("acme", scheme, Envelope::new("/type"));
        provider.check().err().map(|error| error.0)
    }

    #[test]
    fn each_contradiction_of_a_signature_is_named() {
        let digest = DigestScheme::new(HeaderName::from_static("x-signature"));
        let at = |place| hmac().with_timestamp(place);
        for (scheme, expected) in [
            (hmac().with_signed([Part::Method]), Mistake::NothingSigned),
            (
                hmac().with_signed([Part::Secret, Part::Body]),
                Mistake::SecretPart,
            ),
            (
                hmac().with_signed([Part::field("id")]),
                Mistake::Place("id".to_owned()),
            ),
            (
                hmac().with_signed([Part::field("/a/*/b")]),
                Mistake::Place("/a/*/b".to_owned()),
            ),
            (
                hmac().with_signed([Part::Timestamp, Part::Body]),
                Mistake::TimestampPlace,
            ),
            (
                at(SignedTimestamp::in_header(HeaderName::from_static(
                    "x-time",
                ))),
                Mistake::TimestampNotSigned,
            ),
            (
                at(SignedTimestamp::in_field("t")).with_signed([Part::Timestamp, Part::Body]),
                Mistake::TimestampField,
            ),
            (HmacScheme::in_body("/signature"), Mistake::SignsItself),
        ] {
            assert_eq!(mistake(Scheme::Hmac(scheme)), Some(expected));
        }
        for parts in [
            vec![Part::Body],
            vec![Part::Secret, Part::Secret, Part::Body],
        ] {
            let scheme = Scheme::Digest(digest.clone().with_signed(parts));
            assert_eq!(mistake(scheme), Some(Mistake::SecretPart));
        }
        assert_eq!(mistake(Scheme::Digest(digest)), None);
        assert_eq!(
            mistake(Scheme::Hmac(at(SignedTimestamp::in_body("/at")))),
            None
        );
    }

    #[test]
    fn a_token_stands_in_one_place() {
        for (field, fits) in [
            ("/a", true),
            ("/a/*/b", true),
            ("a", false),
            ("/*/a/*", false),
        ] {
            let scheme = Scheme::Token(TokenScheme::in_body(field));
            assert_eq!(mistake(scheme).is_none(), fits, "{field}");
        }
        let both = r#"{"name":"acme","scheme":{"kind":"token","header":"x-a","field":"/a"},"envelope":{"event_type":"/t"}}"#;
        let neither = both.replace(r#","header":"x-a","field":"/a""#, "");
        for text in [both, &neither] {
            let error = serde_json::from_str::<Provider>(text).unwrap_err();
            assert!(
                error.to_string().contains("in a header or in a field"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_wrapped_around_is_checked_too() {
        let provider = Provider::new("acme", Scheme::Hmac(hmac()), Envelope::new("/type"));
        let wrong = Encryption::of_body(Cipher::Aes256Cbc, "encrypt");
        assert!(provider.with_encryption(wrong).check().is_err());
    }

    #[test]
    fn several_events_have_ids_of_their_own_in_plain_json() {
        let batch = |envelope: Envelope| {
            let scheme = Scheme::Hmac(hmac());
            Provider::new("acme", scheme, envelope.with_batch("/events/*"))
        };
        let mistake = |provider: Provider| provider.check().err().map(|error| error.0);
        let typed = || Envelope::new("/events/*/type");
        assert_eq!(mistake(batch(typed())), None);
        assert_eq!(mistake(batch(typed().with_id("/events/*/id"))), None);
        let joined = ["/delivery", "/events/*/number"].map(|place| LocatorPart::any([place]));
        let joined = typed().with_id(Locator::joined(":", joined));
        assert_eq!(mistake(batch(joined)), None);

        let outside = typed().with_id("/delivery");
        assert_eq!(mistake(batch(outside)), Some(Mistake::BatchId));
        let header = typed().with_id(HeaderName::from_static("x-delivery"));
        assert_eq!(mistake(batch(header)), Some(Mistake::BatchId));
        let form = typed().with_format(crate::provider::BodyFormat::Form);
        assert_eq!(mistake(batch(form)), Some(Mistake::BatchForm));
        let sealed = Encryption::of_body(Cipher::Aes256Gcm, "/sealed");
        let sealed = batch(typed()).with_encryption(sealed);
        assert_eq!(mistake(sealed), Some(Mistake::BatchSealed));
    }

    #[test]
    fn what_redeliveries_change_is_a_field_that_makes_no_event() {
        let one = || {
            let envelope = Envelope::new("/meta/type").with_id("/id");
            envelope.with_data("/data").with_ordering_key("/account")
        };
        let several = || Envelope::new("/events/*/type").with_batch("/events/*");
        let checked = |envelope: Envelope, fields: &[&str]| {
            let envelope = envelope.with_changing_fields(fields.iter().copied());
            let provider = Provider::new("acme", Scheme::Hmac(hmac()), envelope);
            provider.check().err().map(|error| error.0)
        };
        for fields in [&[][..], &["/n"], &["/n", "/meta/n", "/data/n", "/types"]] {
            assert_eq!(checked(one(), fields), None, "{fields:?}");
        }
        for field in ["/meta", "/meta/type", "/id", "/data", "/account"] {
            let expected = Mistake::ChangingEvent(field.to_owned());
            assert_eq!(checked(one(), &[field]), Some(expected));
        }
        for field in ["n", "", "/list/*/n"] {
            let expected = Mistake::Place(field.to_owned());
            assert_eq!(checked(one(), &[field]), Some(expected));
        }
        assert_eq!(checked(several(), &["/events/*/n"]), None);
        let outside = Mistake::ChangingOutside("/n".to_owned());
        assert_eq!(checked(several(), &["/n"]), Some(outside));
        let whole = checked(several(), &["/events/*"]);
        assert!(whole.is_some());
        let form = one().with_format(crate::provider::BodyFormat::Form);
        assert_eq!(checked(form, &["/n"]), Some(Mistake::ChangingForm));

        let envelope = one().with_changing_fields(["/n"]);
        let sealed = Encryption::of_body(Cipher::Aes256Gcm, "/sealed");
        let provider = Provider::new("acme", Scheme::Hmac(hmac()), envelope);
        let refused = provider.with_encryption(sealed).check();
        assert_eq!(refused.unwrap_err().0, Mistake::ChangingSealed);
    }

    #[test]
    fn a_document_in_a_form_is_json_and_one_event() {
        let checked = |envelope: Envelope| {
            let envelope = envelope.with_form_field("payload");
            let provider = Provider::new("acme", Scheme::Hmac(hmac()), envelope);
            provider.check().err().map(|error| error.0)
        };
        assert_eq!(checked(Envelope::new("/type")), None);
        let form = Envelope::new("/type").with_format(crate::provider::BodyFormat::Form);
        assert_eq!(checked(form), Some(Mistake::FormField));
        let several = Envelope::new("/*/type").with_batch("/*");
        assert_eq!(checked(several), Some(Mistake::BatchForm));
    }

    #[test]
    fn an_ordering_key_is_a_field_of_a_signed_body() {
        let header = HeaderName::from_static("x-acme");
        let hmac = Scheme::Hmac(HmacScheme::new(header.clone()));
        let acme = |scheme: &Scheme, key: Locator| {
            let envelope = Envelope::new("/type");
            Provider::new("acme", scheme.clone(), envelope).with_ordering_key(key)
        };
        let checked = |scheme, key| acme(scheme, key).check().map_err(|it| it.to_string());
        assert_eq!(checked(&hmac, Locator::from("/account")), Ok(()));

        let elsewhere = checked(&hmac, header.clone().into()).unwrap_err();
        assert!(elsewhere.contains("\"header:x-acme\""), "{elsewhere}");
        let parts = [Place::from("/account"), Place::EventType];
        let joined = Locator::joined(":", parts.map(|place| LocatorPart::any([place])));
        let elsewhere = checked(&hmac, joined).unwrap_err();
        assert!(
            elsewhere.contains("only a field of the body"),
            "{elsewhere}"
        );
        let nowhere = checked(&hmac, Locator::from("account")).unwrap_err();
        assert!(nowhere.contains("\"account\" is no place"), "{nowhere}");

        let token = Scheme::Token(TokenScheme::new(header));
        let unsigned = checked(&token, Locator::from("/account")).unwrap_err();
        assert!(unsigned.contains("does not cover"), "{unsigned}");
    }
}
