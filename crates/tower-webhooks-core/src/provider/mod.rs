//! Who sends, as a value.
//!
//! A preset returns one; a user's own comes from Rust or from TOML, and needs
//! no code here:
//!
//! ```
//! use tower_webhooks_core::Provider;
//!
//! let acme: Provider = toml::from_str(r#"
//!     name = "acme"
//!
//!     [scheme]
//!     kind = "hmac"
//!     header = "x-acme-signature"
//!     prefix = { required = "sha256=" }
//!
//!     [envelope]
//!     event_type = "/type"
//!     id = "/id"
//!     data = "/data"
//! "#)?;
//! assert_eq!(acme.name(), "acme");
//! assert_eq!(acme.scheme().describe(), "HMAC-SHA256 over body");
//! # Ok::<(), toml::de::Error>(())
//! ```
//!
//! [`Provider`](crate::Provider) is the whole description; the types here are
//! its parts:
//!
//! * [`Scheme`]: what is signed with what, and where the signature stands.
//! * [`Envelope`]: where an event's type, id, time and data lie.
//! * [`Answers`], [`Retries`], [`Events`], [`ReplyRule`], [`AlsoSent`]: what it
//!   expects and does besides.

mod catalogue;
mod check;
pub(crate) mod description;

pub use catalogue::{
    AlsoSent, Answer, Answers, EventInfo, Events, ReplyRule, Retries, SentValue, SignedAnew,
};
pub(crate) use check::Mistake;
pub use check::ProviderError;

pub use crate::{
    encoding::Encoding,
    envelope::{Envelope, Locator, LocatorPart, Place},
    mac::Algorithm,
    scheme::{HmacScheme, KeyEncoding, KeyForm, Layout, Part, Prefix, Scheme, TokenScheme},
    timestamp::{SignedTimestamp, TimeUnit, TimestampPlace},
};
