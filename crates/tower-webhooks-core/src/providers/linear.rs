//! Linear: issues and projects.
//!
//! # Sources
//!
//! linear.app/developers/webhooks (how does a webhook work, webhook payload, securing webhooks),
//! read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `Linear-Signature` is the HMAC-SHA256 in hexadecimal of the raw body, keyed with the text of
//! the secret. The body has the time of sending in it, `webhookTimestamp` in milliseconds since
//! 1970, and with it an age: a minute is allowed, as Linear recommends. It covers no header:
//! `Linear-Delivery`, the id, can be changed by who captured a request.
//!
//! `webhookTimestamp` is the time of sending, so that a redelivery may have another: that alone
//! makes no other event.
//!
//! # What is left open
//!
//! Whether a redelivery is dated anew: its page refuses what is older than a minute and retries
//! after hours, which leaves no other reading.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, HmacScheme, Locator, LocatorPart, Retries, Scheme, SignedAnew,
        SignedTimestamp, TimeUnit,
    },
};

/// The preset for Linear.
#[must_use]
pub fn linear() -> Provider {
    let timestamp = SignedTimestamp::in_body("/webhookTimestamp")
        .with_unit(TimeUnit::Milliseconds)
        .with_tolerance(Duration::from_secs(60));
    let scheme =
        HmacScheme::new(HeaderName::from_static("linear-signature")).with_timestamp(timestamp);
    Provider::new(
        "linear",
        Scheme::Hmac(scheme),
        Envelope::new(Locator::joined(
            ".",
            [LocatorPart::any(["/type"]), LocatorPart::any(["/action"])],
        ))
        .with_id(HeaderName::from_static("linear-delivery"))
        .with_time("/createdAt")
        .with_data("/data")
        .with_changing_fields(["/webhookTimestamp"]),
    )
    .with_title("Linear")
    .with_source("linear.app/developers/webhooks, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("Issue.create", ISSUE_CREATE),
        EventInfo::new("Issue.update", ISSUE_UPDATE),
        EventInfo::new("Issue.remove", ISSUE_REMOVE),
        EventInfo::new("Comment.create", COMMENT_CREATE),
        EventInfo::new("Project.create", PROJECT_CREATE),
    ]))
    .with_retries(
        Retries::after([60, 60 * 60, 6 * 60 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(5))
            .with_signed_anew(SignedAnew::Yes)
            .with_afterwards("a webhook that stays unresponsive may be disabled"),
    )
    .with_not_covered([
        "Linear-Delivery, the id: it can be changed by who captured a request",
        "all other headers, the method and the URL",
    ])
    .with_assumptions([
        "the type is the entity's and the action, with a full stop between them",
        "redeliveries are dated anew, since webhookTimestamp is the time of sending",
    ])
}

const ISSUE_CREATE: &str = r#"{"action":"create","type":"Issue","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1","title":"Fix login"},"url":"https://linear.app/acme/issue/ENG-1","webhookId":"w1","webhookTimestamp":1772447400000,"organizationId":"o1"}"#;

const ISSUE_UPDATE: &str = r#"{"action":"update","type":"Issue","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1","title":"Fix login"},"url":"https://linear.app/acme/issue/ENG-1","webhookId":"w1","webhookTimestamp":1772447400000,"organizationId":"o1","updatedFrom":{"title":"Old title"}}"#;

const ISSUE_REMOVE: &str = r#"{"action":"remove","type":"Issue","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1","title":"Fix login"},"url":"https://linear.app/acme/issue/ENG-1","webhookId":"w1","webhookTimestamp":1772447400000,"organizationId":"o1"}"#;

const COMMENT_CREATE: &str = r#"{"action":"create","type":"Comment","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1","body":"Done"},"url":"https://linear.app/acme","webhookId":"w1","webhookTimestamp":1772447400000,"organizationId":"o1"}"#;

const PROJECT_CREATE: &str = r#"{"action":"create","type":"Project","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1","name":"Shop"},"url":"https://linear.app/acme","webhookId":"w1","webhookTimestamp":1772447400000,"organizationId":"o1"}"#;
