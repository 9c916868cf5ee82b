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

pub mod adyen;
pub mod coinbase_commerce;
pub mod cryptomate;
pub mod devdraft;
pub mod discord;
pub mod github;
pub mod gitlab;
pub mod hubspot;
pub mod lark;
pub mod line;
pub mod linear;
pub mod m2m;
pub mod mailgun;
pub mod meta;
pub mod microsoft_graph;
pub mod monterrey;
pub mod mppcash;
pub mod paddle;
mod payload;
pub mod razorpay;
pub mod sendgrid;
pub mod shopify;
pub mod slack;
pub mod square;
pub mod standard_webhooks;
pub mod stripe;
pub mod telegram;
pub mod twilio;
pub mod wechat_pay;
pub mod zendesk;
pub mod zoom;

pub use self::{
    adyen::adyen,
    coinbase_commerce::coinbase_commerce,
    cryptomate::cryptomate,
    devdraft::{devdraft, devdraft_encrypted},
    discord::{discord, discord_interactions},
    github::github,
    gitlab::gitlab,
    hubspot::hubspot,
    lark::lark,
    line::line,
    linear::linear,
    m2m::m2m,
    mailgun::mailgun,
    meta::meta,
    microsoft_graph::microsoft_graph,
    monterrey::monterrey,
    mppcash::mppcash,
    paddle::paddle,
    payload::{OtherFields, RawJson},
    razorpay::razorpay,
    sendgrid::sendgrid,
    shopify::shopify,
    slack::slack,
    square::square,
    standard_webhooks::{standard_webhooks, standard_webhooks_ed25519, svix},
    stripe::stripe,
    telegram::telegram,
    twilio::twilio,
    wechat_pay::wechat_pay,
    zendesk::zendesk,
    zoom::zoom,
};

use crate::{EventType, Provider, Text, provider::EventInfo};

/// What it means that no time is signed, where an unsigned header has the id, or there
/// is none: a captured delivery is told by its body, for as long as
/// [`Provider::dedup_span`] says.
const UNDATED: &str = "the time of sending: a captured delivery stays valid for as long as its secret does; it is known by its body for 72 h, and is a new event after that";

/// The same where the id goes with the body.
const UNDATED_ID: &str = "the time of sending: a captured delivery stays valid for as long as its secret does; it is known by its id for as long as the inbox keeps keys, and is a new event after that";

/// Every preset, in the order of their names.
const ALL: &[fn() -> Provider] = &[
    adyen,
    coinbase_commerce,
    cryptomate,
    devdraft,
    devdraft_encrypted,
    discord,
    discord_interactions,
    github,
    gitlab,
    hubspot,
    lark,
    line,
    linear,
    m2m,
    mailgun,
    meta,
    microsoft_graph,
    monterrey,
    mppcash,
    paddle,
    razorpay,
    sendgrid,
    shopify,
    slack,
    square,
    standard_webhooks,
    standard_webhooks_ed25519,
    stripe,
    svix,
    telegram,
    twilio,
    wechat_pay,
    zendesk,
    zoom,
];

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
