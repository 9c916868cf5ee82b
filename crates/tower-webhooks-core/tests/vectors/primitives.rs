//! HMAC itself, as it reaches users: a key in hexadecimal, a digest of the
//! whole body in a header.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, Request};
use serde::Deserialize;
use tower_webhooks_core::{
    Provider, RejectionKind, Secret, SecretErrorKind, Signer,
    provider::{Algorithm, Envelope, HmacScheme, KeyEncoding, Scheme},
};

use crate::{
    files::{self, Expect},
    run::{Verdict, put},
};

const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

#[derive(Deserialize)]
struct Vector {
    id: String,
    key: String,
    msg: String,
    tag: String,
    tag_bits: usize,
    expect: Expect,
}

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: usize,
    mismatched: usize,
    /// Some of these are right as far as they go; a receiver must refuse them
    /// all the same.
    truncated: usize,
    empty_keys: usize,
}

fn run(name: &str, algorithm: Algorithm) -> Counts {
    let provider = Provider::new(
        "primitive",
        Scheme::Hmac(
            HmacScheme::new(SIGNATURE)
                .with_algorithm(algorithm)
                .with_key_encoding(KeyEncoding::Hex),
        ),
        Envelope::new("/type"),
    );
    let now = SystemTime::UNIX_EPOCH;
    let mut counts = Counts::default();
    for vector in files::read::<Vector>(name) {
        let body = Bytes::from(const_hex::decode(&vector.msg).unwrap());
        let (expected, count) = if vector.key.is_empty() {
            (
                Verdict::SecretRefused(SecretErrorKind::Empty),
                &mut counts.empty_keys,
            )
        } else if vector.tag_bits < algorithm.digest_bytes() * 8 {
            (
                Verdict::Refused(RejectionKind::SignatureMalformed),
                &mut counts.truncated,
            )
        } else if vector.expect == Expect::Invalid {
            (
                Verdict::Refused(RejectionKind::SignatureMismatch),
                &mut counts.mismatched,
            )
        } else {
            let signer = Signer::new(provider.clone(), Secret::new(vector.key.as_str()).unwrap());
            let signed = signer.sign(&body, now).unwrap();
            assert_eq!(signed[SIGNATURE], vector.tag.as_str(), "{}", vector.id);
            (Verdict::Accepted, &mut counts.accepted)
        };
        *count += 1;
        let request = Request::post("/").header(SIGNATURE, vector.tag.as_str());
        let request = request.body(body).unwrap();
        let found = put(&provider, &[vector.key.as_str()], None, request, now);
        assert_eq!(found, expected, "{}", vector.id);
    }
    println!("{name}: {counts:?}");
    counts
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn rfc_4231() {
    let counts = run("rfc4231-hmac-sha256", Algorithm::Sha256);
    let expected = Counts {
        accepted: 6,
        truncated: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_hmac_sha1() {
    let counts = run("wycheproof-hmac-sha1", Algorithm::Sha1);
    let expected = Counts {
        accepted: 33,
        mismatched: 54,
        truncated: 83,
        empty_keys: 0,
    };
    assert_eq!(counts, expected);
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_hmac_sha256() {
    let counts = run("wycheproof-hmac-sha256", Algorithm::Sha256);
    let expected = Counts {
        accepted: 33,
        mismatched: 54,
        truncated: 87,
        empty_keys: 0,
    };
    assert_eq!(counts, expected);
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_hmac_sha512() {
    let counts = run("wycheproof-hmac-sha512", Algorithm::Sha512);
    let expected = Counts {
        accepted: 33,
        mismatched: 54,
        truncated: 87,
        empty_keys: 0,
    };
    assert_eq!(counts, expected);
}
