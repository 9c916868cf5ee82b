//! Zoom: meetings and recordings.
//!
//! # Sources
//!
//! github.com/zoom/webhook-sample (index.js), devsupport.zoom.us (360059893812, webhook delays)
//! and help.moveworks.com/docs/webhook-example-zoom, read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `x-zm-signature` is `v0=` and the HMAC-SHA256 in hexadecimal of `v0:`, the text of
//! `x-zm-request-timestamp` (seconds since 1970), a colon and the raw body, keyed with the text
//! of the secret token.
//!
//! The handshake, `endpoint.url_validation`, wants the HMAC-SHA256 of a token that it sends,
//! keyed with the same secret. It is signed like any delivery and only answered then, and only
//! for letters, digits, `-` and `_`: a digest of a text with a colon in it could be the
//! signature of a forged delivery.
//!
//! # What is left open
//!
//! The time window, an id, and whether redeliveries are signed anew.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, Handshake, HandshakeAnswer, HmacScheme, Part, Retries, Scheme,
        SignedTimestamp, TimeUnit,
    },
};

/// The preset for Zoom.
#[must_use]
pub fn zoom() -> Provider {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static("x-zm-request-timestamp"));
    let scheme = HmacScheme::new(HeaderName::from_static("x-zm-signature"))
        .with_prefix("v0=")
        .with_signed([
            Part::literal("v0:"),
            Part::Timestamp,
            Part::literal(":"),
            Part::Body,
        ])
        .with_timestamp(timestamp);
    let validation = HandshakeAnswer::SignedJson {
        pointer: "/payload/plainToken".to_owned(),
        plain: "plainToken".to_owned(),
        digest: "encryptedToken".to_owned(),
    };
    Provider::new(
        "zoom",
        Scheme::Hmac(scheme),
        Envelope::new("/event")
            .with_time("/event_ts")
            .with_time_unit(TimeUnit::Milliseconds)
            .with_data("/payload"),
    )
    .with_title("Zoom")
    .with_source("github.com/zoom/webhook-sample and devsupport.zoom.us, webhook delays, read 2026-11-22 from stored copies")
    .with_events(Events::open([EventInfo::new(
        "meeting.started",
        MEETING_STARTED,
    )]))
    .with_handshakes([
        Handshake::signed_body("/event", "endpoint.url_validation").with_answer(validation)
    ])
    .with_retries(
        Retries::after([5 * 60, 20 * 60, 60 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(3)),
    )
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "no event id was found: the body's SHA-256 stands in",
        "the time window is not described: 300 s in both directions",
    ])
}

const MEETING_STARTED: &str = r#"{"event":"meeting.started","event_ts":1772447400000,"payload":{"account_id":"a1","object":{"id":"1234567890","host_id":"h1","topic":"Standup"}}}"#;
