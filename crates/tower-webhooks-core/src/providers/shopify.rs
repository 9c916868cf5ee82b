//! Shopify: shops and their orders.
//!
//! # Sources
//!
//! shopify.dev/apps/webhooks/https and github.com/Shopify/shopify-app-js
//! (packages/apps/shopify-api/lib/webhooks), read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Shopify-Hmac-SHA256` is the HMAC-SHA256 in base64 of the raw body, keyed with the text of
//! the client secret. It covers no header: neither `X-Shopify-Topic`, where the type stands,
//! nor `X-Shopify-Webhook-Id`, where the id stands. The same secret signs other things of the
//! app, so that a value signed there must never be a body here.
//!
//! # What is left open
//!
//! The retry schedule: what was read about it is not the provider's own. The largest body.

use http::HeaderName;

use crate::{
    Provider,
    provider::{Encoding, Envelope, EventInfo, Events, HmacScheme, Scheme},
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
            .with_id(HeaderName::from_static("x-shopify-webhook-id")),
    )
    .with_title("Shopify")
    .with_source("shopify.dev/apps/webhooks/https, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("orders/create", ORDERS_CREATE),
    ]))
    .with_types_sharing_bodies()
    .with_not_covered([
        "X-Shopify-Topic, the type, and X-Shopify-Webhook-Id, the id: either can be changed by who captured a request",
        "the time of sending: a captured delivery stays valid for as long as its secret does",
        "all other headers, the shop's domain among them, the method and the URL",
    ])
    .with_assumptions(["the retry schedule is not described here: duplicates are known for 72 h"])
}

const ORDERS_CREATE: &str = r#"{"id":820982911946154508,"email":"jon@example.com","created_at":"2026-03-02T10:30:00-05:00","total_price":"403.00","currency":"USD","line_items":[]}"#;
