//! Mailgun: what became of e-mail.
//!
//! # Sources
//!
//! github.com/mailgun/mailgun-go (webhooks_test.go) and
//! documentation.mailgun.com/docs/mailgun/user-manual/events/webhooks, read 2026-11-22 from
//! stored copies.
//!
//! # What the signature covers
//!
//! `signature.signature`, inside the body, is the HMAC-SHA256 in hexadecimal of
//! `signature.timestamp` (seconds since 1970) and `signature.token`, keyed with the text of the
//! webhook signing key. **It covers nothing of the event**: who captured one delivery can put
//! any event beside its signature while its time is fresh. The token is therefore the id: a
//! second body under the same token never makes a second job.
//!
//! # What is left open
//!
//! Whether redeliveries are signed anew: if they are not, those older than 300 s are refused, and
//! [`Provider::with_tolerance`] admits them. Notices of delivery are not sent again.

use std::time::Duration;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, HmacScheme, Part, Retries, Scheme, SignedTimestamp},
};

/// The preset for Mailgun.
#[must_use]
pub fn mailgun() -> Provider {
    let scheme = HmacScheme::in_body("/signature/signature")
        .with_signed([Part::Timestamp, Part::field("/signature/token")])
        .with_timestamp(SignedTimestamp::in_body("/signature/timestamp"));
    Provider::new(
        "mailgun",
        Scheme::Hmac(scheme),
        Envelope::new("/event-data/event")
            .with_id("/signature/token")
            .with_data("/event-data"),
    )
    .with_title("Mailgun")
    .with_source("github.com/mailgun/mailgun-go and documentation.mailgun.com/docs/mailgun/user-manual/events/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("delivered", DELIVERED),
        EventInfo::new("accepted", ACCEPTED),
        EventInfo::new("rejected", REJECTED),
        EventInfo::new("failed", FAILED),
        EventInfo::new("opened", OPENED),
        EventInfo::new("clicked", CLICKED),
        EventInfo::new("unsubscribed", UNSUBSCRIBED),
        EventInfo::new("complained", COMPLAINED),
    ]))
    .with_retries(Retries::after(
        [300, 600, 900, 3_600, 7_200, 14_400].map(Duration::from_secs),
    ))
    .with_not_covered([
        "the event itself: only a time and a token are signed",
        "all headers, the method and the URL",
    ])
    .with_assumptions([
        "the token is the id, since it is the only thing of its kind that is signed",
        "the time window is not described: 300 s in both directions",
    ])
}

const DELIVERED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"delivered","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com"}}"#;

const ACCEPTED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"accepted","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com"}}"#;

const REJECTED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"rejected","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com","reject":{"reason":"Suppressed"}}}"#;

const FAILED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"failed","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com","severity":"permanent","delivery-status":{"code":550}}}"#;

const OPENED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"opened","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com","ip":"192.0.2.1"}}"#;

const CLICKED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"clicked","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com","ip":"192.0.2.1","url":"https://shop.example"}}"#;

const UNSUBSCRIBED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"unsubscribed","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com","tags":[]}}"#;

const COMPLAINED: &str = r#"{"signature":{"timestamp":"1772447400","token":"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0","signature":""},"event-data":{"event":"complained","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1772447400.873676,"recipient":"alice@example.com"}}"#;
