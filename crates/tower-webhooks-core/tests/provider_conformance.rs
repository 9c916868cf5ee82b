//! One list of promises, kept by every preset for every event it knows. Each
//! refused request differs in one thing from one that passes.
#![cfg(all(
    feature = "ecdsa",
    feature = "ed25519",
    feature = "encryption",
    feature = "rsa"
))]
#![allow(
    clippy::expect_used,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests and their helpers, which fail by a panic"
)]

#[path = "provider_conformance/case.rs"]
mod case;
#[path = "provider_conformance/handshakes.rs"]
mod handshakes;
#[path = "provider_conformance/keys.rs"]
mod keys;
#[path = "provider_conformance/payloads.rs"]
mod payloads;
#[path = "provider_conformance/presets.rs"]
mod presets;
#[path = "provider_conformance/properties.rs"]
mod properties;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use serde_json::Value;
use tower_webhooks_core::{
    RejectionKind,
    provider::{BodyFormat, Encoding, Opens, Scheme, TimeUnit, TimestampPlace},
    providers,
};

use self::{
    case::{Case, Form, Request, Spot, event, now, sign, signed_headers, verify, verify_at},
    keys::{Which, text},
};

const SECOND: Duration = Duration::from_secs(1);

/// What lies where the payload is said to lie.
fn payload(case: &Case) -> Value {
    let envelope = case.provider.envelope();
    if envelope.format() == BodyFormat::Form {
        let fields = case.body.split(|byte| *byte == b'&').map(|field| {
            let field = String::from_utf8(field.to_vec()).unwrap();
            let (name, value) = field.split_once('=').unwrap();
            (name.to_owned(), Value::from(value.replace("%2B", "+")))
        });
        return Value::Object(fields.collect());
    }
    let whole: Value = serde_json::from_slice(&case.body).unwrap();
    match case.provider.encryption().map(|one| one.opens()) {
        Some(Opens::Data) => {
            let plain = whole.pointer("/resource/ciphertext").unwrap();
            serde_json::from_str(plain.as_str().unwrap()).unwrap()
        }
        _ => {
            let pointer = envelope.data().replace('*', "0");
            whole.pointer(&pointer).unwrap().clone()
        }
    }
}

/// Events without an id of providers whose other events have one.
const WITHOUT_ID: [&str; 6] = [
    "twilio busy",
    "twilio canceled",
    "twilio completed",
    "twilio in-progress",
    "twilio no-answer",
    "twilio ringing",
];

#[test]
fn a_good_delivery_is_the_event_that_its_sample_says() {
    for case in Case::all() {
        let request = case.sign();
        let delivery = case.check(&request).unwrap();
        assert_eq!(delivery.body(), &request.body);
        assert_eq!(delivery.secret_label().unwrap(), "current");
        let signs_time = case.provider.scheme().timestamp().is_some();
        assert_eq!(delivery.signed_at(), signs_time.then(now));
        let head = event(&delivery).unwrap();
        let name = case.name();
        assert_eq!(head.event_type(), case.event_type.as_str(), "{name}");
        let envelope = case.provider.envelope();
        let has_id = envelope.id().is_some() && !WITHOUT_ID.contains(&name.as_str());
        assert_eq!(head.id().is_some(), has_id, "{name}");
        assert!(has_id || envelope.id().is_none() || envelope.is_id_optional());
        let timed = envelope.time().is_some();
        assert_eq!(head.occurred_at().is_some(), timed, "{name}");
        if case.provider.scheme().header().is_some() {
            let data: Value = serde_json::from_str(head.data()).unwrap();
            assert_eq!(data, payload(&case), "{name}");
        }
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    for case in Case::all() {
        let request = case.sign_with(Which::Second);
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMismatch, "{}", case.name());
    }
}

#[test]
fn the_previous_secret_still_verifies_during_rotation() {
    let both = [Which::Second, Which::First];
    for case in Case::all() {
        for (which, label) in [(Which::First, "previous"), (Which::Second, "current")] {
            let request = case.sign_with(which);
            let delivery = verify(&case.provider, &both, &request, now()).unwrap();
            assert_eq!(delivery.secret_label().unwrap(), label, "{}", case.name());
            assert!(event(&delivery).is_ok(), "{}", case.name());
        }
    }
}

