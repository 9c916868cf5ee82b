//! Meta: pages, Instagram and WhatsApp.
//!
//! # Sources
//!
//! developers.facebook.com/docs/graph-api/webhooks/getting-started, read 2026-11-22 from stored
//! copies and quotations.
//!
//! # What the signature covers
//!
//! `X-Hub-Signature-256` is `sha256=` and the HMAC-SHA256 in hexadecimal of the raw body, keyed
//! with the text of the app secret. It covers the body and nothing else.
//!
//! The handshake is a GET with `hub.mode=subscribe`: the receiver gives `hub.challenge` back if
//! `hub.verify_token` is the token that was agreed, one of the handshake's own secrets.
//!
//! # What is left open
//!
//! Everything but the scheme, the handshake and how long it retries, 36 hours: ids, the single
//! retries and the largest body.
//! One delivery holds several entries; each is an event with the type of its `object`, known by
//! its own bytes.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, Handshake, HandshakeAnswer, HmacScheme, Retries, Scheme,
        TimeUnit,
    },
    providers::UNDATED,
};

/// The preset for Meta.
#[must_use]
pub fn meta() -> Provider {
    let scheme =
        HmacScheme::new(HeaderName::from_static("x-hub-signature-256")).with_prefix("sha256=");
    Provider::new(
        "meta",
        Scheme::Hmac(scheme),
        Envelope::new("/object")
            .with_time("/entry/*/time")
            .with_time_unit(TimeUnit::Seconds)
            .with_data("/entry/*")
            .with_batch("/entry/*"),
    )
    .with_title("Meta")
    .with_source("developers.facebook.com/docs/graph-api/webhooks/getting-started, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("page", PAGE),
    ]))
    .with_handshakes([Handshake::query("GET", "hub.mode")
        .with_value("subscribe")
        .with_query_token("hub.verify_token")
        .with_answer(HandshakeAnswer::EchoQuery("hub.challenge".to_owned()))])
    .with_retries(Retries::within(Duration::from_secs(36 * 60 * 60)))
    .with_not_covered([
        UNDATED,
        "all headers, the method and the URL",
    ])
    .with_assumptions([
        "an entry has no id: its own SHA-256 stands in",
        "an entry's time is in seconds, or unreadable",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const PAGE: &str = r#"{"object":"page","entry":[{"id":"1","time":1772447400,"changes":[{"field":"feed","value":{"item":"status"}}]}]}"#;
