//! What is wrapped around a payload: whatever is in it, nothing panics; what was
//! sealed opens again, and what was changed afterwards does not, where the cipher
//! authenticates.
#![no_main]

use std::{sync::LazyLock, time::SystemTime};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header::CONTENT_ENCODING};
use libfuzzer_sys::fuzz_target;
use tower_webhooks_core::{
    Head, Opener, Provider, Secret, Secrets, Signer, Verifier,
    provider::{
        Cipher, CodedField, Coding, Compression, Encryption, Envelope, HmacScheme, Scheme,
        SignedBytes,
    },
};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const KEY: &str = "0123456789abcdef0123456789ABCDEF";

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// A body as it comes.
    Any { authenticated: bool, body: &'a [u8] },
    /// A payload that is sealed, then changed at one place.
    Sealed {
        payload: &'a [u8],
        at: usize,
        to: u8,
    },
    /// A body that is to be inflated.
    Coded { coding: u8, body: &'a [u8] },
}

fn described(cipher: Cipher) -> Encryption {
    let encryption = Encryption::of_body(cipher, "/sealed");
    match cipher {
        Cipher::Aes256Cbc => encryption,
        _ => encryption.with_nonce(CodedField::text("/nonce")),
    }
}

fn opener(cipher: Cipher) -> Opener {
    Opener::new(&described(cipher), &Secrets::new(KEY).unwrap()).unwrap()
}

static CBC: LazyLock<Opener> = LazyLock::new(|| opener(Cipher::Aes256Cbc));
static GCM: LazyLock<Opener> = LazyLock::new(|| opener(Cipher::Aes256Gcm));

fn signed(provider: Provider) -> Provider {
    provider.check().unwrap();
    provider
}

static SEALS: LazyLock<Signer> = LazyLock::new(|| {
    let provider = Provider::new("acme", scheme(), Envelope::new("/type"))
        .with_encryption(described(Cipher::Aes256Gcm));
    Signer::new(signed(provider), Secret::new("not this one").unwrap())
        .with_payload_secret(Secret::new(KEY).unwrap())
});

static INFLATES: LazyLock<Verifier> = LazyLock::new(|| {
    let compression =
        Compression::new([Coding::Gzip, Coding::Deflate]).with_signed_bytes(SignedBytes::Plain);
    let provider =
        Provider::new("acme", scheme(), Envelope::new("/type")).with_compression(compression);
    Verifier::new(signed(provider), &Secrets::new("not this one").unwrap()).unwrap()
});

fn scheme() -> Scheme {
    Scheme::Hmac(HmacScheme::new(http::HeaderName::from_static(
        "x-signature",
    )))
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Any {
        authenticated,
        body,
    } => {
        let body = Bytes::copy_from_slice(body);
        let opened = if authenticated { &GCM } else { &CBC }.open(&body, NOW);
        assert!(!authenticated || opened.is_err(), "nobody sealed this");
    }
    Input::Sealed { payload, at, to } => {
        let sealed = SEALS.sign_request(payload, NOW).unwrap().body;
        assert_eq!(GCM.open(&sealed, NOW).unwrap(), payload);
        let mut changed = sealed.to_vec();
        let at = at % changed.len();
        changed[at] = to;
        // Space between the fields, or another way to write the same, is no change.
        if let Ok(opened) = GCM.open(&changed.into(), NOW) {
            assert_eq!(opened, payload);
        }
    }
    Input::Coded { coding, body } => {
        let mut headers = HeaderMap::new();
        let coding = ["gzip", "deflate", "identity", "x-gzip"][usize::from(coding) % 4];
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        headers.insert("x-signature", "0".repeat(64).parse().unwrap());
        let screened = INFLATES.provider().screen(&headers, NOW).unwrap();
        let (method, uri) = (Method::POST, Uri::from_static("/"));
        let head = Head::new(&method, &uri, &headers);
        let body = Bytes::copy_from_slice(body);
        assert!(INFLATES.verify(head, &screened, body, NOW).is_err());
    }
});
