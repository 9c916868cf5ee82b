//! Slack: the Events API.
//!
//! # Sources
//!
//! github.com/slackapi/python-slack-sdk (tests/slack_sdk/signature/test_signature_verifier.py)
//! and docs of agno and of skill_kit about the Events API, read 2026-11-22 from stored copies.
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
//! The retry schedule beyond the three seconds for an answer. Interactivity and slash commands
//! come as forms: they need an envelope of their own ([`Provider::with_envelope`]).

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
        .with_id("/event_id")
        .with_time("/event_time")
        .with_time_unit(TimeUnit::Seconds)
        .with_data("/event"),
    )
    .with_title("Slack")
    .with_source("github.com/slackapi/python-slack-sdk, read 2026-11-22 from a stored copy")
    .with_events(Events::open([EventInfo::new("app_mention", APP_MENTION)]))
    .with_handshakes([Handshake::signed_body("/type", "url_verification")
        .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge"))])
    .with_retries(Retries::default().with_deadline(Duration::from_secs(3)))
    .with_not_covered(["all other headers, X-Slack-Retry-Num among them, the method and the URL"])
    .with_assumptions([
        "the type is that of the inner event, and of the outer one where there is none",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const APP_MENTION: &str = r#"{"type":"event_callback","team_id":"T1","api_app_id":"A1","event_id":"Ev1","event_time":1772447400,"event":{"type":"app_mention","user":"U1","text":"hello","channel":"C1","ts":"1772447400.000100"}}"#;
