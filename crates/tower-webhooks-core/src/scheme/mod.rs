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

mod candidates;
mod keys;
mod screen;

use std::fmt::Write as _;

use http::HeaderName;
use serde::{Deserialize, Serialize};

pub(crate) use keys::{Keys, Material};
pub use screen::Screened;

use crate::{
    data::header_name,
    encoding::Encoding,
    mac::Algorithm,
    timestamp::{SignedTimestamp, TimestampPlace},
};

/// How a provider authenticates its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheme {
    /// A keyed digest over parts of the request.
    Hmac(HmacScheme),
    /// A shared token that is sent as it is. It authenticates the sender and
    /// covers nothing of the request.
    Token(TokenScheme),
}

/// A keyed digest over parts of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacScheme {
    #[serde(with = "header_name")]
    pub(crate) header: HeaderName,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    #[serde(default)]
    pub(crate) prefix: Prefix,
    #[serde(default)]
    pub(crate) layout: Layout,
    #[serde(default = "body_only")]
    pub(crate) signed: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<SignedTimestamp>,
    #[serde(default)]
    pub(crate) key: KeyForm,
}

/// What stands before a digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Prefix {
    /// Nothing.
    #[default]
    None,
    /// This text, or nothing.
    Optional(String),
    /// This text.
    Required(String),
}

/// How one or several digests lie in their header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layout {
    /// `name=value` fields; those named `signature` are digests, and there may
    /// be several.
    Fields {
        /// What stands between the fields.
        separator: char,
        /// The name of the fields that are digests.
        signature: String,
    },
    /// Several digests, one of which must match. Those without the required
    /// prefix are of another version and are passed over.
    List {
        /// What stands between the digests.
        separator: char,
    },
    /// The header is one digest.
    #[default]
    Whole,
}

/// One part of what is signed, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// The body's bytes, exactly as received.
    Body,
    /// The value of a header.
    Header(#[serde(with = "header_name")] HeaderName),
    /// Fixed text.
    Literal(String),
    /// The request's method, in upper case.
    Method,
    /// The text of the signed timestamp.
    Timestamp,
    /// The endpoint's public URL as configured, with the request's query.
    /// Never taken from `Host` or a forwarded header.
    Url,
}

impl Part {
    /// Fixed text.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self::Literal(text.into())
    }
}

/// How a secret's text becomes a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyForm {
    #[serde(default)]
    pub(crate) encoding: KeyEncoding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_bytes: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<usize>,
}

/// The encoding of a secret's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyEncoding {
    /// The text is base64 of the key.
    Base64,
    /// The text is hexadecimal of the key.
    Hex,
    /// The text is the key. The default, since most providers use it so.
    #[default]
    Utf8,
    /// The text is base64 of the key behind an optional `whsec_`.
    Whsec,
}

fn body_only() -> Vec<Part> {
    vec![Part::Body]
}

impl HmacScheme {
    /// HMAC-SHA256 over the body, in hexadecimal, alone in `header`, keyed
    /// with the secret's text: the form most providers have.
    #[must_use]
    pub fn new(header: HeaderName) -> Self {
        Self {
            header,
            algorithm: Algorithm::default(),
            encoding: Encoding::default(),
            prefix: Prefix::default(),
            layout: Layout::default(),
            signed: body_only(),
            timestamp: None,
            key: KeyForm::default(),
        }
    }

