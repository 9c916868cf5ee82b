//! Paddle: billing.
//!
//! # Sources
//!
//! github.com/PaddleHQ/paddle-node-sdk, paddle-go-sdk and paddle-python-sdk (their tests of
//! webhooks), developer.paddle.com/webhooks/respond-to-webhooks and how-webhooks-work, their
//! later parts as quoted by others; read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `Paddle-Signature` holds fields with a semicolon between them: `ts`, the time of signing in
//! seconds since 1970, and one or several `h1`, each the HMAC-SHA256 in hexadecimal of `ts`, a
//! colon and the raw body, keyed with the text of the secret.
//!
//! # What is left open
//!
//! The single retries: a live account's are 60 within three days, a sandbox's three within 15
//! minutes. `notification_id` is that of the delivery, and alone makes no other event. Paddle's
//! own libraries allow five seconds; here it is 300, since clocks differ and the inbox knows a
//! replay.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, HmacScheme, Part, Retries, Scheme, SignedTimestamp},
};

/// The preset for Paddle.
#[must_use]
pub fn paddle() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("paddle-signature"))
        .with_fields(';', "h1")
        .with_signed([Part::Timestamp, Part::literal(":"), Part::Body])
        .with_timestamp(SignedTimestamp::in_field("ts"));
    Provider::new(
        "paddle",
        Scheme::Hmac(scheme),
        Envelope::new("/event_type")
            .with_id("/event_id")
            .with_time("/occurred_at")
            .with_data("/data")
            .with_changing_fields(["/notification_id"]),
    )
    .with_title("Paddle")
    .with_source("github.com/PaddleHQ/paddle-node-sdk, paddle-go-sdk and paddle-python-sdk, and developer.paddle.com/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("transaction.completed", TRANSACTION_COMPLETED),
    ]))
    .with_retries(
        Retries::within(Duration::from_secs(72 * 60 * 60)).with_deadline(Duration::from_secs(5)),
    )
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "the time window is 300 s in both directions, where Paddle's libraries allow 5 s",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const TRANSACTION_COMPLETED: &str = r#"{"event_id":"evt_01","event_type":"transaction.completed","occurred_at":"2026-03-02T10:30:00.000Z","notification_id":"ntf_01","data":{"id":"txn_01","status":"completed"}}"#;
