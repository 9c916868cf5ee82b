//! Razorpay: payments.
//!
//! # Sources
//!
//! github.com/razorpay/razorpay-node (test/utils/razorpay-utils.spec.js),
//! razorpay.com/docs/webhooks/best-practices and github.com/hookdeck/webhook-skills
//! (skills/razorpay-webhooks/references/overview.md), read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Razorpay-Signature` is the HMAC-SHA256 in hexadecimal of the raw body, keyed with the
//! text of the webhook secret. It covers the body and nothing else.
//!
//! # What is left open
//!
//! An id inside the body: the body stands in. The single retries: they go on for 24 hours, each
//! wait longer than the one before.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, HmacScheme, Retries, Scheme, TimeUnit},
    providers::UNDATED,
};

/// The preset for Razorpay.
#[must_use]
pub fn razorpay() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-razorpay-signature"));
    Provider::new(
        "razorpay",
        Scheme::Hmac(scheme),
        Envelope::new("/event")
            .with_time("/created_at")
            .with_time_unit(TimeUnit::Seconds)
            .with_data("/payload"),
    )
    .with_title("Razorpay")
    .with_source("github.com/razorpay/razorpay-node and razorpay.com/docs/webhooks/best-practices, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("payment.captured", PAYMENT_CAPTURED),
        EventInfo::new("payment.authorized", PAYMENT_AUTHORIZED),
        EventInfo::new("payment.failed", PAYMENT_FAILED),
        EventInfo::new("order.paid", ORDER_PAID),
        EventInfo::new("refund.created", REFUND_CREATED),
        EventInfo::new("refund.processed", REFUND_PROCESSED),
        EventInfo::new("refund.failed", REFUND_FAILED),
        EventInfo::new("subscription.activated", SUBSCRIPTION_ACTIVATED),
        EventInfo::new("subscription.charged", SUBSCRIPTION_CHARGED),
        EventInfo::new("subscription.cancelled", SUBSCRIPTION_CANCELLED),
    ]))
    .with_retries(
        Retries::within(Duration::from_secs(24 * 60 * 60)).with_afterwards("the webhook is disabled"),
    )
    .with_not_covered([
        UNDATED,
        "all headers, the method and the URL",
    ])
    .with_assumptions([
        "the body holds no id of the event: its SHA-256 stands in",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const PAYMENT_CAPTURED: &str = r#"{"entity":"event","account_id":"acc_1","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_1","amount":5000,"currency":"INR","status":"captured"}}},"created_at":1772447400}"#;

const PAYMENT_AUTHORIZED: &str = r#"{"entity":"event","account_id":"acc_1","event":"payment.authorized","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_1","amount":5000,"currency":"INR","status":"authorized"}}},"created_at":1772447400}"#;

const PAYMENT_FAILED: &str = r#"{"entity":"event","account_id":"acc_1","event":"payment.failed","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_1","amount":5000,"currency":"INR","status":"failed"}}},"created_at":1772447400}"#;

const ORDER_PAID: &str = r#"{"entity":"event","account_id":"acc_1","event":"order.paid","contains":["order"],"payload":{"order":{"entity":{"id":"order_1","amount":5000,"currency":"INR"}}},"created_at":1772447400}"#;

const REFUND_CREATED: &str = r#"{"entity":"event","account_id":"acc_1","event":"refund.created","contains":["refund"],"payload":{"refund":{"entity":{"id":"rfnd_1","amount":5000,"currency":"INR"}}},"created_at":1772447400}"#;

const REFUND_PROCESSED: &str = r#"{"entity":"event","account_id":"acc_1","event":"refund.processed","contains":["refund"],"payload":{"refund":{"entity":{"id":"rfnd_1","amount":5000,"currency":"INR"}}},"created_at":1772447400}"#;

const REFUND_FAILED: &str = r#"{"entity":"event","account_id":"acc_1","event":"refund.failed","contains":["refund"],"payload":{"refund":{"entity":{"id":"rfnd_1","amount":5000,"currency":"INR"}}},"created_at":1772447400}"#;

const SUBSCRIPTION_ACTIVATED: &str = r#"{"entity":"event","account_id":"acc_1","event":"subscription.activated","contains":["subscription"],"payload":{"subscription":{"entity":{"id":"sub_1"}}},"created_at":1772447400}"#;

const SUBSCRIPTION_CHARGED: &str = r#"{"entity":"event","account_id":"acc_1","event":"subscription.charged","contains":["subscription"],"payload":{"subscription":{"entity":{"id":"sub_1"}}},"created_at":1772447400}"#;

const SUBSCRIPTION_CANCELLED: &str = r#"{"entity":"event","account_id":"acc_1","event":"subscription.cancelled","contains":["subscription"],"payload":{"subscription":{"entity":{"id":"sub_1"}}},"created_at":1772447400}"#;
