//! Compressed bodies through a verifier: which bytes are signed, and what is
//! seen of them.
#![cfg(feature = "inflate")]
#![allow(
    clippy::unwrap_used,
    reason = "tests and their helpers, which fail by a panic"
)]

use std::{io::Write as _, time::SystemTime};

use bytes::Bytes;
use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::CONTENT_ENCODING};
use tower_webhooks_core::{
    Delivery, Head, Provider, RejectionKind, Restored, Secret, Secrets, Signer, Unusable, Verifier,
    provider::{Coding, Compression, Envelope, HmacScheme, Scheme, SignedBytes},
};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const PLAIN: &[u8] = br#"{"type":"paid","id":"1"}"#;

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Level::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap().into()
}

fn provider(signs: SignedBytes) -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-signature"));
    let compression = Compression::new([Coding::Gzip]).with_signed_bytes(signs);
    Provider::new(
        "acme",
        Scheme::Hmac(scheme),
        Envelope::new("/type").with_id("/id"),
    )
    .with_compression(compression)
}

/// A request whose signature covers `signed`, and whose body is `body`.
fn ask(
    signs: SignedBytes,
    signed: &[u8],
    body: &Bytes,
    coding: &'static str,
) -> Result<Delivery, RejectionKind> {
    let provider = provider(signs);
    let signer = Signer::new(provider.clone(), Secret::new("a-secret").unwrap());
    let mut headers = signer.sign(signed, NOW).unwrap();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    let verifier = Verifier::new(provider.clone(), &Secrets::new("a-secret").unwrap()).unwrap();
    let screened = provider.screen(&headers, NOW).unwrap();
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let head = Head::new(&method, &uri, &headers);
    verifier
        .verify(head, &screened, body.clone(), NOW)
        .map_err(|rejection| rejection.kind())
}

#[test]
fn the_wires_bytes_are_verified_and_then_inflated() {
    let body = gzip(PLAIN);
    let delivery = ask(SignedBytes::Wire, &body, &body, "gzip").unwrap();
    assert_eq!(delivery.event().unwrap().event_type(), "paid");
    assert_eq!(
        (delivery.body(), delivery.content().unwrap()),
        (&body, &PLAIN.into())
    );
    let refused = ask(SignedBytes::Wire, PLAIN, &body, "gzip").map(drop);
    assert_eq!(refused, Err(RejectionKind::SignatureMismatch));
}

#[test]
fn the_plain_bytes_are_verified_where_the_provider_signs_them() {
    let body = gzip(PLAIN);
    let delivery = ask(SignedBytes::Plain, PLAIN, &body, "gzip").unwrap();
    assert_eq!(delivery.event().unwrap().event_type(), "paid");
    assert_eq!(delivery.body(), &body);
    let refused = ask(SignedBytes::Plain, &body, &body, "gzip").map(drop);
    assert_eq!(refused, Err(RejectionKind::SignatureMismatch));
}

#[test]
fn what_cannot_be_inflated_is_refused_only_where_nothing_is_authentic_yet() {
    let broken = gzip(PLAIN).slice(1..);
    let delivery = ask(SignedBytes::Wire, &broken, &broken, "gzip").unwrap();
    assert_eq!(delivery.event(), Err(Unusable::NotInflated));
    let refused = ask(SignedBytes::Plain, PLAIN, &broken, "gzip").map(drop);
    assert_eq!(refused, Err(RejectionKind::ContentEncodingUnsupported));
    let bomb = gzip(&vec![b' '; 32 * 1024 * 1024]);
    let delivery = ask(SignedBytes::Wire, &bomb, &bomb, "gzip").unwrap();
    assert_eq!(delivery.event(), Err(Unusable::NotInflated));
    let refused = ask(SignedBytes::Plain, PLAIN, &bomb, "gzip").map(drop);
    assert_eq!(refused, Err(RejectionKind::BodyTooLarge));
    let delivery = ask(SignedBytes::Wire, PLAIN, &PLAIN.into(), "br").unwrap();
    assert_eq!(delivery.event(), Err(Unusable::NotInflated));
}

#[test]
fn what_an_inbox_kept_is_inflated_again() {
    for signs in [SignedBytes::Wire, SignedBytes::Plain] {
        let mut stored = Restored::new(gzip(PLAIN), NOW);
        let coded = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        stored.headers = coded.into_iter().collect::<HeaderMap>();
        let delivery = Delivery::insecure_restore(provider(signs).into(), stored);
        assert_eq!(delivery.event().unwrap().event_type(), "paid");
    }
}
