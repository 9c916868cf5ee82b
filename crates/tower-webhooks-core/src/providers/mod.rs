//! The presets, one file each, with the same headings in the same order.
//!
//! A preset is a function that returns a [`Provider`]; the module of the same
//! name has its payload types. What a provider's documents leave open is in
//! [`Provider::assumptions`], and never passed off as the provider's own.
//!
//! ```
//! use tower_webhooks_core::{EventType, providers};
//!
//! let monterrey = providers::monterrey();
//! assert_eq!(monterrey.title(), "Monterrey");
//! assert_eq!(providers::monterrey::PaymentConfirmed::EVENT_TYPE, "payment.confirmed");
//! assert_eq!(providers::find("monterrey"), Some(monterrey));
//! ```
//!
//! Payload types may gain fields, so that no literal makes one outside of this
//! crate. A test makes its own out of JSON, as the provider does:
//!
//! ```
//! use tower_webhooks_core::providers::monterrey::PaymentExpired;
//!
//! let expired: PaymentExpired = serde_json::from_value(serde_json::json!({
//!     "merchantRef": "order_12345",
//! }))?;
//! assert_eq!(expired.merchant_ref, "order_12345");
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod cryptomate;
pub mod devdraft;
pub mod m2m;
pub mod monterrey;
pub mod mppcash;
mod payload;

pub use self::{
    cryptomate::cryptomate,
    devdraft::devdraft,
    m2m::m2m,
    monterrey::monterrey,
    mppcash::mppcash,
    payload::{OtherFields, RawJson},
};

use crate::{EventType, Provider, Text, provider::EventInfo};

/// Every preset, in the order of their names.
const ALL: &[fn() -> Provider] = &[cryptomate, devdraft, m2m, monterrey, mppcash];

/// Every preset, in the order of their names.
#[must_use]
pub fn all() -> Vec<Provider> {
    ALL.iter().map(|preset| preset()).collect()
}

/// The preset of that name: lower case with hyphens.
#[must_use]
pub fn find(name: &str) -> Option<Provider> {
    ALL.iter()
        .map(|preset| preset())
        .find(|provider| provider.name() == name)
}

/// What a preset says of an event. Copies nothing.
fn known<T: EventType>(sample: &'static str) -> EventInfo {
    EventInfo::new(Text::from_static(T::EVENT_TYPE), Text::from_static(sample))
}