#[test]
fn a_signed_time_counts_to_the_edge_and_an_unsigned_one_never() {
    for case in Case::all() {
        let request = case.sign();
        let at = |now| verify(&case.provider, &[Which::First], &request, now).map(drop);
        let Some(rule) = case.provider.scheme().timestamp() else {
            let years = 3_650 * 86_400 * SECOND;
            assert_eq!(at(now() + years), Ok(()), "{}", case.name());
            assert_eq!(at(now() - years), Ok(()), "{}", case.name());
            continue;
        };
        let tolerance = rule.tolerance().unwrap();
        let minutes = if case.provider.name() == "linear" {
            1
        } else {
            5
        };
        assert_eq!(tolerance, minutes * 60 * SECOND, "{}", case.name());
        assert_eq!(at(now() + tolerance), Ok(()));
        assert_eq!(at(now() - tolerance), Ok(()));
        let stale = Err(RejectionKind::TimestampStale);
        assert_eq!(at(now() + tolerance + SECOND), stale);
        let future = Err(RejectionKind::TimestampFuture);
        assert_eq!(at(now() - tolerance - SECOND), future);
    }
}

#[test]
fn a_signed_time_stands_there_once_in_its_own_form() {
    let mut timed = 0;
    for case in Case::signed() {
        let Some(spot) = Spot::of_time(&case.provider) else {
            continue;
        };
        timed += 1;
        let name = case.name();
        let good = case.sign();
        let mut missing = good.clone();
        spot.remove(&mut missing);
        let refused = case.check(&missing).unwrap_err();
        assert_eq!(refused, RejectionKind::TimestampMissing, "{name}");

        let time = spot.get(&good);
        if let Spot::Header(header) = &spot {
            let mut repeated = good.clone();
            repeated.headers.append(header, time.parse().unwrap());
            let refused = case.check(&repeated).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureRepeated, "{name}");
        }
        let rule = case.provider.scheme().timestamp().unwrap();
        let in_digits = rule.unit() != TimeUnit::Rfc3339;
        for malformed in [
            String::new(),
            format!("0{time}"),
            format!("+{time}"),
            format!("{time}.0"),
            format!("{time}000"),
            if in_digits {
                "2026-03-02T10:30:00Z"
            } else {
                "1772447400"
            }
            .to_owned(),
        ] {
            let mut request = good.clone();
            spot.set(&mut request, &malformed);
            let refused = case.check(&request).unwrap_err();
            // In a number's place some of these are no JSON at all.
            let no_json = matches!(rule.place(), TimestampPlace::Pointer(_))
                && serde_json::from_slice::<Value>(&request.body).is_err();
            let expected = if no_json {
                RejectionKind::SignatureMissing
            } else {
                RejectionKind::TimestampMalformed
            };
            assert_eq!(refused, expected, "{name}: {malformed:?}");
        }
        let another = match rule.unit() {
            TimeUnit::Rfc3339 => time.replace("10:30:00", "10:30:01"),
            _ => time.replace("1772447400", "1772447401"),
        };
        assert_ne!(another, time);
        let mut request = good.clone();
        spot.set(&mut request, &another);
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMismatch, "{name}");
    }
    assert_eq!(timed, 46, "the events of the providers that sign a time");
}

#[test]
fn a_missing_signature_is_refused() {
    for case in Case::all() {
        let mut request = case.sign();
        Spot::of_signature(&case.provider).remove(&mut request);
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMissing, "{}", case.name());
    }
}

