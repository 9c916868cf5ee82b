//! What is signed, part by part, and how signatures lie in their place.

use std::fmt;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::data::header_name;

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

impl Prefix {
    /// The text behind the prefix; nothing where a required one is missing.
    pub(crate) fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        match self {
            Self::None => Some(text),
            Self::Optional(prefix) => Some(text.strip_prefix(prefix.as_bytes()).unwrap_or(text)),
            Self::Required(prefix) => text.strip_prefix(prefix.as_bytes()),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::None => "",
            Self::Optional(prefix) | Self::Required(prefix) => prefix,
        }
    }
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
    /// The text or the whole number at a JSON pointer (RFC 6901) into the body,
    /// which must be there.
    Field(String),
    /// The fields of a form, sorted by name and value, names and values in one
    /// row, equal fields once: what Twilio signs. A body that is no form must be
    /// empty, or its SHA-256 in hexadecimal must be the query's field of this
    /// name, which the URL then covers.
    Form {
        /// The field of the query that holds the digest of another body.
        body_digest: String,
    },
    /// The value of a header.
    Header(#[serde(with = "header_name")] HeaderName),
    /// Fixed text.
    Literal(String),
    /// The request's method, in upper case.
    Method,
    /// As [`Part::Field`], and nothing where it is absent or null.
    OptionalField(String),
    /// The secret's text itself: only of a plain digest.
    Secret,
    /// The text of the signed timestamp.
    Timestamp,
    /// The endpoint's public URL as configured, with the request's query.
    /// Never taken from `Host` or a forwarded header.
    Url,
    /// As [`Part::Url`], written in any of the ways that this provider does.
    UrlAs(UrlForm),
}

/// In which ways a provider may have written the public URL that it signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UrlForm {
    /// As it is, or with the escapes undone of the characters that HubSpot
    /// names: `: / ? @ ! $ ' ( ) * , ;`.
    Unescaped,
    /// As it is, without its port, or with the scheme's own port; and each with
    /// the query's `'` as `%27`: Twilio's ways.
    WithOrWithoutPort,
}

impl Part {
    /// Fixed text.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self::Literal(text.into())
    }

    /// The text at a JSON pointer into the body.
    #[must_use]
    pub fn field(pointer: impl Into<String>) -> Self {
        Self::Field(pointer.into())
    }

    /// The text at a JSON pointer into the body, or nothing.
    #[must_use]
    pub fn optional_field(pointer: impl Into<String>) -> Self {
        Self::OptionalField(pointer.into())
    }

    /// The JSON pointer that it reads the body at.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match self {
            Self::Field(pointer) | Self::OptionalField(pointer) => Some(pointer),
            _ => None,
        }
    }

    pub(crate) const fn is_url(&self) -> bool {
        matches!(self, Self::Url | Self::UrlAs(_))
    }

    /// Whether it is a part of the request's content.
    pub(crate) const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Body | Self::Field(_) | Self::Form { .. } | Self::OptionalField(_)
        )
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Field(pointer) | Self::OptionalField(pointer) => {
                f.write_str(pointer.rsplit('/').next().unwrap_or_default())
            }
            Self::Form { .. } => f.write_str("sorted form fields"),
            Self::Header(name) => f.write_str(name.as_str()),
            Self::Literal(literal) => write!(f, "{literal:?}"),
            Self::Method => f.write_str("method"),
            Self::Secret => f.write_str("secret"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Url | Self::UrlAs(_) => f.write_str("URL"),
        }
    }
}
