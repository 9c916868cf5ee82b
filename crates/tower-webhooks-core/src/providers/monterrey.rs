//! Monterrey: payments in crypto currencies for shops.
//!
//! # Sources
//!
//! monterrey.app/en/docs/api/webhooks, /api/authentication and /api/payments,
//! read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Monterrey-Signature` is the HMAC-SHA256 of the body in hexadecimal. The
//! key is the whole text of the secret, `whsec_` included: nothing in the
//! documents takes that off or decodes the rest. It covers the body and
//! nothing else: no header, no URL, and no time, so a captured delivery stays
//! valid for as long as its secret does.
//!
//! # What is not documented
//!
//! The payloads of four of the five events, beyond the fields that the sample
//! handler uses; whether there are five deliveries or six; whether a
//! redelivery's body is the same; which secret signs deliveries to a payment's
//! own `webhookUrl`; and the largest body: the endpoint's 1 MiB applies. The
//! sample signs the body as parsed and written again; the bytes as received are
//! the only form that a receiver can rely on.

use std::time::Duration;

use http::HeaderName;

use super::{
    known,
    payload::{event, payload},
};
use crate::{
    Amount, Provider,
    provider::{Answer, Answers, Envelope, Events, HmacScheme, Retries, Scheme},
    providers::UNDATED_ID,
    providers::{OtherFields, RawJson},
};

