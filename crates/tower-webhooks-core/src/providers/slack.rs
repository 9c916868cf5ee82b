//! Slack: the Events API.
//!
//! # Sources
//!
//! docs.slack.dev/apis/events-api (rate limiting, error handling) and
//! github.com/slackapi/python-slack-sdk (tests/slack_sdk/signature/test_signature_verifier.py),
//! read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Slack-Signature` is `v0=` and the HMAC-SHA256 in hexadecimal of `v0:`, the text of
//! `X-Slack-Request-Timestamp` (seconds since 1970), a colon and the raw body, keyed with the
//! text of the signing secret.
//!
//! The handshake, `url_verification`, is signed like any delivery and only answered then. A
//! form with `ssl_check` in it is a delivery like any other: it is not answered without its
//! signature.
//!
//! # What is left open
//!
//! Whether redeliveries are signed anew; that they are redeliveries stands in headers, and their
//! bodies are the same. `app_rate_limited`, which says for each minute that events were held
//! back, has no id and no inner event: its body's SHA-256 stands in, and what it says is in
//! [`Delivery::content`](crate::Delivery::content). Interactivity and slash commands come as
//! forms: they need an envelope of their own ([`Provider::with_envelope`]), those with a JSON
//! document in `payload` by [`Envelope::with_form_field`].

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, Handshake, HandshakeAnswer, HmacScheme, Locator, LocatorPart,
        Part, Retries, Scheme, SignedTimestamp, TimeUnit,
    },
};

/// The preset for Slack.
#[must_use]
pub fn slack() -> Provider {
    let timestamp =
        SignedTimestamp::in_header(HeaderName::from_static("x-slack-request-timestamp"));
    let scheme = HmacScheme::new(HeaderName::from_static("x-slack-signature"))
        .with_prefix("v0=")
        .with_signed([
            Part::literal("v0:"),
            Part::Timestamp,
            Part::literal(":"),
            Part::Body,
        ])
        .with_timestamp(timestamp);
    Provider::new(
        "slack",
        Scheme::Hmac(scheme),
        Envelope::new(Locator::joined(
            "",
            [LocatorPart::any(["/event/type", "/type"])],
        ))
        .with_optional_id("/event_id")
        .with_time("/event_time")
        .with_time_unit(TimeUnit::Seconds)
        .with_data("/event"),
    )
    .with_title("Slack")
    .with_source("docs.slack.dev/apis/events-api and github.com/slackapi/python-slack-sdk, read 2026-11-22 from stored copies")
    .with_events(Events::open([EventInfo::new("app_mention", APP_MENTION)]))
    .with_handshakes([Handshake::signed_body("/type", "url_verification")
        .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge"))])
    .with_retries(
        Retries::after([0, 60, 5 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(3))
            .with_afterwards("where more than 95 % fail within an hour, events are switched off"),
    )
    .with_not_covered(["all other headers, X-Slack-Retry-Num among them, the method and the URL"])
    .with_assumptions([
        "the type is that of the inner event, and of the outer one where there is none",
        "an event without event_id, as app_rate_limited, is known by its body's SHA-256",
    ])
}

const APP_MENTION: &str = r#"{"type":"event_callback","team_id":"T1","api_app_id":"A1","event_id":"Ev1","event_time":1772447400,"event":{"type":"app_mention","user":"U1","text":"hello","channel":"C1","ts":"1772447400.000100"}}"#;
