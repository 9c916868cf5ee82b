//! SendGrid: what became of e-mail.
//!
//! # Sources
//!
//! github.com/sendgrid/sendgrid-nodejs (packages/eventwebhook/src/eventwebhook.spec.js),
//! sendgrid-python and github.com/hookdeck/webhook-skills (skills/sendgrid-webhooks), read
//! 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Twilio-Email-Event-Webhook-Signature` is the ECDSA signature (P-256, SHA-256) in DER and
//! base64 of the text of `X-Twilio-Email-Event-Webhook-Timestamp` (seconds since 1970) and the
//! raw body, line ends included. The secret is the public key in base64 of DER.
//!
//! # What is left open
//!
//! The time window, and the retry schedule; whether redeliveries are signed anew. One delivery
//! holds several events.

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, KeyEncoding, Part, PublicKeyAlgorithm, PublicKeyScheme,
        Scheme, SignedTimestamp, TimeUnit,
    },
};

/// The preset for SendGrid. Needs the feature `ecdsa`.
#[must_use]
pub fn sendgrid() -> Provider {
    let timestamp = HeaderName::from_static("x-twilio-email-event-webhook-timestamp");
    let signature = HeaderName::from_static("x-twilio-email-event-webhook-signature");
    let scheme = PublicKeyScheme::new(signature, PublicKeyAlgorithm::EcdsaP256Der)
        .with_key_encoding(KeyEncoding::Base64)
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(SignedTimestamp::in_header(timestamp));
    Provider::new(
        "sendgrid",
        Scheme::PublicKey(scheme),
        Envelope::new("/*/event")
            .with_id("/*/sg_event_id")
            .with_time("/*/timestamp")
            .with_time_unit(TimeUnit::Seconds)
            .with_data("/*")
            .with_batch("/*"),
    )
    .with_title("SendGrid")
    .with_source("github.com/sendgrid/sendgrid-nodejs and sendgrid-python, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("delivered", DELIVERED),
        EventInfo::new("processed", PROCESSED),
        EventInfo::new("deferred", DEFERRED),
        EventInfo::new("bounce", BOUNCE),
        EventInfo::new("dropped", DROPPED),
        EventInfo::new("open", OPEN),
        EventInfo::new("click", CLICK),
        EventInfo::new("unsubscribe", UNSUBSCRIBE),
    ]))
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "the time window is not described: 300 s in both directions",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const DELIVERED: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"delivered","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469"}]"#;

const PROCESSED: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"processed","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469"}]"#;

const DEFERRED: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"deferred","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469"}]"#;

const BOUNCE: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"bounce","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469","reason":"550 unknown user"}]"#;

const DROPPED: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"dropped","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469","reason":"Bounced Address"}]"#;

const OPEN: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"open","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469"}]"#;

const CLICK: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"click","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469","url":"https://shop.example"}]"#;

const UNSUBSCRIBE: &str = r#"[{"email":"user@example.com","timestamp":1772447400,"event":"unsubscribe","sg_event_id":"WTJmMTYyNDUtMzQ2MC00YzY4","sg_message_id":"14c5d75ce93.dfd.64b469"}]"#;