/// The preset for Monterrey.
#[must_use]
pub fn monterrey() -> Provider {
    Provider::new(
        "monterrey",
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static(
            "x-monterrey-signature",
        ))),
        Envelope::new("/event")
            .with_id("/id")
            .with_time("/createdAt")
            .with_data("/data"),
    )
    .with_title("Monterrey")
    .with_source("monterrey.app/en/docs/api/webhooks, read 2026-11-22 from a stored copy")
    .with_answers(Answers::new(
        Answer::json(200, r#"{"received":true}"#),
        Answer::json(401, r#"{"error":"Invalid signature"}"#),
    ))
    .with_retries(
        Retries::after([60, 5 * 60, 30 * 60, 2 * 60 * 60, 24 * 60 * 60].map(Duration::from_secs))
            .with_deadline(Duration::from_secs(30))
            .with_afterwards("marked as failed, to be seen in the Developer Portal"),
    )
    .with_events(Events::open([
        known::<PaymentCreated>(PAYMENT_CREATED),
        known::<PaymentDetecting>(PAYMENT_DETECTING),
        known::<PaymentConfirmed>(PAYMENT_CONFIRMED),
        known::<PaymentExpired>(PAYMENT_EXPIRED),
        known::<PaymentFailed>(PAYMENT_FAILED),
    ]))
    .with_not_covered([
        UNDATED_ID,
        "all headers, the method and the URL",
    ])
    .with_assumptions([
        "the whole text of the secret is the key, whsec_ included: the documents decode nothing",
        "the retry page lists five retries and says five attempts: read as one delivery and five retries",
        "the payloads of created, detecting, expired and failed are not shown: what is not documented for an event is optional",
        "the largest body is not documented: 1 MiB",
    ])
}

payload! {
    /// A payment, as far as its fields are documented for any event.
    pub struct Payment {
        optional {
            /// The payment's id, `pay_…`.
            id: String = "id",
            /// Your reference.
            merchant_ref: String = "merchantRef",
            /// In the currency's smallest unit: wei, or millionths of a USDC.
            amount: Amount = "amount",
            /// `ETH`, `USDC`, `USDT`, `DAI` or `WBTC`.
            currency: String = "currency",
            /// `ethereum`, `polygon`, `arbitrum`, `optimism` or `base`.
            chain: String = "chain",
            /// Where the payment goes.
            address: String = "address",
            /// `pending`, `confirmed`, `expired` or `failed`.
            status: String = "status",
            /// The keys that you gave.
            metadata: OtherFields = "metadata",
        }
    }
}

event! {
    /// A new payment was created. The fields of this event are not shown in
    /// the documents.
    pub struct PaymentCreated = "payment.created": Payment
}

event! {
    /// The transaction was seen on the chain and waits for confirmations. The
    /// fields of this event are not shown in the documents.
    pub struct PaymentDetecting = "payment.detecting": Payment
}

payload! {
    /// The payment is confirmed on the chain: fulfil the order.
    pub struct PaymentConfirmed = "payment.confirmed" {
        required {
            /// The payment's id, `pay_…`.
            id: String = "id",
            /// Your reference.
            merchant_ref: String = "merchantRef",
            /// In the currency's smallest unit: wei, or millionths of a USDC.
            amount: Amount = "amount",
            /// `ETH`, `USDC`, `USDT`, `DAI` or `WBTC`.
            currency: String = "currency",
            /// `ethereum`, `polygon`, `arbitrum`, `optimism` or `base`.
            chain: String = "chain",
            /// Where the payment went.
            address: String = "address",
            /// `confirmed`.
            status: String = "status",
            /// The transaction on the chain.
            tx_hash: String = "txHash",
            /// When, in RFC 3339.
            confirmed_at: String = "confirmedAt",
        }
        optional {
            /// The keys that you gave.
            metadata: OtherFields = "metadata",
        }
    }
}

payload! {
    /// The time to pay is over: release the order.
    pub struct PaymentExpired = "payment.expired" {
        required {
            /// Your reference.
            merchant_ref: String = "merchantRef",
        }
        optional {
            /// The payment's id, `pay_…`.
            id: String = "id",
        }
    }
}

payload! {
    /// The payment failed: wrong amount, wrong token, or another reason.
    pub struct PaymentFailed = "payment.failed" {
        required {
            /// Your reference.
            merchant_ref: String = "merchantRef",
        }
        optional {
            /// The payment's id, `pay_…`.
            id: String = "id",
            /// Why. Its form is not documented.
            failure_reason: RawJson = "failureReason",
        }
    }
}

const PAYMENT_CREATED: &str = r#"{"id":"evt_1234567887","event":"payment.created","createdAt":"2026-03-02T10:30:00Z","data":{"id":"pay_abc123","merchantRef":"order_12345","amount":"1000000","currency":"USDC","chain":"polygon","address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00000","status":"pending","metadata":{"customer_id":"cust_abc123"}}}"#;

const PAYMENT_DETECTING: &str = r#"{"id":"evt_1234567888","event":"payment.detecting","createdAt":"2026-03-02T10:33:00Z","data":{"id":"pay_abc123","merchantRef":"order_12345","amount":"1000000","currency":"USDC","chain":"polygon"}}"#;

const PAYMENT_CONFIRMED: &str = r#"{"id":"evt_1234567890","event":"payment.confirmed","createdAt":"2026-03-02T10:35:00Z","data":{"id":"pay_abc123","merchantRef":"order_12345","amount":"1000000","currency":"USDC","chain":"polygon","address":"0x742d35Cc6634C0532925a3b844Bc9e7595f00000","status":"confirmed","txHash":"0x123abc0000000000000000000000000000000000000000000000000000000000","confirmedAt":"2026-03-02T10:35:00Z","metadata":{"customer_id":"cust_abc123"}}}"#;

const PAYMENT_EXPIRED: &str = r#"{"id":"evt_1234567891","event":"payment.expired","createdAt":"2026-03-02T11:30:00Z","data":{"id":"pay_abc124","merchantRef":"order_12346","status":"expired"}}"#;

const PAYMENT_FAILED: &str = r#"{"id":"evt_1234567892","event":"payment.failed","createdAt":"2026-03-02T10:36:00Z","data":{"id":"pay_abc125","merchantRef":"order_12347","status":"failed","failureReason":"wrong amount"}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_span_a_day_and_a_half_hour_and_more() {
        let waits = 60 + 300 + 1_800 + 7_200 + 86_400;
        let answers = 6 * 30;
        assert_eq!(
            monterrey().retry_span(),
            Duration::from_secs(waits + answers)
        );
    }

    #[test]
    fn an_expired_payment_needs_only_its_reference() {
        let expired: PaymentExpired = serde_json::from_str(r#"{"merchantRef":"o"}"#).unwrap();
        assert_eq!(expired.merchant_ref, "o");
        assert!(serde_json::from_str::<PaymentExpired>("{}").is_err());
    }

    #[test]
    fn metadata_keeps_the_shops_own_keys() {
        let payment: Payment =
            serde_json::from_str(r#"{"metadata":{"customer_id":"cust_1"}}"#).unwrap();
        let metadata = payment.metadata.unwrap();
        assert_eq!(metadata.get("customer_id").unwrap().to_text(), "cust_1");
    }
}
