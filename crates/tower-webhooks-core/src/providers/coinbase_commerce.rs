//! Coinbase Commerce: charges in crypto-currencies.
//!
//! # Sources
//!
//! github.com/coinbase/coinbase-commerce-node (test/testWebhook.spec.js),
//! docs.cloud.coinbase.com/commerce-onchain/docs/webhooks and webhooks-fields, read 2026-11-22
//! from stored copies.
//!
//! # What the signature covers
//!
//! `X-CC-Webhook-Signature` is the HMAC-SHA256 in hexadecimal of the raw body, keyed with the
//! text of the shared secret. It covers the body and nothing else.
//!
//! # What is left open
//!
//! The single retries: they go on for up to three days, at most an hour apart. `attempt_number`
//! and `scheduled_for` are those of the attempt, and alone make no other event.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, HmacScheme, Retries, Scheme},
    providers::UNDATED_ID,
};

/// The preset for Coinbase Commerce.
#[must_use]
pub fn coinbase_commerce() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-cc-webhook-signature"));
    Provider::new(
        "coinbase-commerce",
        Scheme::Hmac(scheme),
        Envelope::new("/event/type")
            .with_id("/event/id")
            .with_time("/event/created_at")
            .with_data("/event/data")
            .with_changing_fields(["/attempt_number", "/scheduled_for"]),
    )
    .with_title("Coinbase Commerce")
    .with_source("github.com/coinbase/coinbase-commerce-node and docs.cloud.coinbase.com/commerce-onchain/docs/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("charge:confirmed", CHARGE_CONFIRMED),
        EventInfo::new("charge:created", CHARGE_CREATED),
        EventInfo::new("charge:pending", CHARGE_PENDING),
        EventInfo::new("charge:failed", CHARGE_FAILED),
        EventInfo::new("charge:delayed", CHARGE_DELAYED),
        EventInfo::new("charge:resolved", CHARGE_RESOLVED),
    ]))
    .with_retries(Retries::within(Duration::from_secs(72 * 60 * 60)))
    .with_not_covered([
        UNDATED_ID,
        "all headers, the method and the URL",
    ])
    .with_assumptions(["the single retries are not known: duplicates are known for 72 h"])
}

const CHARGE_CONFIRMED: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:confirmed","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR"}}}"#;

const CHARGE_CREATED: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:created","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR","timeline":[{"status":"NEW","time":"2026-03-02T10:30:00Z"}]}}}"#;

const CHARGE_PENDING: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:pending","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR","timeline":[{"status":"PENDING","time":"2026-03-02T10:30:00Z"}]}}}"#;

const CHARGE_FAILED: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:failed","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR","timeline":[{"status":"EXPIRED","time":"2026-03-02T10:30:00Z"}]}}}"#;

const CHARGE_DELAYED: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:delayed","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR","timeline":[{"status":"UNRESOLVED","time":"2026-03-02T10:30:00Z"}]}}}"#;

const CHARGE_RESOLVED: &str = r#"{"id":"24934862-d980-46cb-9402-43c81b0cabd5","scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"053b96aa-868f-4d8f-8ac6-6b96644da340","resource":"event","type":"charge:resolved","api_version":"2018-03-22","created_at":"2026-03-02T10:30:00Z","data":{"id":"2aee9dd1-67b8-43ef-8dfe-977959850f27","code":"XA6G6ZFR","timeline":[{"status":"RESOLVED","time":"2026-03-02T10:30:00Z"}]}}}"#;