#[test]
fn a_repeated_signature_is_refused_even_if_both_are_right() {
    for case in Case::all() {
        let mut request = case.sign();
        match Spot::of_signature(&case.provider) {
            Spot::Header(header) => {
                let value = request.headers[&header].clone();
                request.headers.append(header, value);
            }
            Spot::Body(pointer) => {
                let name = pointer.rsplit('/').next().unwrap();
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                let field = format!("\"{name}\":\"");
                let at = body.rfind(&field).unwrap();
                let end = at + field.len() + body[at + field.len()..].find('"').unwrap() + 1;
                let twice = format!("{}{},{}", &body[..at], &body[at..end], &body[at..]);
                request.body = twice.into();
            }
            Spot::Field(..) => panic!("a signature has a place of its own"),
        }
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureRepeated, "{}", case.name());
    }
}

#[test]
fn a_signed_header_stands_there_once_and_counts() {
    for case in Case::signed() {
        for header in signed_headers(&case.provider) {
            let name = case.name();
            let mut request = case.sign();
            let value = request.headers.remove(&header).unwrap();
            let refused = case.check(&request).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureMissing, "{name}");
            request.headers.append(&header, value.clone());
            request.headers.append(&header, value);
            let refused = case.check(&request).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureRepeated, "{name}");
            request.headers.insert(&header, "another".parse().unwrap());
            let refused = case.check(&request).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureMismatch, "{name}");
        }
    }
}

#[test]
fn a_malformed_signature_is_refused_whatever_the_body_says() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let good = case.sign();
        let spot = Spot::of_signature(&case.provider);
        let signature = spot.get(&good);
        let (prefix, digest) = form.split(&case.provider, &signature);
        assert!(digest.len() > 26, "{}", case.name());
        for malformed in [
            String::new(),
            format!("{prefix}="),
            format!("{prefix}{}", &digest[..2]),
            format!("{prefix}{digest}00"),
            format!("{prefix}{}", "z".repeat(63)),
            format!("{prefix} {}", &digest[1..]),
            format!("{prefix}{digest}\u{e9}"),
            format!("v9={digest}"),
            format!("SHA256={digest}"),
        ] {
            let mut request = good.clone();
            if !spot.set(&mut request, &malformed) {
                continue;
            }
            let refused = case.check(&request).unwrap_err();
            let (kind, name) = (RejectionKind::SignatureMalformed, case.name());
            assert_eq!(refused, kind, "{name} {malformed:?}");
        }
    }
}

#[test]
fn a_version_that_this_scheme_is_not_never_counts() {
    for (name, other) in [
        ("stripe", "v0"),
        ("paddle", "h0"),
        ("standard-webhooks", "v1a"),
        ("standard-webhooks-ed25519", "v1"),
        ("svix", "v2"),
    ] {
        let cases = Case::all().into_iter();
        for case in cases.filter(|case| case.provider.name() == name) {
            let good = case.sign();
            let spot = Spot::of_signature(&case.provider);
            let own = match name {
                "stripe" => "v1=",
                "paddle" => "h1=",
                "standard-webhooks-ed25519" => "v1a,",
                _ => "v1,",
            };
            let other = format!("{other}{}", &own[own.len() - 1..]);
            let downgraded = spot.get(&good).replace(own, &other);
            let mut request = good.clone();
            spot.set(&mut request, &downgraded);
            let refused = case.check(&request).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureMalformed, "{name}");
        }
    }
}

#[test]
fn a_digest_in_upper_case_is_accepted_where_it_is_hexadecimal() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let mut request = case.sign();
        let spot = Spot::of_signature(&case.provider);
        let signature = spot.get(&request);
        let (prefix, digest) = form.split(&case.provider, &signature);
        let upper = format!("{prefix}{}", digest.to_uppercase());
        spot.set(&mut request, &upper);
        let accepted = case.check(&request).is_ok();
        let hex = form == Form::Digest(Encoding::Hex);
        assert_eq!(accepted, hex || upper == signature, "{}", case.name());
    }
}

