//! Keys and secrets.

use std::{env, fmt, fs};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

/// An API key or a signing secret. Wiped from memory on drop, and never
/// printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Confidential(Zeroizing<String>);

/// Why a key was not read. Says which variable it came from, and never shows
/// its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfidentialError {
    /// The variable, or the file that it names, is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// Neither the variable nor its `_FILE` is there.
    #[error("{0} is not set")]
    NotSet(String),
    /// The variable and its `_FILE` are both there.
    #[error("{0} and {0}_FILE are both set: leave one out")]
    SetTwice(String),
    /// The variable is no text, or the file cannot be read as text.
    #[error("{0} cannot be read as text")]
    Unreadable(String),
}

impl Confidential {
    /// Takes it exactly as given.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Makes one up: `whsec_` and 64 hexadecimal digits with 244 random bits,
    /// which every documented rule for secrets takes.
    #[must_use]
    pub fn generate() -> Self {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        Self::new(format!("whsec_{}{}", first.simple(), second.simple()))
    }

    /// Reads the environment variable `name`, or the file that `name_FILE`
    /// names, without one line end at its end.
    ///
    /// # Errors
    ///
    /// [`ConfidentialError`] when it is not there, there twice, empty, or
    /// cannot be read.
    pub fn from_env(name: &str) -> Result<Self, ConfidentialError> {
        let file_name = format!("{name}_FILE");
        let text = match (env::var_os(name), env::var_os(&file_name)) {
            (None, None) => return Err(ConfidentialError::NotSet(name.to_owned())),
            (Some(_), Some(_)) => return Err(ConfidentialError::SetTwice(name.to_owned())),
            (Some(text), None) => text
                .into_string()
                .map_err(|_| ConfidentialError::Unreadable(name.to_owned()))?,
            (None, Some(path)) => {
                let mut text = fs::read_to_string(path)
                    .map_err(|_| ConfidentialError::Unreadable(file_name))?;
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                text
            }
        };
        if text.trim().is_empty() {
            return Err(ConfidentialError::Empty(name.to_owned()));
        }
        Ok(Self::new(text))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confidential([redacted])")
    }
}

/// For the requests of this crate, which carry it.
impl Serialize for Confidential {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Confidential {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_shows_it() {
        let key = Confidential::new("swordfish");
        assert_eq!(format!("{key:?}"), "Confidential([redacted])");
        assert_eq!(key.expose(), "swordfish");
    }

    #[test]
    fn what_is_made_up_is_never_the_same() {
        let (one, other) = (Confidential::generate(), Confidential::generate());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 6 + 64);
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = Confidential::from_env("TOWER_WEBHOOKS_NO_SUCH_KEY").unwrap_err();
        assert_eq!(error.to_string(), "TOWER_WEBHOOKS_NO_SUCH_KEY is not set");
    }
}
