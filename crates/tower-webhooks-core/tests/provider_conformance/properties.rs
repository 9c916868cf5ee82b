//! What holds for any secret, body and header.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{prelude::*, sample::Index};
use tower_webhooks_core::{
    Provider, RejectionKind,
    providers::{self, m2m},
};

use crate::{
    case::{Form, SECRET, now, secrets, sign, timestamp_header, verify},
    payloads::payloads,
};

fn any_provider() -> impl Strategy<Value = Arc<Provider>> {
    any::<Index>().prop_map(|index| Arc::new(index.get(&providers::all()).clone()))
}

fn flip(bytes: &mut [u8], at: Index) -> usize {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bit / 8
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        provider in any_provider(),
        secret in "[!-~][ -~]{0,80}[!-~]",
        body: Vec<u8>,
    ) {
        let headers = sign(&provider, &secret, &body, now());
        let body = Bytes::from(body);
        let delivery = verify(&provider, &secrets(&secret), &headers, body.clone(), now()).unwrap();
        prop_assert_eq!(delivery.body(), &body);
    }

    #[test]
    fn any_flipped_bit_of_the_body_is_refused(
        provider in any_provider(),
        mut body in prop::collection::vec(any::<u8>(), 1..2_000),
        at: Index,
    ) {
        let headers = sign(&provider, SECRET, &body, now());
        flip(&mut body, at);
        let result = verify(&provider, &secrets(SECRET), &headers, body.into(), now());
        prop_assert_eq!(
            result.map(drop).err(),
            provider.scheme().covers_body().then_some(RejectionKind::SignatureMismatch)
        );
    }

    #[test]
    fn any_flipped_bit_of_the_signature_is_refused_unless_it_only_turns_a_digits_case(
        provider in any_provider(),
        body: Vec<u8>,
        at: Index,
    ) {
        let header = provider.scheme().header();
        let mut headers = sign(&provider, SECRET, &body, now());
        let signature = headers[header].to_str().unwrap().to_owned();
        let mut flipped = signature.clone().into_bytes();
        let position = flip(&mut flipped, at);
        let form = Form::of(&provider);
        let same = form != Form::Token
            && position >= form.split(&signature).0.len()
            && flipped.eq_ignore_ascii_case(signature.as_bytes());
        let Ok(value) = HeaderValue::from_bytes(&flipped) else {
            // No HTTP server lets such a header through.
            return Ok(());
        };
        headers.insert(header, value);
        match verify(&provider, &secrets(SECRET), &headers, body.into(), now()).map(drop) {
            Ok(()) => prop_assert!(same, "{:?} passed for {}", flipped, signature),
            Err(kind) => {
                prop_assert!(!same, "{:?} refused for {}", flipped, signature);
                prop_assert!(matches!(
                    kind,
                    RejectionKind::SignatureMalformed | RejectionKind::SignatureMismatch
                ));
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_signed_time_is_refused(body: Vec<u8>, at: Index) {
        let provider = Arc::new(m2m());
        let header = timestamp_header(provider.scheme().timestamp().unwrap());
        let mut headers = sign(&provider, SECRET, &body, now());
        let mut time = headers[&header].as_bytes().to_vec();
        flip(&mut time, at);
        if let Ok(value) = HeaderValue::from_bytes(&time) {
            headers.insert(&header, value);
            let kind = verify(&provider, &secrets(SECRET), &headers, body.into(), now()).unwrap_err();
            prop_assert!(matches!(
                kind,
                RejectionKind::SignatureMismatch
                    | RejectionKind::TimestampFuture
                    | RejectionKind::TimestampMalformed
                    | RejectionKind::TimestampStale
            ));
        }
    }

    #[test]
    fn no_input_makes_it_panic_or_pass(
        provider in any_provider(),
        signature in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(sha256=)?[0-9a-fA-F]{60,68}".prop_map(String::into_bytes),
        ],
        time in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "17724[0-9]{5}".prop_map(String::into_bytes),
        ],
        body: Vec<u8>,
    ) {
        let mut headers = HeaderMap::new();
        for (header, value) in [
            (provider.scheme().header().clone(), &signature),
            (HeaderName::from_static("x-m2m-timestamp"), &time),
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(header, value);
            }
        }
        prop_assert!(verify(&provider, &secrets(SECRET), &headers, body.into(), now()).is_err());
    }

    #[test]
    fn no_authentic_body_makes_it_panic(
        provider in any_provider(),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"(id|type|event|event_type|product|operation|data)":[\[\]{}",:0-9a-z\\-]{0,40}\}?"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let headers = sign(&provider, SECRET, &body, now());
        let delivery = verify(&provider, &secrets(SECRET), &headers, body.into(), now()).unwrap();
        if let Ok(event) = delivery.event() {
            for decode in payloads(provider.name()).values() {
                let _ = decode(event.data().as_bytes());
            }
        }
    }
}
