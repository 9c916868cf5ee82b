//! One list of promises, kept by every preset for every event it knows. Each
//! refused request differs in one thing from one that passes.
#![allow(
    clippy::expect_used,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests and their helpers, which fail by a panic"
)]

#[path = "provider_conformance/case.rs"]
mod case;
#[path = "provider_conformance/payloads.rs"]
mod payloads;
#[path = "provider_conformance/presets.rs"]
mod presets;
#[path = "provider_conformance/properties.rs"]
mod properties;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tower_webhooks_core::{RejectionKind, Unusable, providers};

use self::case::{Case, Form, OTHER_SECRET, SECRET, now, secrets, sign, timestamp_header, verify};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_good_delivery_is_the_event_that_its_sample_says() {
    for case in Case::all() {
        let delivery = case.check(&case.sign()).unwrap();
        assert_eq!(delivery.body(), &case.body);
        assert_eq!(delivery.secret_label().unwrap(), "current");
        let signs_time = case.provider.scheme().timestamp().is_some();
        assert_eq!(delivery.signed_at(), signs_time.then(now));
        let event = delivery.event().unwrap();
        assert_eq!(
            event.event_type(),
            case.event_type.as_str(),
            "{}",
            case.name()
        );
        assert_eq!(
            event.id().is_some(),
            case.provider.envelope().id().is_some()
        );
        assert_eq!(
            event.occurred_at().is_some(),
            case.provider.envelope().time().is_some(),
            "{}",
            case.name()
        );
        let whole: Value = serde_json::from_slice(&case.body).unwrap();
        let data: Value = serde_json::from_str(event.data()).unwrap();
        assert_eq!(data, whole["data"], "{}", case.name());
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    for case in Case::all() {
        let headers = sign(&case.provider, OTHER_SECRET, &case.body, now());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMismatch,
            "{}",
            case.name()
        );
    }
}

#[test]
fn the_previous_secret_still_verifies_during_rotation() {
    let both = secrets(OTHER_SECRET).with_previous(SECRET).unwrap();
    for case in Case::all() {
        let check =
            |headers: &HeaderMap| verify(&case.provider, &both, headers, case.body.clone(), now());
        let old = check(&case.sign()).unwrap();
        assert_eq!(old.secret_label().unwrap(), "previous", "{}", case.name());
        let new = check(&sign(&case.provider, OTHER_SECRET, &case.body, now())).unwrap();
        assert_eq!(new.secret_label().unwrap(), "current", "{}", case.name());
    }
}

#[test]
fn a_signed_time_counts_to_the_edge_and_an_unsigned_one_never() {
    let mut timed = 0;
    for case in Case::all() {
        let headers = case.sign();
        let at = |now| {
            verify(
                &case.provider,
                &secrets(SECRET),
                &headers,
                case.body.clone(),
                now,
            )
            .map(drop)
        };
        let Some(rule) = case.provider.scheme().timestamp() else {
            let years = 3_650 * 86_400 * SECOND;
            assert_eq!(at(now() + years), Ok(()), "{}", case.name());
            assert_eq!(at(now() - years), Ok(()), "{}", case.name());
            continue;
        };
        timed += 1;
        let tolerance = rule.tolerance().unwrap();
        assert_eq!(tolerance, 300 * SECOND);
        assert_eq!(at(now() + tolerance), Ok(()));
        assert_eq!(at(now() - tolerance), Ok(()));
        assert_eq!(
            at(now() + tolerance + SECOND),
            Err(RejectionKind::TimestampStale)
        );
        assert_eq!(
            at(now() - tolerance - SECOND),
            Err(RejectionKind::TimestampFuture)
        );
    }
    assert_eq!(timed, 5, "the events of the one provider that signs a time");
}

#[test]
fn a_signed_time_stands_there_once_in_its_own_form() {
    for case in Case::signed() {
        let Some(rule) = case.provider.scheme().timestamp() else {
            continue;
        };
        let header = timestamp_header(rule);
        let mut headers = case.sign();
        let time = headers.remove(&header).unwrap();
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::TimestampMissing
        );
        headers.append(&header, time.clone());
        headers.append(&header, time.clone());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureRepeated
        );
        let time = time.to_str().unwrap();
        for malformed in [
            String::new(),
            format!("0{time}"),
            format!("+{time}"),
            format!("{time}.0"),
            format!("{time}000"),
            "2026-03-02T10:30:00Z".to_owned(),
        ] {
            headers.insert(&header, malformed.parse().unwrap());
            assert_eq!(
                case.check(&headers).unwrap_err(),
                RejectionKind::TimestampMalformed,
                "{malformed:?}"
            );
        }
        let another = time.replace("1772447400", "1772447401");
        headers.insert(&header, another.parse().unwrap());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMismatch
        );
    }
}

