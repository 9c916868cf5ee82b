//! Where one value lies, in Rust and as text.

use std::fmt;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::provider::{Mistake, ProviderError};

const HEADER: &str = "header:";
const EVENT_TYPE: &str = "event-type";
const NAME_BESIDE: &str = "name-beside:";

/// Where one value lies: at one place, or joined from several.
///
/// As text, a place is a JSON pointer (RFC 6901), `header:NAME`,
/// `event-type` for the type that was found before, or `name-beside:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LocatorData", into = "LocatorData")]
pub struct Locator {
    pub(crate) parts: Vec<LocatorPart>,
    pub(crate) join: String,
}

/// One part of a value: the first of these places that holds anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocatorPart {
    pub(crate) any: Vec<Place>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) lower_case: bool,
}

/// One place in a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Place {
    /// The event type that was found before.
    EventType,
    /// A header's value.
    Header(HeaderName),
    /// The name of the one field of the body besides this one, where what
    /// happened is told by which field is there.
    NameBeside(String),
    /// A JSON pointer (RFC 6901) into the body; text or a whole number.
    Pointer(String),
}

impl Locator {
    /// Joins several parts with the text between them. All must be there.
    #[must_use]
    pub fn joined(join: impl Into<String>, parts: impl IntoIterator<Item = LocatorPart>) -> Self {
        Self {
            parts: parts.into_iter().collect(),
            join: join.into(),
        }
    }

    /// The parts that are joined, in order: one where nothing is.
    #[must_use]
    pub fn parts(&self) -> &[LocatorPart] {
        &self.parts
    }

    /// Every place that is looked at, in order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().flat_map(|part| &part.any)
    }
}

impl LocatorPart {
    /// The first of these places that holds anything. Strings are JSON
    /// pointers.
    #[must_use]
    pub fn any<P: Into<Place>>(places: impl IntoIterator<Item = P>) -> Self {
        Self {
            any: places.into_iter().map(Into::into).collect(),
            lower_case: false,
        }
    }

    /// The places that are looked at, in order.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.any
    }

    /// Turns what is found into lower case.
    #[must_use]
    pub const fn in_lower_case(mut self) -> Self {
        self.lower_case = true;
        self
    }
}

impl fmt::Display for Locator {
    /// The parts with the text between them, alternatives after a `|`:
    /// `/area|/product./kind`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(&self.join)?;
            }
            for (index, place) in part.any.iter().enumerate() {
                if index > 0 {
                    f.write_str("|")?;
                }
                place.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventType => f.write_str(EVENT_TYPE),
            Self::Header(name) => write!(f, "{HEADER}{name}"),
            Self::NameBeside(name) => write!(f, "{NAME_BESIDE}{name}"),
            Self::Pointer(pointer) => f.write_str(pointer),
        }
    }
}

impl From<Place> for Locator {
    fn from(place: Place) -> Self {
        Self::joined("", [LocatorPart::any([place])])
    }
}

impl From<&str> for Locator {
    fn from(pointer: &str) -> Self {
        Place::from(pointer).into()
    }
}

impl From<HeaderName> for Locator {
    fn from(header: HeaderName) -> Self {
        Place::Header(header).into()
    }
}

impl From<&str> for Place {
    fn from(pointer: &str) -> Self {
        Self::Pointer(pointer.to_owned())
    }
}

impl TryFrom<String> for Place {
    type Error = ProviderError;

    fn try_from(text: String) -> Result<Self, ProviderError> {
        if text == EVENT_TYPE {
            return Ok(Self::EventType);
        }
        if let Some(name) = text.strip_prefix(HEADER) {
            return name
                .parse()
                .map(Self::Header)
                .map_err(|_| Mistake::HeaderName(text).into());
        }
        if let Some(name) = text.strip_prefix(NAME_BESIDE) {
            return Ok(Self::NameBeside(name.to_owned()));
        }
        if text.starts_with('/') {
            return Ok(Self::Pointer(text));
        }
        Err(Mistake::Place(text).into())
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        match place {
            Place::Pointer(pointer) => pointer,
            Place::EventType | Place::Header(_) | Place::NameBeside(_) => place.to_string(),
        }
    }
}

/// As written: one place, or parts to join.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LocatorData {
    One(Place),
    Joined {
        join: String,
        parts: Vec<LocatorPart>,
    },
}

impl From<LocatorData> for Locator {
    fn from(data: LocatorData) -> Self {
        match data {
            LocatorData::One(place) => place.into(),
            LocatorData::Joined { join, parts } => Self { parts, join },
        }
    }
}

impl From<Locator> for LocatorData {
    fn from(locator: Locator) -> Self {
        if let [
            LocatorPart {
                any,
                lower_case: false,
            },
        ] = locator.parts.as_slice()
            && let [place] = any.as_slice()
        {
            return Self::One(place.clone());
        }
        Self::Joined {
            join: locator.join,
            parts: locator.parts,
        }
    }
}
