//! Two secrets of every form: what the sender signs with, and what the receiver
//! is given. Made for these tests, and used nowhere else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_webhooks_core::{
    Provider,
    provider::{KeyEncoding, PublicKeyAlgorithm, Scheme},
};

/// One of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

/// What both sides of one secret hold.
pub(super) struct Pair {
    pub(super) sender: String,
    pub(super) receiver: String,
}

impl Pair {
    fn shared(secret: String) -> Self {
        Self {
            receiver: secret.clone(),
            sender: secret,
        }
    }
}

/// The secret text of schemes that take any.
pub(super) fn text(which: Which) -> &'static str {
    match which {
        Which::First => "conformance-Secret_of-this-test-0001",
        Which::Second => "conformance-Secret_of-this-test-0002",
    }
}

/// The secret that opens payloads, where it is one of its own.
pub(super) const PAYLOAD_SECRET: &str = "0123456789abcdef0123456789ABCDEF";

/// The token that proves handshakes.
pub(super) const HANDSHAKE_TOKEN: &str = "conformance-token";

/// A provider's secret, in the form that it wants.
pub(super) fn pair(provider: &Provider, which: Which) -> Pair {
    let (encoding, algorithm) = match provider.scheme() {
        Scheme::Hmac(scheme) => (scheme.key().encoding(), None),
        Scheme::PublicKey(scheme) => {
            let algorithm = serde_json::to_value(scheme).unwrap()["algorithm"].clone();
            let algorithm = serde_json::from_value(algorithm).unwrap();
            (scheme.key().encoding(), Some(algorithm))
        }
        _ => (KeyEncoding::Utf8, None),
    };
    match algorithm {
        None => Pair::shared(shared(encoding, which)),
        Some(algorithm) => public(encoding, algorithm, which),
    }
}

fn shared(encoding: KeyEncoding, which: Which) -> String {
    let text = text(which);
    match encoding {
        KeyEncoding::Hex => const_hex::encode(text),
        KeyEncoding::Base64 => STANDARD.encode(text),
        KeyEncoding::Whsec => format!("whsec_{}", STANDARD.encode(text)),
        KeyEncoding::Utf8 => text.to_owned(),
        other => panic!("say here how a shared secret is written as {other:?}"),
    }
}

/// RFC 8032, section 7.1, tests 1 and 2; the others by `openssl genpkey`.
fn public(encoding: KeyEncoding, algorithm: PublicKeyAlgorithm, which: Which) -> Pair {
    let (private, public) = match (algorithm, which) {
        (PublicKeyAlgorithm::Ed25519, Which::First) => ed25519(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (PublicKeyAlgorithm::Ed25519, Which::Second) => ed25519(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ),
        (PublicKeyAlgorithm::RsaPkcs1Sha256, Which::First) => pem(
            include_str!("keys/rsa-1.pem"),
            include_str!("keys/rsa-1.pub.pem"),
        ),
        (PublicKeyAlgorithm::RsaPkcs1Sha256, Which::Second) => pem(
            include_str!("keys/rsa-2.pem"),
            include_str!("keys/rsa-2.pub.pem"),
        ),
        (_, Which::First) => pem(
            include_str!("keys/ecdsa-1.pem"),
            include_str!("keys/ecdsa-1.pub.pem"),
        ),
        (_, Which::Second) => pem(
            include_str!("keys/ecdsa-2.pem"),
            include_str!("keys/ecdsa-2.pub.pem"),
        ),
    };
    let write = |key: &[u8], label: &str| match encoding {
        KeyEncoding::Hex => const_hex::encode(key),
        KeyEncoding::Base64 => STANDARD.encode(key),
        KeyEncoding::Whpk if label == "PUBLIC KEY" => format!("whpk_{}", STANDARD.encode(key)),
        KeyEncoding::Whpk => format!("whsk_{}", STANDARD.encode(key)),
        KeyEncoding::Pem => {
            let body = STANDARD.encode(key);
            let lines: Vec<_> = body
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect();
            let lines = lines.join("\n");
            format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
        }
        other => panic!("say here how a key pair is written as {other:?}"),
    };
    Pair {
        sender: write(&private, "PRIVATE KEY"),
        receiver: write(&public, "PUBLIC KEY"),
    }
}

fn ed25519(private: &str, public: &str) -> (Vec<u8>, Vec<u8>) {
    (
        const_hex::decode(private).unwrap(),
        const_hex::decode(public).unwrap(),
    )
}

fn pem(private: &str, public: &str) -> (Vec<u8>, Vec<u8>) {
    let der = |text: &str| {
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap()
    };
    (der(private), der(public))
}
