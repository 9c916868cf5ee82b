//! Stripe: payments.
//!
//! # Sources
//!
//! github.com/stripe/stripe-node (src/Webhooks.ts, test/Webhook.spec.ts), stripe-go
//! (webhook/client_test.go) and stripe-php (tests/Stripe/WebhookTest.php, lib/Event.php);
//! docs.stripe.com/webhooks (automatic retries) as quoted by others; read 2026-11-22 from stored
//! copies.
//!
//! # What the signature covers
//!
//! `Stripe-Signature` holds fields with a comma between them: `t`, the time of signing in
//! seconds since 1970, and one or several `v1`, each the HMAC-SHA256 in hexadecimal of `t`, a
//! full stop and the raw body, keyed with the whole text of the secret, `whsec_` included.
//! Fields of other versions, such as `v0`, are passed over and never count.
//!
//! A redelivery has the same id and may have another `pending_webhooks`, the count of endpoints
//! that have not acknowledged yet: that alone makes no other event.
//!
//! # What is left open
//!
//! The single retries: in live mode they go on for up to three days, each wait longer than the
//! one before; of a sandbox's events there are three within a few hours. The whole list of
//! event types is longer than what was read.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Envelope, EventInfo, Events, HmacScheme, Part, Retries, Scheme, SignedAnew,
        SignedTimestamp, TimeUnit,
    },
};

/// The preset for Stripe.
#[must_use]
pub fn stripe() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("stripe-signature"))
        .with_fields(',', "v1")
        .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        .with_timestamp(SignedTimestamp::in_field("t"));
    Provider::new(
        "stripe",
        Scheme::Hmac(scheme),
        Envelope::new("/type")
            .with_id("/id")
            .with_time("/created")
            .with_time_unit(TimeUnit::Seconds)
            .with_data("/data")
            .with_changing_fields(["/pending_webhooks"]),
    )
    .with_title("Stripe")
    .with_source("github.com/stripe/stripe-node, stripe-go and stripe-php, and docs.stripe.com/webhooks as quoted by others, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("payment_intent.succeeded", PAYMENT_INTENT_SUCCEEDED),
    ]))
    .with_retries(Retries::within(Duration::from_secs(72 * 60 * 60)).with_signed_anew(SignedAnew::Yes))
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "redeliveries are signed anew",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const PAYMENT_INTENT_SUCCEEDED: &str = r#"{"id":"evt_1","object":"event","created":1772447400,"pending_webhooks":1,"type":"payment_intent.succeeded","livemode":false,"data":{"object":{"id":"pi_1","object":"payment_intent","amount":2000,"currency":"eur"}}}"#;
