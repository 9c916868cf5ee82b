//! Square: payments and orders.
//!
//! # Sources
//!
//! github.com/square/square-nodejs-sdk (tests/integration/webhooks.test.ts) and
//! developer.squareup.com/docs/webhooks-api/delivery-sla and github.com/hookdeck/webhook-skills
//! (skills/square-webhooks), read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `x-square-hmacsha256-signature` is the HMAC-SHA256 in base64 of the notification URL,
//! exactly as configured at Square, and the raw body, keyed with the text of the signature key.
//! The older `x-square-signature` with SHA-1 is not looked at.
//!
//! # What is left open
//!
//! The retry schedule: Square's own page on delivery, an older one, gives up after 72 hours, and
//! what others repeat of newer ones after 24.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Encoding, Envelope, EventInfo, Events, HmacScheme, Part, Retries, Scheme},
    providers::UNDATED_ID,
};

/// The preset for Square. Needs the public URL.
#[must_use]
pub fn square() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-square-hmacsha256-signature"))
        .with_encoding(Encoding::Base64)
        .with_signed([Part::Url, Part::Body]);
    Provider::new(
        "square",
        Scheme::Hmac(scheme),
        Envelope::new("/type")
            .with_id("/event_id")
            .with_time("/created_at")
            .with_data("/data"),
    )
    .with_title("Square")
    .with_source("github.com/square/square-nodejs-sdk and developer.squareup.com/docs/webhooks-api/delivery-sla, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("payment.updated", PAYMENT_UPDATED),
        EventInfo::new("payment.created", PAYMENT_CREATED),
        EventInfo::new("refund.created", REFUND_CREATED),
        EventInfo::new("refund.updated", REFUND_UPDATED),
        EventInfo::new("invoice.payment_made", INVOICE_PAYMENT_MADE),
        EventInfo::new("order.created", ORDER_CREATED),
        EventInfo::new("order.updated", ORDER_UPDATED),
        EventInfo::new("customer.created", CUSTOMER_CREATED),
    ]))
    .with_retries(Retries::default().with_deadline(Duration::from_secs(10)))
    .with_not_covered([
        UNDATED_ID,
        "all headers and the method",
    ])
    .with_assumptions(["whether retries end after 24 or 72 h is not certain: duplicates are known for 72 h"])
}

const PAYMENT_UPDATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"payment","id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","object":{"payment":{"id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","status":"COMPLETED"}}}}"#;

const PAYMENT_CREATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.created","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"payment","id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","object":{"payment":{"id":"KkAkhdMsgzn59SM8A89WgKwekxLZY","status":"APPROVED"}}}}"#;

const REFUND_CREATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"refund.created","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"refund","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;

const REFUND_UPDATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"refund.updated","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"refund","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;

const INVOICE_PAYMENT_MADE: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"invoice.payment_made","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"invoice","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;

const ORDER_CREATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"order.created","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"order_created","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;

const ORDER_UPDATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"order.updated","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"order_updated","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;

const CUSTOMER_CREATED: &str = r#"{"merchant_id":"6SSW7HV8K2ST5","type":"customer.created","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-03-02T10:30:00.308Z","data":{"type":"customer","id":"bP9mAsEMYPUGjjGNaNO5ZDVyLhSZY","object":{}}}"#;
