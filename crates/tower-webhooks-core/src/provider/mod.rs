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
//! * [`Handshake`]: how it makes sure that a receiver is there.
//! * [`Encryption`], [`Compression`]: what is wrapped around its payloads.
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
    compression::{Coding, Compression, SignedBytes},
    encoding::Encoding,
    encryption::{Cipher, CodedField, Encryption, KeyDerivation, Nonce, Opens, PayloadSecret},
    envelope::{BodyFormat, Envelope, Locator, LocatorPart, Place},
    handshake::{Handshake, HandshakeAnswer, HandshakeProof, HandshakeSign},
    mac::Algorithm,
    scheme::{
        DigestAlgorithm, DigestScheme, HmacScheme, KeyEncoding, KeyForm, Layout, Part, Prefix,
        PublicKeyAlgorithm, PublicKeyScheme, Scheme, SignedScheme, TokenScheme, UrlForm,
    },
    timestamp::{SignedTimestamp, TimeUnit, TimestampPlace},
};
