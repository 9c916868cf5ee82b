//! Shopify: shops and their orders.
//!
//! # Sources
//!
//! shopify.dev/docs/apps/build/webhooks (HTTPS, ignore-duplicates),
//! shopify.dev/changelog/updates-to-webhook-retry-mechanism and github.com/Shopify/shopify-app-js
//! (packages/apps/shopify-api/lib/webhooks), read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Shopify-Hmac-SHA256` is the HMAC-SHA256 in base64 of the raw body, keyed with the text of
//! the client secret. It covers no header: neither `X-Shopify-Topic`, where the type stands,
//! nor `X-Shopify-Event-Id`, where the id stands. The same secret signs other things of the
//! app, so that a value signed there must never be a body here.
//!
//! `X-Shopify-Event-Id` is what Shopify tells receivers to know duplicates by: it names what
//! happened, and is the same in every delivery of it, also for another subscription and another
//! topic. The id is therefore the topic and it: an order that is made and paid at once is two
//! events. A delivery without it has `X-Shopify-Webhook-Id`, the delivery's own, in its place.
//!
//! # What is left open
//!
//! The single retries: there are eight within four hours, each wait longer than the one before,
//! with the payload of the first. The largest body.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Encoding, Envelope, EventInfo, Events, HmacScheme, Locator, LocatorPart, Place, Retries,
        Scheme,
    },
    providers::UNDATED,
};

/// The preset for Shopify.
#[must_use]
pub fn shopify() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-shopify-hmac-sha256"))
        .with_encoding(Encoding::Base64);
    Provider::new(
        "shopify",
        Scheme::Hmac(scheme),
        Envelope::new(HeaderName::from_static("x-shopify-topic"))
            .with_id(Locator::joined(
                ":",
                [
                    LocatorPart::any([Place::EventType]),
                    LocatorPart::any(
                        ["x-shopify-event-id", "x-shopify-webhook-id"]
                            .map(|name| Place::Header(HeaderName::from_static(name))),
                    ),
                ],
            )),
    )
    .with_title("Shopify")
    .with_source("shopify.dev/docs/apps/build/webhooks and shopify.dev/changelog, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("orders/create", ORDERS_CREATE),
    ]))
    .with_types_sharing_bodies()
    .with_retries(
        Retries::within(Duration::from_secs(4 * 60 * 60)).with_deadline(Duration::from_secs(5)),
    )
    .with_not_covered([
        "X-Shopify-Topic, the type, and X-Shopify-Event-Id, the id: either can be changed by who captured a request",
        UNDATED,
        "all other headers, the shop's domain among them, the method and the URL",
    ])
    .with_assumptions([
        "the id is the topic and X-Shopify-Event-Id, or X-Shopify-Webhook-Id where there is none",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const ORDERS_CREATE: &str = r#"{"id":820982911946154508,"email":"jon@example.com","created_at":"2026-03-02T10:30:00-05:00","total_price":"403.00","currency":"USD","line_items":[]}"#;
