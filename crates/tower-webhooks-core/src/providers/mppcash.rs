//! MPPCash: accounts, with policies, from which software agents pay.
//!
//! # Sources
//!
//! docs.mppcash.xyz/guides/webhooks.html, /guides/policy.html and
//! /sdk/mpp-protocol.html ("v0.1 - Beta"), read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `x-mppcash-signature` is the HMAC-SHA256 of the raw body in hexadecimal,
//! keyed with the text of the secret that the registration returned. It covers
//! the body and nothing else: no header, no URL, and no time, so a captured
//! delivery stays valid for as long as its secret does.
//!
//! # What is not documented
//!
//! An event id, the time of an event, the retry schedule, the deadline for an
//! answer, the payload of `transfer.settled`, and whether amounts are numbers
//! or text: both are taken. The largest body: the endpoint's 1 MiB applies. The
//! pages do not say that their five types are all.

use http::HeaderName;

use super::{
    known,
    payload::{event, payload},
};
use crate::{
    Amount, Provider,
    provider::{Answer, Answers, Envelope, Events, HmacScheme, Scheme},
    providers::RawJson,
    providers::UNDATED,
};

/// The preset for MPPCash.
#[must_use]
pub fn mppcash() -> Provider {
    Provider::new(
        "mppcash",
        Scheme::Hmac(HmacScheme::new(HeaderName::from_static(
            "x-mppcash-signature",
        ))),
        Envelope::new("/type").with_data("/data"),
    )
    .with_title("MPPCash")
    .with_source("docs.mppcash.xyz/guides/webhooks.html, read 2026-11-22 from a stored copy")
    .with_answers(Answers::new(
        Answer::text(200, "OK"),
        Answer::text(401, "Invalid signature"),
    ))
    .with_events(Events::open([
        known::<TransferSettled>(TRANSFER_SETTLED),
        known::<TransferRejected>(TRANSFER_REJECTED),
        known::<SessionSettled>(SESSION_SETTLED),
        known::<SessionCapWarning>(SESSION_CAP_WARNING),
        known::<BalanceLowThreshold>(BALANCE_LOW_THRESHOLD),
    ]))
    .with_not_covered([UNDATED, "all headers, the method and the URL"])
    .with_assumptions([
        "no event id is documented: the body's SHA-256 stands in",
        "the retry schedule is not documented: duplicates are known for 72 h",
        "the form of amounts is not documented: numbers and text are taken",
        "the payload of transfer.settled is not documented: it is kept as it came",
        "the largest body is not documented: 1 MiB",
    ])
}

event! {
    /// A transfer was settled. Its fields are not documented.
    pub struct TransferSettled = "transfer.settled": RawJson
}

payload! {
    /// The account's policy refused a transfer.
    pub struct TransferRejected = "transfer.rejected" {
        required {
            /// The account, such as `acct_03x1m7p9k2qrst4ab`.
            account_id: String = "account_id",
            /// Why, in words.
            rejection_reason: String = "rejection_reason",
        }
    }
}

payload! {
    /// A session's payments were settled as a batch.
    pub struct SessionSettled = "session.settled" {
        required {
            /// The session.
            session_id: String = "session_id",
            /// What was settled, in USDC: the authoritative amount.
            settled_usdc: Amount = "settled_usdc",
            /// The transaction's signature on the chain.
            tx_signature: String = "tx_signature",
            /// When. The form of the time is not documented.
            settled_at: RawJson = "settled_at",
        }
    }
}

payload! {
    /// A session's running total passed 80 % of its cap.
    pub struct SessionCapWarning = "session.cap_warning" {
        required {
            /// The session.
            session_id: String = "session_id",
            /// What the session has spent so far, in USDC.
            running_total_usdc: Amount = "running_total_usdc",
            /// What the session may spend, in USDC.
            cap_usdc: Amount = "cap_usdc",
        }
    }
}

payload! {
    /// An account's balance fell below the threshold of the registration.
    pub struct BalanceLowThreshold = "balance.low_threshold" {
        required {
            /// The account, such as `acct_03x1m7p9k2qrst4ab`.
            account_id: String = "account_id",
            /// What is left, in USDC.
            balance_usdc: Amount = "balance_usdc",
            /// Where a top-up goes.
            usdc_token_account: String = "usdc_token_account",
        }
    }
}

const TRANSFER_SETTLED: &str =
    r#"{"type":"transfer.settled","data":{"account_id":"acct_03x1m7p9k2qrst4ab"}}"#;

const TRANSFER_REJECTED: &str = r#"{"type":"transfer.rejected","data":{"account_id":"acct_03x1m7p9k2qrst4ab","rejection_reason":"recipient is not on the allowlist"}}"#;

const SESSION_SETTLED: &str = r#"{"type":"session.settled","data":{"session_id":"sess_7f3a9b2c","settled_usdc":12.5,"tx_signature":"5h6xComposedSolanaTxSignature9PqR","settled_at":"2026-03-02T10:15:30Z"}}"#;

const SESSION_CAP_WARNING: &str = r#"{"type":"session.cap_warning","data":{"session_id":"sess_7f3a9b2c","running_total_usdc":16.25,"cap_usdc":20}}"#;

const BALANCE_LOW_THRESHOLD: &str = r#"{"type":"balance.low_threshold","data":{"account_id":"acct_03x1m7p9k2qrst4ab","balance_usdc":42.75,"usdc_token_account":"7ComposedUsdcTokenAccount9PqRsTuVwXyZ"}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_taken_as_numbers_and_as_text() {
        for (amount, shown) in [("12.50", "12.50"), (r#""12.50""#, "12.50"), ("50", "50")] {
            let data =
                format!(r#"{{"session_id":"s","running_total_usdc":{amount},"cap_usdc":1}}"#);
            let warning: SessionCapWarning = serde_json::from_str(&data).unwrap();
            assert_eq!(warning.running_total_usdc.as_str(), shown);
        }
    }

    #[test]
    fn a_time_of_settlement_is_taken_in_any_form() {
        for (time, shown) in [
            ("1772446530", "1772446530"),
            (r#""2026-03-02""#, "2026-03-02"),
        ] {
            let data = format!(
                r#"{{"session_id":"s","settled_usdc":1,"tx_signature":"t","settled_at":{time}}}"#
            );
            let settled: SessionSettled = serde_json::from_str(&data).unwrap();
            assert_eq!(settled.settled_at.to_text(), shown);
        }
    }
}
