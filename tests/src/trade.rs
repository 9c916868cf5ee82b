//! What the providers of the crash tests send, each event under a number of
//! its own.

use std::num::NonZeroU32;

use tower_webhooks::{Provider, providers};

use crate::{acme, body};

/// One kind of events for one receiver.
#[derive(Debug, Clone, Copy)]
pub struct Trade {
    /// The receiver, by its package where it is one of the examples.
    pub package: &'static str,
    /// Its endpoint's name.
    pub endpoint: &'static str,
    /// Where it takes them.
    pub path: &'static str,
    /// Who sends them.
    pub provider: fn() -> Provider,
    /// The event of this number.
    pub body: fn(u64) -> String,
    /// The number's text in a stored event, in SQL.
    pub number: &'static str,
}

/// Settled sessions, each of which becomes a row that commits with its job.
pub const SETTLEMENTS: Trade = Trade {
    package: "mppcash-receiver",
    endpoint: "mppcash",
    path: "/mppcash/events",
    provider: providers::mppcash,
    body: |number| {
        format!(
            r#"{{"type":"session.settled","data":{{"session_id":"no_{number}","settled_usdc":12.50,"tx_signature":"tx_{number}","settled_at":"2026-03-02T10:15:30Z"}}}}"#
        )
    },
    number: "CAST(event.body AS TEXT) ->> '$.data.session_id'",
};

/// Card authorizations that the receiver approves, and declines by default.
pub const AUTHORIZATIONS: Trade = Trade {
    package: "cryptomate-receiver",
    endpoint: "cryptomate",
    path: "/webhooks/cryptomate",
    provider: providers::cryptomate,
    body: |number| {
        format!(
            r#"{{"product":"cards","event_type":"authorization","operation_id":"no_{number}","status":"pending","data":{{"card_id":"c","bill_amount":5,"bill_currency_code":"USD","transaction_amount":5,"transaction_currency_code":"USD","merchant_data":{{"id":"m","name":"no_{number}"}}}}}}"#
        )
    },
    number: "CAST(event.body AS TEXT) ->> '$.operation_id'",
};

/// Orders, for a receiver that ends its process over every lost one.
pub const ORDERS: Trade = Trade {
    package: "acme",
    endpoint: "acme",
    path: "/acme",
    provider: acme,
    body: |number| body("order.paid", &format!("no_{number}")),
    number: "event.id",
};

/// How often the handlers of [`ORDERS`] are run at most.
pub const KILLING_ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// The number that this text names.
///
/// # Panics
///
/// When it names none.
#[must_use]
pub fn number_of(text: &str) -> u64 {
    let number = text.strip_prefix("no_").and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{text} is no number of ours"))
}