    /// Replaces the algorithm.
    #[must_use]
    pub const fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Replaces the digest's encoding.
    #[must_use]
    pub const fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Requires this text before each digest.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Prefix::Required(prefix.into());
        self
    }

    /// Takes this text off a digest where it stands there.
    #[must_use]
    pub fn with_optional_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Prefix::Optional(prefix.into());
        self
    }

    /// Reads the header as `name=value` fields, of which those named
    /// `signature` are digests.
    #[must_use]
    pub fn with_fields(mut self, separator: char, signature: impl Into<String>) -> Self {
        self.layout = Layout::Fields {
            separator,
            signature: signature.into(),
        };
        self
    }

    /// Reads the header as a list of digests.
    #[must_use]
    pub fn with_list(mut self, separator: char) -> Self {
        self.layout = Layout::List { separator };
        self
    }

    /// Replaces what is signed. The default is the body alone.
    #[must_use]
    pub fn with_signed(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.signed = parts.into_iter().collect();
        self
    }

    /// Says where the signed timestamp stands.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: SignedTimestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Replaces the encoding of secrets. The default is their text itself.
    #[must_use]
    pub const fn with_key_encoding(mut self, encoding: KeyEncoding) -> Self {
        self.key.encoding = encoding;
        self
    }

    /// Refuses keys shorter or longer than the provider's own.
    #[must_use]
    pub const fn with_key_bytes(mut self, min: usize, max: Option<usize>) -> Self {
        self.key.min_bytes = Some(min);
        self.key.max_bytes = max;
        self
    }

    /// How a digest is written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What stands before each digest.
    #[must_use]
    pub const fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// How the digests lie in their header.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether a part has fixed text, or nothing, on both sides.
    fn is_delimited(&self, index: usize) -> bool {
        let fixed = |neighbour: Option<&Part>| match neighbour {
            None => true,
            Some(Part::Literal(text)) => !text.is_empty(),
            Some(_) => false,
        };
        let before = index.checked_sub(1).and_then(|at| self.signed.get(at));
        fixed(before) && fixed(self.signed.get(index.saturating_add(1)))
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = match self.algorithm {
            Algorithm::Sha1 => "HMAC-SHA1 over ",
            Algorithm::Sha256 => "HMAC-SHA256 over ",
            Algorithm::Sha512 => "HMAC-SHA512 over ",
        }
        .to_owned();
        for (index, part) in self.signed.iter().enumerate() {
            if index > 0 {
                text.push_str(" + ");
            }
            match part {
                Part::Body => text.push_str("body"),
                Part::Header(name) => text.push_str(name.as_str()),
                Part::Literal(literal) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{literal:?}");
                }
                Part::Method => text.push_str("method"),
                Part::Timestamp => text.push_str("timestamp"),
                Part::Url => text.push_str("URL"),
            }
        }
        text
    }
}

/// A shared token that is sent as it is, compared in constant time after both
/// sides are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScheme {
    #[serde(with = "header_name")]
    pub(crate) header: HeaderName,
    #[serde(default)]
    pub(crate) prefix: Prefix,
}

impl TokenScheme {
    /// The token stands alone in `header`.
    #[must_use]
    pub const fn new(header: HeaderName) -> Self {
        Self {
            header,
            prefix: Prefix::None,
        }
    }

    /// Requires this text before the token, such as `Bearer `.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Prefix::Required(prefix.into());
        self
    }

    /// What stands before the token.
    #[must_use]
    pub const fn prefix(&self) -> &Prefix {
        &self.prefix
    }
}

impl Scheme {
    /// The header that holds the signature or the token.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        match self {
            Self::Hmac(scheme) => &scheme.header,
            Self::Token(scheme) => &scheme.header,
        }
    }

    /// The signed timestamp, if there is one.
    #[must_use]
    pub const fn timestamp(&self) -> Option<&SignedTimestamp> {
        match self {
            Self::Hmac(scheme) => scheme.timestamp.as_ref(),
            Self::Token(_) => None,
        }
    }

    /// Whether the signature covers the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        matches!(self, Self::Hmac(scheme) if scheme.signed.contains(&Part::Body))
    }

    /// Whether the signature covers a header's value. One that has nothing
    /// fixed between itself and another part is not covered: characters could
    /// move from one to the other.
    #[must_use]
    pub fn covers_header(&self, name: &HeaderName) -> bool {
        let Self::Hmac(scheme) = self else {
            return false;
        };
        scheme
            .signed
            .iter()
            .enumerate()
            .any(|(index, part)| match part {
                Part::Header(signed) => signed == name && scheme.is_delimited(index),
                Part::Timestamp => matches!(
                    scheme.timestamp.as_ref().map(SignedTimestamp::place),
                    Some(TimestampPlace::Header(signed)) if signed == name
                ),
                _ => false,
            })
    }

    /// Whether the configured public URL is part of what is signed.
    #[must_use]
    pub fn needs_public_url(&self) -> bool {
        matches!(self, Self::Hmac(scheme) if scheme.signed.contains(&Part::Url))
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Hmac(scheme) => scheme.describe(),
            Self::Token(_) => "shared token, nothing is signed".to_owned(),
        }
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
}
