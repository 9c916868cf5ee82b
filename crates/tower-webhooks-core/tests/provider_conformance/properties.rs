//! What holds for any secret, body and header.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use proptest::{prelude::*, sample::Index};
use tower_webhooks_core::{
    Provider, RejectionKind, Secret, Secrets, Signer, Verifier,
    provider::{Encoding, Opens, Part, Scheme},
    providers,
};

use crate::{
    case::{Case, Form, Request, Spot, event, now, sign, verify},
    keys::Which,
    payloads::payloads,
};

/// Those that sign any bytes: not those that read a JSON body to do it.
fn any_bytes() -> impl Strategy<Value = Arc<Provider>> {
    any_provider().prop_filter("signs any bytes", |provider| {
        let opens_data = provider.encryption().map(|one| one.opens()) == Some(Opens::Data);
        let in_body = Spot::of_time(provider).is_some_and(|spot| matches!(spot, Spot::Body(_)));
        provider.scheme().field().is_none() && !opens_data && !in_body
    })
}

fn any_provider() -> impl Strategy<Value = Arc<Provider>> {
    any::<Index>().prop_map(|index| Arc::new(index.get(&providers::all()).clone()))
}

fn any_case() -> impl Strategy<Value = Case> {
    any::<Index>().prop_map(|index| {
        let mut cases = Case::all();
        let at = index.index(cases.len());
        cases.swap_remove(at)
    })
}

fn flip(bytes: &mut [u8], at: Index) -> usize {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bit / 8
}

