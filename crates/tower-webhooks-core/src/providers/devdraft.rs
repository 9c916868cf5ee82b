//! Devdraft: payments, payment links and transfers.
//!
//! # Sources
//!
//! docs.devdraft.ai/developers/webhooks/overview, /create-webhook and
//! /fetch-webhook, /api-reference/webhooks/create-a-new-webhook and
//! /guide/configurations/webhooks, read 2026-11-22 from stored copies of their
//! first parts.
//!
//! # What the signature covers
//!
//! Documented is only HMAC-SHA256 with the `signing_secret`. That it is in
//! hexadecimal, over the raw body and in `x-webhook-signature` are defaults of
//! ours, and with them it covers the body and nothing else. Compare them with
//! a real delivery, and change what differs:
//!
//! ```
//! use http::HeaderName;
//! use tower_webhooks_core::{provider::Envelope, providers};
//!
//! let devdraft = providers::devdraft()
//!     .with_signature_header(HeaderName::from_static("x-devdraft-signature"))
//!     .with_envelope(Envelope::new("/type").with_id("/id").with_data("/data"));
//! # devdraft.check().unwrap();
//! ```
//!
//! [`Provider::with_scheme`] replaces the rest of it.
//!
//! # Encrypted bodies
//!
//! Devdraft promises them, with key rotation, and does not say their form. [`devdraft_encrypted`]
//! is a form of ours, to agree on with whoever sends:
//!
//! ```text
//! POST …
//! x-webhook-signature: hex(HMAC-SHA256(signing secret, body))
//!
//! {"encrypted":"base64(nonce ‖ ciphertext ‖ tag)"}
//! ```
//!
//! AES-256-GCM with a nonce of 12 bytes, never used twice with one key, and a tag of 16; no
//! associated data; base64 of RFC 4648, section 4. The key is the SHA-256 of the text of an
//! encryption secret, which is another one than the signing secret: take 32 random bytes as
//! text. The plaintext is the whole body of an unencrypted delivery, and the signature covers the
//! encrypted one, so it is verified first and then decrypted.
//!
//! To rotate, give the receiver both encryption secrets; the sender changes from one to the other
//! at any time, since the tag tells which it used; then take the old one away, once what was
//! sealed with it has been handled.
//!
//! # What is not documented
//!
//! The signature's header, encoding and content; the envelope; the payload of
//! every event; the form of encrypted bodies; the retry schedule; the largest
//! body: the endpoint's 1 MiB applies. The pages' lists of types disagree: all
//! are listed here, `payment.*` and `payment_link.*` of the overview as well as
//! `transaction.*` of the dashboard's guide.
//!
//! A secret may have any length: 32 characters or more of letters, digits,
//! `_` and `-` is the documented rule, but the reference shows a secret of 15,
//! and a rule that locks users out protects nobody.

use http::HeaderName;

use super::{known, payload::event};
use crate::{
    Provider, Text,
    provider::{Cipher, Encryption, Envelope, Events, HmacScheme, KeyDerivation, Scheme},
    providers::{RawJson, UNDATED_ID},
};

/// The preset for Devdraft. Its signature header and envelope are ours: see
/// the [module](self).
#[must_use]
pub fn devdraft() -> Provider {
    let encrypted = "the form of encrypted bodies is not public: register without encryption, or agree on devdraft-encrypted";
    described("devdraft").with_assumptions(ASSUMED.into_iter().chain([encrypted]))
}

/// As [`devdraft`], with encrypted bodies in a form of ours: see the [module](self).
/// Needs the feature `encryption`, and secrets for the payloads.
#[must_use]
pub fn devdraft_encrypted() -> Provider {
    let encrypted =
        "the form of encrypted bodies is not public: AES-256-GCM in the field encrypted";
    described("devdraft-encrypted")
        .with_title("Devdraft, encrypted")
        .with_encryption(
            Encryption::of_body(Cipher::Aes256Gcm, "/encrypted")
                .with_derivation(KeyDerivation::Sha256),
        )
        .with_assumptions(ASSUMED.into_iter().chain([encrypted]))
}

/// What both presets assume.
const ASSUMED: [&str; 7] = [
    "the signature header is not public: x-webhook-signature",
    "the signature's form is not public: HMAC-SHA256 of the raw body in hexadecimal",
    "the envelope is not public: id, event_type, created_at and data",
    "payloads are not public: they are kept as they came",
    "the retry schedule and the answer's body are not visible: 72 h and an empty 200",
    "no length of a secret is refused: the documented rule and its own sample disagree",
    "the largest body is not documented: 1 MiB",
];

fn described(name: &'static str) -> Provider {
    Provider::new(
        Text::from_static(name),
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static(
            "x-webhook-signature",
        ))),
        Envelope::new("/event_type")
            .with_id("/id")
            .with_time("/created_at")
            .with_data("/data"),
    )
    .with_title("Devdraft")
    .with_source("docs.devdraft.ai/developers/webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        known::<PaymentCreated>(PAYMENT_CREATED),
        known::<PaymentPending>(PAYMENT_PENDING),
        known::<PaymentCompleted>(PAYMENT_COMPLETED),
        known::<PaymentFailed>(PAYMENT_FAILED),
        known::<PaymentRefunded>(PAYMENT_REFUNDED),
        known::<PaymentDisputed>(PAYMENT_DISPUTED),
        known::<PaymentLinkCreated>(PAYMENT_LINK_CREATED),
        known::<PaymentLinkPaid>(PAYMENT_LINK_PAID),
        known::<PaymentLinkExpired>(PAYMENT_LINK_EXPIRED),
        known::<PaymentLinkCancelled>(PAYMENT_LINK_CANCELLED),
        known::<TransferInitiated>(TRANSFER_INITIATED),
        known::<TransactionSuccessful>(TRANSACTION_SUCCESSFUL),
        known::<TransactionFailed>(TRANSACTION_FAILED),
        known::<TransactionPending>(TRANSACTION_PENDING),
        known::<TransactionCanceled>(TRANSACTION_CANCELED),
        known::<TransactionDisputed>(TRANSACTION_DISPUTED),
    ]))
    .with_not_covered([
        UNDATED_ID,
        "with our defaults, all headers, the method and the URL",
    ])
}

