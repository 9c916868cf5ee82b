//! Lark, also called Feishu: events for an app, encrypted.
//!
//! # Sources
//!
//! github.com/larksuite/oapi-sdk-go (event/dispatcher/dispatcher_test.go) and oapi-sdk-java
//! (TestDecryptor.java); open.feishu.cn/document, event subscription, overview; read 2026-11-22
//! from stored copies.
//!
//! # What the signature covers
//!
//! `X-Lark-Signature` is the plain SHA-256 in hexadecimal, no HMAC, of the text of
//! `X-Lark-Request-Timestamp` (seconds since 1970), the text of `X-Lark-Request-Nonce`, the
//! encrypt key and the raw body, with nothing between them. Characters could move between the
//! first two; a time that is fresh and of its own form leaves them no room.
//!
//! The body is `{"encrypt":…}`: base64 of an initialisation vector and AES-256-CBC, keyed with
//! the SHA-256 of the same encrypt key. It is verified first, then decrypted; only what was
//! decrypted counts.
//!
//! The handshake, `url_verification`, is not signed. It is encrypted all the same, and proven
//! by the verification token inside, one of the handshake's own secrets.
//!
//! # What is left open
//!
//! The time window, and whether redeliveries are signed anew. Apps without an encrypt key are not
//! served: nothing would be signed.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Cipher, DigestScheme, Encryption, Envelope, EventInfo, Events, Handshake, HandshakeAnswer,
        KeyDerivation, Part, Retries, Scheme, SignedTimestamp, TimeUnit,
    },
};

/// The preset for Lark. Needs the feature `encryption`.
#[must_use]
pub fn lark() -> Provider {
    let timestamp = HeaderName::from_static("x-lark-request-timestamp");
    let scheme = DigestScheme::new(HeaderName::from_static("x-lark-signature"))
        .with_signed([
            Part::Timestamp,
            Part::Header(HeaderName::from_static("x-lark-request-nonce")),
            Part::Secret,
            Part::Body,
        ])
        .with_timestamp(SignedTimestamp::in_header(timestamp));
    Provider::new(
        "lark",
        Scheme::Digest(scheme),
        Envelope::new("/header/event_type")
            .with_id("/header/event_id")
            .with_time("/header/create_time")
            .with_time_unit(TimeUnit::Milliseconds)
            .with_data("/event"),
    )
    .with_title("Lark")
    .with_source(
        "github.com/larksuite/oapi-sdk-go and oapi-sdk-java, and open.feishu.cn/document, event subscription, read 2026-11-22 from stored copies",
    )
    .with_events(Events::open([EventInfo::new(
        "contact.user.created_v3",
        USER_CREATED,
    )]))
    .with_encryption(
        Encryption::of_body(Cipher::Aes256Cbc, "/encrypt")
            .with_derivation(KeyDerivation::Sha256)
            .with_signing_secret(),
    )
    .with_handshakes([
        Handshake::body_with_token("/type", "url_verification", "/token")
            .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge")),
    ])
    .with_retries(
        Retries::after([15, 5 * 60, 60 * 60, 6 * 60 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(3)),
    )
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "the time window is not described: 300 s in both directions",
    ])
}

const USER_CREATED: &str = r#"{"schema":"2.0","header":{"event_id":"f7984f25108f8137722bb63cee927e66","event_type":"contact.user.created_v3","app_id":"cli_1","tenant_key":"t","create_time":"1772447400000","token":"v"},"event":{"object":{"open_id":"ou_1","name":"Zhang"}}}"#;
