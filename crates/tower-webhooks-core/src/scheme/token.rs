//! A shared token that is sent as it is.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::Prefix;
use crate::data::optional_header_name;

/// A shared token that is sent as it is, compared in constant time after both
/// sides are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScheme {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_header_name"
    )]
    pub(crate) header: Option<HeaderName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    #[serde(default)]
    pub(crate) prefix: Prefix,
}

impl TokenScheme {
    /// The token stands alone in `header`.
    #[must_use]
    pub const fn new(header: HeaderName) -> Self {
        Self {
            header: Some(header),
            field: None,
            prefix: Prefix::None,
        }
    }

    /// The token stands in the body, at a JSON pointer. Where the pointer has a
    /// `*` for the elements of a list, every element must have a right one, and
    /// there must be one at least.
    #[must_use]
    pub fn in_body(pointer: impl Into<String>) -> Self {
        Self {
            header: None,
            field: Some(pointer.into()),
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
