//! How a provider authenticates a request, as data.
//!
//! ```
//! use http::HeaderName;
//! use tower_webhooks_core::provider::{HmacScheme, Part, SignedTimestamp};
//!
//! // t=1700000000,v1=<hex of HMAC-SHA256 over "<t>.<body>">
//! let scheme = HmacScheme::new(HeaderName::from_static("acme-signature"))
//!     .with_fields(',', "v1")
//!     .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
//!     .with_timestamp(SignedTimestamp::in_field("t"));
//! assert_eq!(scheme.describe(), "HMAC-SHA256 over timestamp + \".\" + body");
//! ```

mod algorithm;
mod candidates;
mod key_form;
mod keys;
mod message;
mod part;
pub(crate) mod screen;
mod signed;
mod token;

use http::HeaderName;
use serde::{Deserialize, Serialize};

pub(crate) use algorithm::AnyAlgorithm;
pub use algorithm::{DigestAlgorithm, PublicKeyAlgorithm};
pub(crate) use candidates::Candidates;
pub use key_form::{KeyEncoding, KeyForm};
pub(crate) use keys::{Keys, Material, label_of};
pub(crate) use message::{BodyFields, Message, UrlText, signed_form};
pub use part::{Layout, Part, Prefix, UrlForm};
pub use screen::Screened;
pub(crate) use signed::Signed;
pub use signed::{DigestScheme, HmacScheme, PublicKeyScheme, SignedScheme};
pub use token::TokenScheme;

use crate::timestamp::SignedTimestamp;

/// How a provider authenticates its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheme {
    /// A plain digest over the secret and parts of the request.
    Digest(DigestScheme),
    /// A keyed digest over parts of the request.
    Hmac(HmacScheme),
    /// A public-key signature over parts of the request.
    PublicKey(PublicKeyScheme),
    /// A shared token that is sent as it is. It authenticates the sender and
    /// covers nothing of the request.
    Token(TokenScheme),
}

impl Scheme {
    /// The header that holds the signature or the token; nothing where it
    /// stands in the body.
    #[must_use]
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Digest(scheme) => scheme.header.as_ref(),
            Self::Hmac(scheme) => scheme.header.as_ref(),
            Self::PublicKey(scheme) => scheme.header.as_ref(),
            Self::Token(scheme) => scheme.header.as_ref(),
        }
    }

    /// The JSON pointer at which the signature or the token stands in the body.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Digest(scheme) => scheme.field.as_deref(),
            Self::Hmac(scheme) => scheme.field.as_deref(),
            Self::PublicKey(scheme) => scheme.field.as_deref(),
            Self::Token(scheme) => scheme.field.as_deref(),
        }
    }

    /// The signed timestamp, if there is one.
    #[must_use]
    pub const fn timestamp(&self) -> Option<&SignedTimestamp> {
        match self {
            Self::Digest(scheme) => scheme.timestamp.as_ref(),
            Self::Hmac(scheme) => scheme.timestamp.as_ref(),
            Self::PublicKey(scheme) => scheme.timestamp.as_ref(),
            Self::Token(_) => None,
        }
    }

    /// What is signed, in order: nothing of a shared token.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        self.signed().map_or(&[], |signed| signed.parts)
    }

    /// Whether the signature covers every byte of the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.signed().is_some_and(|signed| signed.has(&Part::Body))
    }

    /// Whether a form's fields are signed in one row, in the place of the body: who captured
    /// a request can cut the row into others.
    pub(crate) fn signs_row(&self) -> bool {
        let mut parts = self.parts().iter();
        parts.any(|part| matches!(part, Part::Form { .. }))
    }

    /// Whether the signature covers what lies at a JSON pointer into the body.
    #[must_use]
    pub fn covers_field(&self, pointer: &str) -> bool {
        self.signed()
            .is_some_and(|signed| signed.covers_field(pointer))
    }

    /// Whether the signature covers a header's value. One that has nothing
    /// fixed between itself and another part is not covered: characters could
    /// move from one to the other.
    #[must_use]
    pub fn covers_header(&self, name: &HeaderName) -> bool {
        self.signed()
            .is_some_and(|signed| signed.covers_header(name))
    }

    /// Whether the configured public URL is part of what is signed.
    #[must_use]
    pub fn needs_public_url(&self) -> bool {
        self.signed()
            .is_some_and(|signed| signed.parts.iter().any(Part::is_url))
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.signed() {
            Some(signed) => signed.describe(),
            None => "shared token, nothing is signed".to_owned(),
        }
    }

    /// What is weak about the algorithm, in words; nothing where it is sound.
    #[must_use]
    pub fn weakness(&self) -> Option<&'static str> {
        self.signed().and_then(|signed| signed.algorithm.weakness())
    }

    pub(crate) fn signed(&self) -> Option<Signed<'_>> {
        match self {
            Self::Digest(scheme) => Some(scheme.view(AnyAlgorithm::Digest(scheme.algorithm))),
            Self::Hmac(scheme) => Some(scheme.view(AnyAlgorithm::Hmac(scheme.algorithm))),
            Self::PublicKey(scheme) => Some(scheme.view(AnyAlgorithm::PublicKey(scheme.algorithm))),
            Self::Token(_) => None,
        }
    }

    pub(crate) fn timestamp_mut(&mut self) -> Option<&mut SignedTimestamp> {
        match self {
            Self::Digest(scheme) => scheme.timestamp.as_mut(),
            Self::Hmac(scheme) => scheme.timestamp.as_mut(),
            Self::PublicKey(scheme) => scheme.timestamp.as_mut(),
            Self::Token(_) => None,
        }
    }

    /// Moves the signature or the token into a header.
    pub(crate) fn set_header(&mut self, name: HeaderName) {
        let (header, field) = match self {
            Self::Digest(scheme) => (&mut scheme.header, &mut scheme.field),
            Self::Hmac(scheme) => (&mut scheme.header, &mut scheme.field),
            Self::PublicKey(scheme) => (&mut scheme.header, &mut scheme.field),
            Self::Token(scheme) => (&mut scheme.header, &mut scheme.field),
        };
        *header = Some(name);
        *field = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_header_counts_only_where_nothing_can_move_out_of_it() {
        let id = HeaderName::from_static("x-id");
        let covers = |parts: &[Part]| {
            let scheme = HmacScheme::new(HeaderName::from_static("x-signature"))
                .with_signed(parts.iter().cloned());
            Scheme::Hmac(scheme).covers_header(&id)
        };
        let (header, dot) = (Part::Header(id.clone()), Part::literal("."));
        assert!(covers(&[header.clone(), dot.clone(), Part::Body]));
        assert!(covers(&[Part::Body, dot.clone(), header.clone()]));
        assert!(!covers(&[header.clone(), Part::Body]));
        assert!(!covers(&[Part::Timestamp, header.clone(), dot, Part::Body]));
        assert!(!covers(&[header, Part::literal(""), Part::Body]));
        assert!(!covers(&[Part::Body]));
    }

    #[test]
    fn what_is_weak_says_so() {
        let header = || HeaderName::from_static("x-signature");
        let sha1 = HmacScheme::new(header()).with_algorithm(crate::provider::Algorithm::Sha1);
        assert!(Scheme::Hmac(sha1).weakness().unwrap().contains("SHA-1"));
        let digest = Scheme::Digest(DigestScheme::new(header()));
        assert!(digest.weakness().unwrap().contains("append"));
        assert_eq!(
            digest.describe(),
            "plain SHA-256 (no HMAC) over secret + body"
        );
        assert_eq!(Scheme::Hmac(HmacScheme::new(header())).weakness(), None);
    }
}