#[test]
fn a_missing_signature_is_refused() {
    for case in Case::all() {
        let mut headers = case.sign();
        headers.remove(case.header()).unwrap();
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMissing,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_repeated_signature_is_refused_even_if_both_are_right() {
    for case in Case::all() {
        let mut headers = case.sign();
        headers.append(case.header(), case.signature().parse().unwrap());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureRepeated,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_malformed_signature_is_refused_before_the_body_counts() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        for malformed in [
            String::new(),
            prefix.to_owned() + "=",
            format!("{prefix}{}", &digest[..62]),
            format!("{prefix}{}", &digest[..63]),
            format!("{prefix}{digest}00"),
            format!("{prefix}{}", "z".repeat(64)),
            format!("{prefix}0x{}", &digest[2..]),
            format!("{prefix} {}", &digest[1..]),
            format!("{prefix}{digest}, {prefix}{digest}"),
            format!("v1={digest}"),
            format!("sha1={digest}"),
            format!("SHA256={digest}"),
            format!("sha256=sha256={digest}"),
        ] {
            assert_eq!(
                case.check_signature(&malformed).unwrap_err(),
                RejectionKind::SignatureMalformed,
                "{} {malformed:?}",
                case.name()
            );
        }
    }
}

#[test]
fn a_digest_of_the_right_length_in_other_digits_is_refused() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        let next = |digit: char| char::from_digit((digit.to_digit(16).unwrap() + 1) % 16, 16);
        let other: String = digest.chars().map(|digit| next(digit).unwrap()).collect();
        assert_eq!(
            case.check_signature(&format!("{prefix}{other}"))
                .unwrap_err(),
            RejectionKind::SignatureMismatch,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_digest_in_upper_case_is_accepted() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        let upper = format!("{prefix}{}", digest.to_uppercase());
        assert_ne!(upper, signature);
        case.check_signature(&upper).unwrap();
    }
}

#[test]
fn a_token_is_accepted_whole_and_as_it_is_or_not_at_all() {
    let cases = Case::all().into_iter();
    for case in cases.filter(|case| Form::of(&case.provider) == Form::Token) {
        for wrong in [
            &SECRET[1..],
            &SECRET[..SECRET.len() - 1],
            &format!("{SECRET}0"),
            &SECRET.to_uppercase(),
            &format!("Bearer {SECRET}"),
        ] {
            assert_eq!(
                case.check_signature(wrong).unwrap_err(),
                RejectionKind::SignatureMismatch,
                "{wrong:?}"
            );
        }
        assert_eq!(
            case.check_signature("").unwrap_err(),
            RejectionKind::SignatureMalformed
        );
    }
}

#[test]
fn every_byte_of_the_body_counts_where_the_body_is_signed() {
    for case in Case::all() {
        let headers = case.sign();
        let covered = case.provider.scheme().covers_body();
        for position in 0..case.body.len() {
            let mut altered = case.body.to_vec();
            altered[position] ^= 1;
            let result = verify(
                &case.provider,
                &secrets(SECRET),
                &headers,
                altered.into(),
                now(),
            );
            assert_eq!(
                result.map(drop).err(),
                covered.then_some(RejectionKind::SignatureMismatch),
                "{} at {position}",
                case.name()
            );
        }
        for body in [
            case.body.slice(..case.body.len() - 1),
            Bytes::from([&case.body[..], b"\n"].concat()),
        ] {
            let result = verify(&case.provider, &secrets(SECRET), &headers, body, now());
            assert_eq!(result.is_err(), covered, "{}", case.name());
        }
    }
}

#[test]
fn what_another_provider_sends_is_refused() {
    for case in Case::all() {
        for other in providers::all().into_iter().map(Arc::new) {
            if other.scheme().header() == case.header() {
                assert_eq!(other.name(), case.provider.name(), "two share a header");
                continue;
            }
            let headers = sign(&other, SECRET, &case.body, now());
            assert_eq!(
                case.check(&headers).unwrap_err(),
                RejectionKind::SignatureMissing,
                "{} to {}",
                other.name(),
                case.name()
            );
        }
    }
}

#[test]
fn an_empty_body_verifies_and_is_unusable() {
    for provider in providers::all().into_iter().map(Arc::new) {
        let headers = sign(&provider, SECRET, b"", now());
        let delivery = verify(&provider, &secrets(SECRET), &headers, Bytes::new(), now()).unwrap();
        assert_eq!(
            delivery.event(),
            Err(Unusable::NotJson),
            "{}",
            provider.name()
        );
    }
}
