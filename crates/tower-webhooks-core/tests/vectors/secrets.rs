//! Which secrets a set-up takes.

use http::HeaderName;
use serde::Deserialize;
use tower_webhooks_core::{
    Provider, Secret, SecretErrorKind,
    provider::{Encoding, Envelope, HmacScheme, KeyEncoding, Scheme},
};

use crate::{files, run::verifier};

#[derive(Deserialize)]
struct Vector {
    scheme: String,
    input: String,
    expect: Expect,
    why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Accept,
    Reject,
    Warn,
}

/// What is wrong with the secrets that are refused, by their `why`; the first
/// row that it contains counts.
const REASONS: [(&str, SecretErrorKind); 12] = [
    ("empty", SecretErrorKind::Empty),
    ("ACCEPTS; forged event", SecretErrorKind::Empty),
    ("only spaces", SecretErrorKind::Empty),
    ("prefix only", SecretErrorKind::Empty),
    ("misspelt prefix", SecretErrorKind::Malformed),
    ("not base64", SecretErrorKind::Malformed),
    ("not hex", SecretErrorKind::Malformed),
    ("public key", SecretErrorKind::Malformed),
    ("truncated private key", SecretErrorKind::Malformed),
    ("longer than 64 bytes", SecretErrorKind::TooLong),
    // Eight bytes once the missing padding is allowed for.
    ("bad base64 length", SecretErrorKind::TooShort),
    ("shorter than 24", SecretErrorKind::TooShort),
];

fn provider(name: &str) -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-signature"));
    let scheme = match name {
        "adyen" => scheme
            .with_encoding(Encoding::Base64)
            .with_key_encoding(KeyEncoding::Hex),
        "linear" | "slack" | "square" | "stripe" => scheme,
        "standard-webhooks" => scheme
            .with_key_encoding(KeyEncoding::Whsec)
            .with_key_bytes(24, Some(64)),
        other => panic!("no scheme is called {other}"),
    };
    Provider::new(name, Scheme::Hmac(scheme), Envelope::new("/type"))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn unfit_secrets_are_refused_at_set_up_and_never_shown() {
    let mut accepted = 0;
    let mut warned = 0;
    let mut told = [0; REASONS.len()];
    for vector in files::read::<Vector>("secret-construction") {
        let Vector { input, why, .. } = &vector;
        let made = verifier(&provider(&vector.scheme), &[input]);
        match vector.expect {
            Expect::Reject => {
                let error = made.unwrap_err();
                let row = REASONS.iter().position(|(text, _)| why.contains(text));
                let row = row.unwrap_or_else(|| panic!("no row tells {why:?}"));
                told[row] += 1;
                assert_eq!(error.kind(), REASONS[row].1, "{why}");
                for shown in [error.to_string(), format!("{error:?}")] {
                    let hidden = input.trim().is_empty() || !shown.contains(input.as_str());
                    assert!(hidden, "{why}: {shown}");
                }
            }
            Expect::Accept | Expect::Warn => {
                assert!(made.is_ok(), "{why}: {made:?}");
                let secret = Secret::new(input.as_str()).unwrap();
                let warns = vector.expect == Expect::Warn;
                assert_eq!(secret.has_outer_whitespace(), warns, "{why}");
                *if warns { &mut warned } else { &mut accepted } += 1;
            }
        }
    }
    assert_eq!((accepted, warned), (3, 1));
    assert_eq!(told, [7, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1]);
}
