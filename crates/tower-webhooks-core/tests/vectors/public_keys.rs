//! Vectors of public-key signatures: providers', and Wycheproof's as they reach
//! users.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose};
use bytes::Bytes;
use http::{HeaderName, Request};
use serde::Deserialize;
use tower_webhooks_core::{
    Provider,
    RejectionKind::{SignatureMalformed, SignatureMismatch, TimestampMalformed, TimestampStale},
    SecretErrorKind::Weak,
    provider::{
        Encoding, Envelope, KeyEncoding, Part, PublicKeyAlgorithm, PublicKeyScheme, Scheme,
        SignedTimestamp,
    },
};

use crate::{
    files::{self, Expect, Vector},
    run::{
        self, Tally,
        Verdict::{self, Refused, SecretRefused},
        put, within,
    },
};

fn header(name: &str) -> HeaderName {
    name.parse().unwrap()
}

fn provider(name: &'static str, scheme: PublicKeyScheme) -> Provider {
    Provider::new(name, Scheme::PublicKey(scheme), Envelope::new("/type"))
}

/// Discord's headers and construction.
fn discord(vector: &Vector) -> Result<Provider, &'static str> {
    let timestamp = SignedTimestamp::in_header(header("x-signature-timestamp"));
    let scheme = PublicKeyScheme::new(header("x-signature-ed25519"), PublicKeyAlgorithm::Ed25519)
        .with_encoding(Encoding::Hex)
        .with_key_encoding(KeyEncoding::Hex)
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(within(timestamp, vector));
    Ok(provider("discord", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn discord_signs_its_time_with_the_body() {
    let reasons = [
        ("63 bytes", Refused(SignatureMalformed)),
        ("65 bytes", Refused(SignatureMalformed)),
        ("not hex", Refused(SignatureMalformed)),
        ("malleable", Refused(SignatureMismatch)),
        ("small-order", SecretRefused(Weak)),
    ];
    let tally = run::file("ed25519-ts-body", discord, &reasons);
    assert_eq!(tally, Tally::of(1, 8, []));
}

fn sendgrid(vector: &Vector) -> Result<Provider, &'static str> {
    let timestamp = header("x-twilio-email-event-webhook-timestamp");
    let timestamp = SignedTimestamp::in_header(timestamp);
    let scheme = PublicKeyScheme::new(
        header("x-twilio-email-event-webhook-signature"),
        PublicKeyAlgorithm::EcdsaP256Der,
    )
    .with_key_encoding(KeyEncoding::Base64)
    .with_signed([Part::Timestamp, Part::Body])
    .with_timestamp(within(timestamp, vector));
    Ok(provider("sendgrid", scheme))
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn sendgrid_signs_its_time_with_the_body() {
    let reasons = [("other timestamp", Refused(TimestampMalformed))];
    let tally = run::file("sendgrid-ecdsa", sendgrid, &reasons);
    assert_eq!(tally, Tally::of(2, 5, []));
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn standard_webhooks_version_1a() {
    let name = |what: &str| header(&format!("webhook-{what}"));
    let describe = |vector: &Vector| {
        if vector.secret_encoding != "whpk" {
            return Err("HMAC");
        }
        let timestamp = SignedTimestamp::in_header(name("timestamp"));
        let scheme = PublicKeyScheme::new(name("signature"), PublicKeyAlgorithm::Ed25519)
            .with_prefix("v1a,")
            .with_list(' ')
            .with_signed([
                Part::Header(name("id")),
                Part::literal("."),
                Part::Timestamp,
                Part::literal("."),
                Part::Body,
            ])
            .with_timestamp(within(timestamp, vector))
            .with_key_encoding(KeyEncoding::Whpk);
        Ok(provider("standard-webhooks", scheme))
    };
    let reasons = [("relabelled v1", Refused(SignatureMalformed))];
    let tally = run::file("standard-webhooks", describe, &reasons);
    assert_eq!(tally, Tally::of(2, 1, [("HMAC", 56)]));
}

/// The public key of a certificate: what `openssl x509 -pubkey` prints of it.
fn public_key(certificate: &str) -> String {
    const RSA_2048: &[u8] = b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    let inner: String = certificate
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = general_purpose::STANDARD.decode(inner).unwrap();
    let at = der
        .windows(RSA_2048.len())
        .position(|window| window == RSA_2048)
        .unwrap();
    let key = general_purpose::STANDARD.encode(&der[at..at + 0x122 + 4]);
    let lines: Vec<_> = key
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wechat_pay_signs_its_time_a_nonce_and_the_body() {
    let (mut accepted, mut refused) = (0, 0);
    for vector in files::read::<Vector>("wechatpay-v3") {
        let timestamp = SignedTimestamp::in_header(header("wechatpay-timestamp"));
        let newline = || Part::literal("\n");
        let scheme = PublicKeyScheme::new(
            header("wechatpay-signature"),
            PublicKeyAlgorithm::RsaPkcs1Sha256,
        )
        .with_signed([
            Part::Timestamp,
            newline(),
            Part::Header(header("wechatpay-nonce")),
            newline(),
            Part::Body,
            newline(),
        ])
        .with_key_id(header("wechatpay-serial"))
        .with_timestamp(within(timestamp, &vector));
        let provider = provider("wechat-pay", scheme);
        let key = public_key(vector.params["certificate_pem"].as_str().unwrap());
        let found = run::labelled_verdict(&provider, &vector, &key, "D7CE59D1F522D701");
        let expected = match vector.expected() {
            Expect::Valid => Verdict::Accepted,
            Expect::Invalid if vector.why.contains("5 minutes") => Refused(TimestampStale),
            Expect::Invalid => Refused(SignatureMismatch),
        };
        assert_eq!(found, expected, "{}: {}", vector.id, vector.why);
        *if expected == Verdict::Accepted {
            &mut accepted
        } else {
            &mut refused
        } += 1;
    }
    assert_eq!((accepted, refused), (1, 4));
}

const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

#[derive(Deserialize)]
struct Primitive {
    id: String,
    #[serde(alias = "public_der")]
    public: String,
    msg: String,
    sig: String,
    expect: Expect,
    why: String,
}

/// How many of a file were accepted, refused for what they look like, and
/// refused after a look at them.
fn primitives(name: &str, algorithm: PublicKeyAlgorithm) -> (usize, usize, usize) {
    let scheme = PublicKeyScheme::new(SIGNATURE, algorithm)
        .with_encoding(Encoding::Hex)
        .with_key_encoding(KeyEncoding::Hex);
    let provider = provider("primitive", scheme);
    let mut counts = (0, 0, 0);
    for vector in files::read::<Primitive>(name) {
        let request = Request::post("/").header(SIGNATURE, vector.sig.as_str());
        let body = Bytes::from(const_hex::decode(&vector.msg).unwrap());
        let request = request.body(body).unwrap();
        let now = SystemTime::UNIX_EPOCH;
        let found = put(&provider, &[vector.public.as_str()], None, request, now);
        let (id, why) = (&vector.id, &vector.why);
        match (vector.expect, found) {
            (Expect::Valid, Verdict::Accepted) => counts.0 += 1,
            (Expect::Invalid, Refused(SignatureMalformed)) => counts.1 += 1,
            (Expect::Invalid, Refused(SignatureMismatch)) => counts.2 += 1,
            (_, found) => panic!("{id}: {why}: {found:?}"),
        }
    }
    println!("{name}: {counts:?}");
    counts
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_ed25519() {
    let counts = primitives("wycheproof-ed25519", PublicKeyAlgorithm::Ed25519);
    assert_eq!(counts, (88, 12, 51));
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_ecdsa_p256() {
    let name = "wycheproof-ecdsa-p256-sha256";
    let counts = primitives(name, PublicKeyAlgorithm::EcdsaP256Der);
    assert_eq!(counts, (174, 99, 211));
}
