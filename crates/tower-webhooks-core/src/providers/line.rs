//! LINE: messages to a bot.
//!
//! # Sources
//!
//! github.com/line/line-bot-sdk-nodejs (test/middleware.spec.ts,
//! test/validate-signature.spec.ts), line-bot-sdk-python and line-openapi (webhook.yml), read
//! 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Line-Signature` is the HMAC-SHA256 in base64 of the raw body, keyed with the text of the
//! channel secret. It covers the body and nothing else.
//!
//! # What is left open
//!
//! The retry schedule. One delivery holds several events, each with an id of its own, or none
//! at all. `deliveryContext.isRedelivery` says whether an event came before, and that alone
//! makes no other event.

use http::HeaderName;

use crate::{
    Provider,
    provider::{Encoding, Envelope, EventInfo, Events, HmacScheme, Scheme, TimeUnit},
    providers::UNDATED_ID,
};

/// The preset for LINE.
#[must_use]
pub fn line() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-line-signature"))
        .with_encoding(Encoding::Base64);
    Provider::new(
        "line",
        Scheme::Hmac(scheme),
        Envelope::new("/events/*/type")
            .with_id("/events/*/webhookEventId")
            .with_time("/events/*/timestamp")
            .with_time_unit(TimeUnit::Milliseconds)
            .with_data("/events/*")
            .with_batch("/events/*")
            .with_changing_fields(["/events/*/deliveryContext/isRedelivery"]),
    )
    .with_title("LINE")
    .with_source("github.com/line/line-bot-sdk-nodejs and line-bot-sdk-python, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("message", MESSAGE),
    ]))
    .with_not_covered([
        UNDATED_ID,
        "all headers, the method and the URL",
    ])
    .with_assumptions(["the retry schedule is not described here: duplicates are known for 72 h"])
}

const MESSAGE: &str = r#"{"destination":"U1","events":[{"type":"message","webhookEventId":"01FZ74A0TDDPYRVKNK77XKC3ZR","timestamp":1772447400000,"mode":"active","deliveryContext":{"isRedelivery":false},"message":{"type":"text","id":"1","text":"hello"}}]}"#;