#[test]
fn a_token_is_accepted_whole_and_as_it_is_or_not_at_all() {
    let secret = text(Which::First);
    let cases = Case::all().into_iter();
    for case in cases.filter(|case| Form::of(&case.provider) == Form::Token) {
        let spot = Spot::of_signature(&case.provider);
        for wrong in [
            &secret[1..],
            &secret[..secret.len() - 1],
            &format!("{secret}0"),
            &secret.to_uppercase(),
            &format!("Bearer {secret}"),
        ] {
            let mut request = case.sign();
            spot.set(&mut request, wrong);
            let refused = case.check(&request).unwrap_err();
            assert_eq!(refused, RejectionKind::SignatureMismatch, "{wrong:?}");
        }
        let mut request = case.sign();
        spot.set(&mut request, "");
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMalformed);
    }
}

#[test]
fn every_byte_of_the_body_counts_where_the_body_is_signed() {
    for case in Case::all() {
        let good = case.sign();
        if !case.provider.scheme().covers_body() {
            continue;
        }
        let altered = |body: Vec<u8>| Request {
            body: body.into(),
            ..good.clone()
        };
        // A public key costs too much for each of thousands of bytes.
        let step = match case.provider.scheme() {
            Scheme::PublicKey(_) => 7,
            _ => 1,
        };
        for position in (0..good.body.len()).step_by(step) {
            let mut body = good.body.to_vec();
            body[position] ^= 1;
            let refused = case.check(&altered(body)).map(drop).unwrap_err();
            // In the body's own time of sending a bit makes another time of it.
            let in_body = case.provider.name() == "linear";
            let expected = refused == RejectionKind::SignatureMismatch || in_body;
            assert!(expected, "{} at {position}: {refused}", case.name());
        }
        let shorter = altered(good.body[..good.body.len() - 1].to_vec());
        assert!(case.check(&shorter).is_err(), "{}", case.name());
        let longer = altered([&good.body[..], b"\n"].concat());
        let refused = case.check(&longer).map(drop).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMismatch);
    }
}

#[test]
fn another_url_is_refused_where_the_url_is_signed() {
    let mut signing = 0;
    for case in Case::all() {
        let request = case.sign();
        let another = Uri::from_static("/inner?shop=2");
        let found = verify_at(&another, &case.provider, &[Which::First], &request, now());
        let signs = case.provider.scheme().needs_public_url();
        signing += usize::from(signs);
        let expected = signs.then_some(RejectionKind::SignatureMismatch);
        assert_eq!(found.map(drop).err(), expected, "{}", case.name());
    }
    assert_eq!(signing, 28, "the events of HubSpot, Square and Twilio");
}

#[test]
fn what_another_provider_sends_is_refused() {
    for case in Case::all() {
        for other in providers::all().into_iter().map(Arc::new) {
            let same_header = other.scheme().header().is_some()
                && other.scheme().header() == case.provider.scheme().header();
            // Two of them share a scheme, and only the secret tells them apart.
            if other.scheme() == case.provider.scheme() {
                continue;
            }
            let body = &other.events().list[0].sample.clone().unwrap();
            let request = sign(&other, Which::First, &case.event_type, body.as_bytes());
            let refused = case.check(&request).map(drop).unwrap_err();
            let (from, to) = (other.name(), case.name());
            if same_header {
                assert_eq!(refused, RejectionKind::SignatureMalformed, "{from} to {to}");
            } else {
                assert_eq!(refused, RejectionKind::SignatureMissing, "{from} to {to}");
            }
        }
    }
}

#[test]
fn an_empty_body_is_no_event() {
    for provider in providers::all().into_iter().map(Arc::new) {
        let name = provider.name().clone();
        if provider.scheme().field().is_some() || provider.encryption().is_some() {
            continue;
        }
        let in_body = provider
            .scheme()
            .timestamp()
            .is_some_and(|rule| matches!(rule.place(), TimestampPlace::Pointer(_)));
        if in_body {
            continue;
        }
        let request = sign(&provider, Which::First, "some-type", b"");
        let delivery = verify(&provider, &[Which::First], &request, now()).unwrap();
        assert!(event(&delivery).is_err(), "{name}");
    }
    for case in Case::all() {
        let request = Request {
            body: Bytes::new(),
            ..case.sign()
        };
        let found = case.check(&request);
        let is_no_event = found.map_or(true, |delivery| event(&delivery).is_err());
        assert!(is_no_event, "{}", case.name());
    }
}
