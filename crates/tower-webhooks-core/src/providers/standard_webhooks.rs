//! Standard Webhooks: the specification that many senders follow, in its two forms of
//! signature, and Svix, where it comes from.
//!
//! # Sources
//!
//! github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md and the tests of
//! its libraries; github.com/svix/svix-webhooks, the tests of its libraries; docs.svix.com/retries as
//! quoted by senders; read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `webhook-signature` holds signatures with a space between them: `v1,` and the HMAC-SHA256 in
//! base64, or `v1a,` and the Ed25519 signature in base64. Both cover the text of `webhook-id`,
//! a full stop, the text of `webhook-timestamp` (seconds since 1970), a full stop and the raw
//! body. The secret is `whsec_` and base64 of 24 to 64 bytes; the public key is `whpk_` and
//! base64. A preset takes signatures of its own version only: the secret decides which one is
//! used, never the request.
//!
//! Svix names the headers `svix-id`, `svix-timestamp` and `svix-signature`.
//!
//! # What is left open
//!
//! The body: the specification recommends `type`, `timestamp` and `data`, and senders differ
//! ([`Provider::with_envelope`] replaces it). The retry schedule is each sender's own: it is
//! unknown here, but for Svix's, which those who run Svix themselves may change.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Answer, Answers, Encoding, Envelope, EventInfo, Events, HmacScheme, KeyEncoding, Part,
        PublicKeyAlgorithm, PublicKeyScheme, Retries, Scheme, SignedAnew, SignedTimestamp,
    },
};

/// The preset for senders that sign with a shared secret (`v1`).
#[must_use]
pub fn standard_webhooks() -> Provider {
    let names = Names::of("webhook-id", "webhook-timestamp", "webhook-signature");
    described("standard-webhooks", "Standard Webhooks", hmac(names))
}

/// The preset for senders that sign with a key pair (`v1a`). Its secret is the
/// public key. Needs the feature `ed25519`.
#[must_use]
pub fn standard_webhooks_ed25519() -> Provider {
    let names = Names::of("webhook-id", "webhook-timestamp", "webhook-signature");
    let scheme = PublicKeyScheme::new(names.signature.clone(), PublicKeyAlgorithm::Ed25519)
        .with_prefix("v1a,")
        .with_list(' ')
        .with_signed(names.signed())
        .with_timestamp(SignedTimestamp::in_header(names.timestamp.clone()))
        .with_key_encoding(KeyEncoding::Whpk);
    described(
        "standard-webhooks-ed25519",
        "Standard Webhooks (Ed25519)",
        (Scheme::PublicKey(scheme), names),
    )
}

/// The preset for senders that use Svix with its own header names.
#[must_use]
pub fn svix() -> Provider {
    let names = Names::of("svix-id", "svix-timestamp", "svix-signature");
    described("svix", "Svix", hmac(names))
        .with_retries(
            Retries::after(SVIX_RETRIES.map(Duration::from_secs)).with_signed_anew(SignedAnew::Yes),
        )
        .with_assumptions([
            "the body has the recommended form: type, timestamp and data",
            "the retry schedule is that of Svix's own service",
        ])
}

struct Names {
    id: HeaderName,
    timestamp: HeaderName,
    signature: HeaderName,
}

impl Names {
    const fn of(id: &'static str, timestamp: &'static str, signature: &'static str) -> Self {
        Self {
            id: HeaderName::from_static(id),
            timestamp: HeaderName::from_static(timestamp),
            signature: HeaderName::from_static(signature),
        }
    }

    fn signed(&self) -> [Part; 5] {
        [
            Part::Header(self.id.clone()),
            Part::literal("."),
            Part::Timestamp,
            Part::literal("."),
            Part::Body,
        ]
    }
}

fn hmac(names: Names) -> (Scheme, Names) {
    let scheme = HmacScheme::new(names.signature.clone())
        .with_encoding(Encoding::Base64)
        .with_prefix("v1,")
        .with_list(' ')
        .with_signed(names.signed())
        .with_timestamp(SignedTimestamp::in_header(names.timestamp.clone()))
        .with_key_encoding(KeyEncoding::Whsec)
        .with_key_bytes(24, Some(64));
    (Scheme::Hmac(scheme), names)
}

fn described(
    name: &'static str,
    title: &'static str,
    (scheme, names): (Scheme, Names),
) -> Provider {
    let envelope = Envelope::new("/type")
        .with_id(names.id)
        .with_time("/timestamp")
        .with_data("/data");
    Provider::new(name, scheme, envelope)
        .with_title(title)
        .with_source("github.com/standard-webhooks/standard-webhooks, read 2026-11-22")
        .with_answers(Answers::new(Answer::empty(204), Answer::default()))
        .with_retries(Retries::default().with_signed_anew(SignedAnew::Yes))
        .with_events(Events::open([EventInfo::new(
            "contact.created",
            CONTACT_CREATED,
        )]))
        .with_not_covered(["all other headers, the method and the URL"])
        .with_assumptions([
            "the body has the recommended form: type, timestamp and data",
            "the retry schedule is each sender's own: duplicates are known for 72 h",
        ])
}

/// In seconds.
const SVIX_RETRIES: [u64; 7] = [5, 5 * 60, 30 * 60, 7_200, 18_000, 36_000, 36_000];

const CONTACT_CREATED: &str =
    r#"{"type":"contact.created","timestamp":"2026-03-02T10:30:00Z","data":{"id":"contact_1"}}"#;