proptest! {
    #[test]
    fn what_is_signed_verifies(provider in any_bytes(), body: Vec<u8>) {
        // A form with an empty field in it is signed by nobody.
        let is_form = |part: &Part| matches!(part, Part::Form { .. });
        let signs_form = provider.scheme().parts().iter().any(is_form);
        let mut fields = body.split(|byte| *byte == b'&');
        prop_assume!(!signs_form || body.is_empty() || fields.all(|field| !field.is_empty()));
        let request = sign(&provider, Which::First, "a-type", &body);
        let delivery = verify(&provider, &[Which::First], &request, now()).unwrap();
        prop_assert_eq!(delivery.body(), &request.body);
    }

    #[test]
    fn any_text_is_a_secret_where_the_text_is_the_key(
        secret in "[!-~][ -~]{0,80}[!-~]",
        body: Vec<u8>,
    ) {
        for provider in [providers::monterrey(), providers::cryptomate()] {
            let signer = Signer::new(provider.clone(), Secret::new(secret.clone()).unwrap());
            let headers = signer.sign(&body, now()).unwrap();
            let secrets = Secrets::new(secret.clone()).unwrap();
            let verifier = Verifier::new(provider.clone(), &secrets).unwrap();
            let screened = provider.screen(&headers, now()).unwrap();
            let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
            let head = tower_webhooks_core::Head::new(&method, &uri, &headers);
            prop_assert!(verifier.verify(head, &screened, body.clone().into(), now()).is_ok());
        }
    }

    #[test]
    fn any_flipped_bit_of_the_body_is_refused(
        provider in any_bytes(),
        body in prop::collection::vec(any::<u8>(), 1..2_000),
        at: Index,
    ) {
        if !provider.scheme().covers_body() {
            return Ok(());
        }
        let mut request = sign(&provider, Which::First, "a-type", &body);
        let mut flipped = request.body.to_vec();
        flip(&mut flipped, at);
        request.body = flipped.into();
        let result = verify(&provider, &[Which::First], &request, now());
        prop_assert_eq!(result.map(drop).err(), Some(RejectionKind::SignatureMismatch));
    }

    #[test]
    fn any_flipped_bit_of_the_signature_is_refused_unless_it_only_turns_a_digits_case(
        case in any_case(),
        at: Index,
    ) {
        let mut request = case.sign();
        let spot = Spot::of_signature(&case.provider);
        let signature = spot.get(&request);
        let form = Form::of(&case.provider);
        let (prefix, digest) = form.split(&case.provider, &signature);
        let mut flipped = digest.as_bytes().to_vec();
        flip(&mut flipped, at);
        let same = form == Form::Digest(Encoding::Hex)
            && flipped.eq_ignore_ascii_case(digest.as_bytes());
        let Ok(flipped) = String::from_utf8(flipped) else {
            return Ok(());
        };
        if !spot.set(&mut request, &format!("{prefix}{flipped}")) {
            // No HTTP server lets such a header through.
            return Ok(());
        }
        match case.check(&request).map(drop) {
            Ok(()) => prop_assert!(same, "{:?} passed for {}", flipped, signature),
            Err(kind) => {
                prop_assert!(!same, "{:?} refused for {}", flipped, signature);
                prop_assert!(matches!(
                    kind,
                    RejectionKind::SignatureMalformed | RejectionKind::SignatureMismatch
                ), "{}: {}", case.name(), kind);
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_signed_time_is_refused(case in any_case(), at: Index) {
        let Some(spot) = Spot::of_time(&case.provider) else {
            return Ok(());
        };
        let mut request = case.sign();
        let mut time = spot.get(&request).into_bytes();
        flip(&mut time, at);
        let Ok(time) = String::from_utf8(time) else {
            return Ok(());
        };
        if spot.set(&mut request, &time) {
            let kind = case.check(&request).map(drop).unwrap_err();
            prop_assert!(matches!(
                kind,
                RejectionKind::SignatureMalformed
                    | RejectionKind::SignatureMismatch
                    | RejectionKind::SignatureMissing
                    | RejectionKind::TimestampFuture
                    | RejectionKind::TimestampMalformed
                    | RejectionKind::TimestampStale
            ), "{}: {}", case.name(), kind);
        }
    }

    #[test]
    fn no_input_makes_it_panic_or_pass(
        provider in any_provider(),
        signature in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(sha256=|v0=|v1,|t=1772447400,v1=)?[0-9a-fA-F]{60,68}".prop_map(String::into_bytes),
            "(v1,|v1a,)?[0-9a-zA-Z+/]{43}=".prop_map(String::into_bytes),
        ],
        time in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "17724[0-9]{5}".prop_map(String::into_bytes),
        ],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"(signature|value|notificationItems|encrypt)":[\[\]{}",:0-9a-z\\-]{0,40}\}?"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let mut headers = HeaderMap::new();
        if let (Some(header), Ok(value)) =
            (provider.scheme().header(), HeaderValue::from_bytes(&signature))
        {
            headers.insert(header, value);
        }
        if let (Some(Spot::Header(header)), Ok(value)) =
            (Spot::of_time(&provider), HeaderValue::from_bytes(&time))
        {
            headers.insert(header, value);
        }
        for header in crate::case::signed_headers(&provider) {
            headers.insert(header, HeaderValue::from_static("x"));
        }
        let request = Request { headers, body: body.into() };
        prop_assert!(verify(&provider, &[Which::First], &request, now()).is_err());
    }

    #[test]
    fn no_authentic_body_makes_it_panic(
        provider in any_bytes(),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"[\[{]"(id|type|event|event_type|product|operation|data|entry|value)":[\[\]{}",:0-9a-z\\-]{0,40}[}\]]?"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let request = sign(&provider, Which::First, "a-type", &body);
        let delivery = verify(&provider, &[Which::First], &request, now()).unwrap();
        for item in delivery.items().unwrap_or_default() {
            let _ = item.event();
        }
        if delivery.items().is_none_or(|items| items.len() < 2)
            && let Ok(event) = event(&delivery)
        {
            for decode in payloads(provider.name()).values() {
                let _ = decode(event.data().as_bytes());
            }
        }
    }
}

#[test]
fn the_first_and_the_second_secret_differ_for_every_scheme() {
    for provider in providers::all() {
        let pair = |which| crate::keys::pair(&provider, which).receiver;
        assert_ne!(pair(Which::First), pair(Which::Second));
        let shared = !matches!(provider.scheme(), Scheme::PublicKey(_));
        let sender = crate::keys::pair(&provider, Which::First).sender;
        assert_eq!(sender == pair(Which::First), shared, "{}", provider.name());
    }
}
