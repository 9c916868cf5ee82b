//! Zendesk: tickets and users.
//!
//! # Sources
//!
//! developer.zendesk.com/documentation/webhooks/verifying and
//! /documentation/event-connectors/webhooks/verifying, read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Zendesk-Webhook-Signature` is the HMAC-SHA256 in base64 of the text of
//! `X-Zendesk-Webhook-Signature-Timestamp` and the raw body, keyed with the text of the signing
//! secret.
//!
//! # What is left open
//!
//! The order of what is signed: the page says the time first, and an older copy of it the body
//! first, with an example that follows the older words; the tests of another receiver follow the
//! newer. The timestamp is in RFC 3339 in that example, and its window is not described. The
//! envelope of events was not read; webhooks of triggers have whatever body they were given. The
//! retry schedule.

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Encoding, Envelope, EventInfo, Events, HmacScheme, Part, Scheme, SignedTimestamp, TimeUnit,
    },
};

/// The preset for Zendesk.
#[must_use]
pub fn zendesk() -> Provider {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static(
        "x-zendesk-webhook-signature-timestamp",
    ))
    .with_unit(TimeUnit::Rfc3339);
    let scheme = HmacScheme::new(HeaderName::from_static("x-zendesk-webhook-signature"))
        .with_encoding(Encoding::Base64)
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(timestamp);
    Provider::new(
        "zendesk",
        Scheme::Hmac(scheme),
        Envelope::new("/type")
            .with_id("/id")
            .with_time("/time")
            .with_data("/detail"),
    )
    .with_title("Zendesk")
    .with_source("developer.zendesk.com/documentation/webhooks/verifying, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("zen:event-type:ticket.created", TICKET_CREATED),
    ]))
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "the time is signed before the body, as the newer of two copies of the page says",
        "the signed time is in RFC 3339 and its window is 300 s in both directions",
        "the envelope is that of Zendesk's events: type, id, time and detail",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const TICKET_CREATED: &str = r#"{"account_id":1,"id":"2b24ef10-19f2-4f27-8fd3-33f3e6ee1f71","type":"zen:event-type:ticket.created","subject":"zen:ticket:1","time":"2026-03-02T10:30:00.000Z","zendesk_event_version":"2022-11-06","event":{},"detail":{"id":"1","subject":"Help"}}"#;
