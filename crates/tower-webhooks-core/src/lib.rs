//! Verifies webhook deliveries: bytes, headers and time in; a delivery or a
//! rejection out. No I/O, no runtime.
//!
//! * [`Provider`] describes who sends, as data; [`provider`] has the parts of a
//!   description, [`providers`] the presets.
//! * [`Verifier`] checks requests against an endpoint's [`Secrets`] and is
//!   what makes a [`Delivery`]; refusals are [`Rejection`]s of a closed set
//!   of kinds.
//! * [`Signer`] makes what a provider would send.
//! * `explain`, behind the feature of that name, finds out why a signature fails:
//!   for tests and a developer's desk.
//!
//! The one thing here that reaches outside is [`Secrets::from_env`].
//!
//! ```
//! use std::time::SystemTime;
//! use http::{HeaderMap, Method, Uri};
//! use tower_webhooks_core::{Head, RejectionKind, Secrets, Verifier, providers};
//!
//! let verifier = Verifier::new(providers::monterrey(), &Secrets::new("whsec_of_the_shop")?)?;
//! let unsigned = HeaderMap::new();
//! let refused = verifier.provider().screen(&unsigned, SystemTime::now()).unwrap_err();
//! assert_eq!(refused.kind(), RejectionKind::SignatureMissing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod amount;
mod clock;
mod compression;
mod content;
mod data;
mod delivery;
mod encoding;
mod encryption;
mod envelope;
mod event_type;
#[cfg(feature = "explain")]
pub mod explain;
mod form;
mod handshake;
mod mac;
mod pointers;
pub mod provider;
pub mod providers;
mod public_key;
mod rejection;
mod scheme;
mod secret;
mod secret_pair;
mod sign;
mod text;
mod timestamp;
mod verify;

pub use amount::{Amount, AmountError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compression::InflateError;
pub use delivery::{Delivery, Restored};
pub use encryption::Opener;
pub use envelope::{EventHead, Item, Unusable};
pub use event_type::EventType;
pub use handshake::Handshaker;
pub use provider::description::Provider;
pub use rejection::{Rejection, RejectionKind};
pub use scheme::Screened;
pub use secret::{MAX_SECRETS, Secret, SecretError, SecretErrorKind, Secrets};
pub use secret_pair::SecretPair;
pub use sign::{SignError, SignedRequest, Signer};
pub use text::Text;
pub use verify::{Head, SetupError, Verifier};