event! {
    /// A payment was created. Its fields are not public.
    pub struct PaymentCreated = "payment.created": RawJson
}

event! {
    /// A payment is being processed. Its fields are not public.
    pub struct PaymentPending = "payment.pending": RawJson
}

event! {
    /// A payment was completed. Its fields are not public.
    pub struct PaymentCompleted = "payment.completed": RawJson
}

event! {
    /// A payment failed. Its fields are not public.
    pub struct PaymentFailed = "payment.failed": RawJson
}

event! {
    /// A payment was refunded. Its fields are not public.
    pub struct PaymentRefunded = "payment.refunded": RawJson
}

event! {
    /// A payment is disputed. Its fields are not public.
    pub struct PaymentDisputed = "payment.disputed": RawJson
}

event! {
    /// A payment link was created. Its fields are not public.
    pub struct PaymentLinkCreated = "payment_link.created": RawJson
}

event! {
    /// A payment link was paid. Its fields are not public.
    pub struct PaymentLinkPaid = "payment_link.paid": RawJson
}

event! {
    /// A payment link expired. Its fields are not public.
    pub struct PaymentLinkExpired = "payment_link.expired": RawJson
}

event! {
    /// A payment link was cancelled. Its fields are not public.
    pub struct PaymentLinkCancelled = "payment_link.cancelled": RawJson
}

event! {
    /// A transfer was initiated. Its fields are not public.
    pub struct TransferInitiated = "transfer.initiated": RawJson
}

event! {
    /// A transaction succeeded. Its fields are not public.
    pub struct TransactionSuccessful = "transaction.successful": RawJson
}

event! {
    /// A transaction failed. Its fields are not public.
    pub struct TransactionFailed = "transaction.failed": RawJson
}

event! {
    /// A transaction is being processed. Its fields are not public.
    pub struct TransactionPending = "transaction.pending": RawJson
}

event! {
    /// A transaction was canceled. Its fields are not public.
    pub struct TransactionCanceled = "transaction.canceled": RawJson
}

event! {
    /// A transaction is disputed. Its fields are not public.
    pub struct TransactionDisputed = "transaction.disputed": RawJson
}

/// A sample body. Every member of it is ours.
macro_rules! sample {
    ($number:literal, $event_type:literal, $object:literal, $status:literal) => {
        concat!(
            r#"{"id":"evt_7890123"#,
            $number,
            r#"","event_type":""#,
            $event_type,
            r#"","created_at":"2026-03-02T10:30:00.000Z","data":{"id":""#,
            $object,
            r#"","status":""#,
            $status,
            r#""}}"#
        )
    };
}

const PAYMENT_CREATED: &str = sample!("45", "payment.created", "pay_0001", "created");
const PAYMENT_PENDING: &str = sample!("46", "payment.pending", "pay_0001", "pending");
const PAYMENT_COMPLETED: &str = sample!("47", "payment.completed", "pay_0001", "completed");
const PAYMENT_FAILED: &str = sample!("48", "payment.failed", "pay_0002", "failed");
const PAYMENT_REFUNDED: &str = sample!("49", "payment.refunded", "pay_0001", "refunded");
const PAYMENT_DISPUTED: &str = sample!("50", "payment.disputed", "pay_0001", "disputed");
const PAYMENT_LINK_CREATED: &str = sample!("51", "payment_link.created", "pl_0001", "created");
const PAYMENT_LINK_PAID: &str = sample!("52", "payment_link.paid", "pl_0001", "paid");
const PAYMENT_LINK_EXPIRED: &str = sample!("53", "payment_link.expired", "pl_0002", "expired");
const PAYMENT_LINK_CANCELLED: &str =
    sample!("54", "payment_link.cancelled", "pl_0003", "cancelled");
const TRANSFER_INITIATED: &str = sample!("55", "transfer.initiated", "tr_0001", "initiated");
const TRANSACTION_SUCCESSFUL: &str =
    sample!("56", "transaction.successful", "txn_0001", "successful");
const TRANSACTION_FAILED: &str = sample!("57", "transaction.failed", "txn_0002", "failed");
const TRANSACTION_PENDING: &str = sample!("58", "transaction.pending", "txn_0003", "pending");
const TRANSACTION_CANCELED: &str = sample!("59", "transaction.canceled", "txn_0004", "canceled");
const TRANSACTION_DISPUTED: &str = sample!("60", "transaction.disputed", "txn_0001", "disputed");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secrets, Verifier};

    #[test]
    fn the_secret_of_the_reference_is_taken_although_it_is_short() {
        let secrets = Secrets::new("whsec_123456789").unwrap();
        Verifier::new(devdraft(), &secrets).unwrap();
    }

    #[test]
    fn everything_that_is_not_public_is_marked_as_ours() {
        let ours = devdraft().assumptions().join("\n");
        for word in ["header", "envelope", "payloads", "encrypted", "retry"] {
            assert!(ours.contains(word), "{word}");
        }
    }
}
