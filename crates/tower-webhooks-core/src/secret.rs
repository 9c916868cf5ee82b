//! What a provider and a receiver share.

use std::{env, ffi::OsString, fmt, fs, io, slice, time::SystemTime};

use zeroize::Zeroizing;

use crate::Text;

/// How many secrets an endpoint tries at the most: enough for a rotation, few
/// enough that a forged request costs little.
pub const MAX_SECRETS: usize = 4;

/// What many providers' secrets begin with.
pub(crate) const WHSEC: &str = "whsec_";

/// What Standard Webhooks' public keys begin with.
pub(crate) const WHPK: &str = "whpk_";

/// What Standard Webhooks' private keys begin with.
pub(crate) const WHSK: &str = "whsk_";

/// One secret, as the provider hands it out. Wiped from memory on drop, and
/// never printed.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    label: Option<Text>,
    expires_at: Option<SystemTime>,
}

impl Secret {
    /// Takes a secret as text, exactly as given.
    ///
    /// # Errors
    ///
    /// [`SecretErrorKind::Empty`] when it is nothing but white space, or nothing
    /// but the `whsec_`, `whpk_` or `whsk_` that many secrets begin with: a key
    /// that anybody can guess verifies whatever a forger signs.
    pub fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text.into());
        let mut behind = [WHSEC, WHPK, WHSK]
            .iter()
            .filter_map(|prefix| text.strip_prefix(prefix));
        if behind.next().unwrap_or(&text).trim().is_empty() {
            return Err(SecretErrorKind::Empty.into());
        }
        Ok(Self {
            text,
            label: None,
            expires_at: None,
        })
    }

    /// Names the secret in metrics and on deliveries. The default is
    /// `current` for the first of an endpoint and `previous` for the others.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<Text>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Stops using the secret at that time. The default is never.
    #[must_use]
    pub const fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The secret's name, if it has one.
    #[must_use]
    pub const fn label(&self) -> Option<&Text> {
        self.label.as_ref()
    }

    /// When the secret stops being used.
    #[must_use]
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Whether white space stands at either end: often a copied line end,
    /// which makes every signature fail. Worth a warning, not an error, since
    /// some providers' secrets may contain it.
    #[must_use]
    pub fn has_outer_whitespace(&self) -> bool {
        self.text.trim().len() != self.text.len()
    }

    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("text", &"[redacted]")
            .field("label", &self.label)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The secrets of one endpoint: the current one, and during a rotation the
/// one before.
///
/// ```
/// use tower_webhooks_core::Secrets;
///
/// let secrets = Secrets::new("the-new-one")?.with_previous("the-old-one")?;
/// assert_eq!(secrets.iter().count(), 2);
/// assert!(!format!("{secrets:?}").contains("the-new-one"));
/// assert!(Secrets::new("  ").is_err());
/// # Ok::<(), tower_webhooks_core::SecretError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Secrets {
    list: Vec<Secret>,
}

impl Secrets {
    /// One secret.
    ///
    /// # Errors
    ///
    /// [`SecretErrorKind::Empty`] as for [`Secret::new`].
    pub fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        Secret::new(text).map(Self::from)
    }

    /// Adds a secret that is accepted too: the one before, during a rotation.
    ///
    /// # Errors
    ///
    /// [`SecretErrorKind::Empty`] as for [`Secret::new`], and
    /// [`SecretErrorKind::TooMany`] beyond [`MAX_SECRETS`].
    pub fn with_previous(self, text: impl Into<String>) -> Result<Self, SecretError> {
        self.add_secret(Secret::new(text)?)
    }

    /// Adds a secret that has a label or an expiry of its own.
    ///
    /// # Errors
    ///
    /// [`SecretErrorKind::TooMany`] beyond [`MAX_SECRETS`].
    pub fn add_secret(mut self, secret: Secret) -> Result<Self, SecretError> {
        if self.list.len() >= MAX_SECRETS {
            return Err(SecretErrorKind::TooMany.into());
        }
        self.list.push(secret);
        Ok(self)
    }

    /// Reads the environment variable `name`, or the file that `name_FILE`
    /// names; and the secret before it from `name_PREVIOUS` or
    /// `name_PREVIOUS_FILE`, if there is one. One line end at the end of a
    /// file is removed.
    ///
    /// # Errors
    ///
    /// [`SecretErrorKind::NotSet`] when neither variable is there,
    /// [`SecretErrorKind::SetTwice`] when both are,
    /// [`SecretErrorKind::NotUtf8`] when the variable or the file holds no
    /// text, [`SecretErrorKind::Unreadable`] when the file cannot be read, and
    /// those of [`Secret::new`]. The error names the variable, never its
    /// value.
    pub fn from_env(name: &str) -> Result<Self, SecretError> {
        Self::from_lookup(name, |name| env::var_os(name))
    }

    fn from_lookup(
        name: &str,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SecretError> {
        let current = read(name, &lookup)?
            .ok_or_else(|| SecretError::new(SecretErrorKind::NotSet).at(name))?;
        let secrets = Self::from(current);
        match read(&format!("{name}_PREVIOUS"), &lookup)? {
            Some(previous) => secrets.add_secret(previous),
            None => Ok(secrets),
        }
    }

    /// The secrets, in the order in which they are tried.
    pub fn iter(&self) -> slice::Iter<'_, Secret> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Secrets {
    type Item = &'a Secret;
    type IntoIter = slice::Iter<'a, Secret>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Secret> for Secrets {
    fn from(secret: Secret) -> Self {
        Self { list: vec![secret] }
    }
}

fn read(
    name: &str,
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Secret>, SecretError> {
    let file_name = format!("{name}_FILE");
    let text = match (lookup(name), lookup(&file_name)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(SecretError::new(SecretErrorKind::SetTwice).at(name)),
        (Some(text), None) => text
            .into_string()
            .map_err(|_| SecretError::new(SecretErrorKind::NotUtf8).at(name))?,
        (None, Some(path)) => {
            let mut text = fs::read_to_string(path).map_err(|error| {
                let kind = match error.kind() {
                    io::ErrorKind::InvalidData => SecretErrorKind::NotUtf8,
                    _ => SecretErrorKind::Unreadable,
                };
                SecretError::new(kind).at(&file_name)
            })?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            text
        }
    };
    Secret::new(text).map(Some).map_err(|error| error.at(name))
}

/// Why a secret was refused. Says which variable it came from where that is
/// known, and never shows the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretError {
    kind: SecretErrorKind,
    variable: Option<Text>,
}

/// What is wrong with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// Empty, blank, or nothing behind its prefix.
    #[error("is empty")]
    Empty,
    /// Not in the provider's form: not hexadecimal, base64 or PEM, or another
    /// kind of key.
    #[error("is not in the form that this provider's secrets have")]
    Malformed,
    /// The environment has no such variable.
    #[error("is not set")]
    NotSet,
    /// The variable, or the file that it names, holds bytes that are no text in
    /// UTF-8.
    #[error("is not text in UTF-8")]
    NotUtf8,
    /// Both the variable and its `_FILE` form are set.
    #[error("is set both directly and as a file; remove one")]
    SetTwice,
    /// Longer than the provider's secrets are.
    #[error("is longer than this provider's secrets are")]
    TooLong,
    /// More than [`MAX_SECRETS`].
    #[error("is one more than the {MAX_SECRETS} that an endpoint tries")]
    TooMany,
    /// Shorter than the provider's secrets are.
    #[error("is shorter than this provider's secrets are")]
    TooShort,
    /// A public key for which anybody can make signatures that verify.
    #[error("is a public key of small order, for which anybody can sign")]
    Weak,
    /// The file cannot be read.
    #[error("names a file that cannot be read")]
    Unreadable,
}

impl SecretError {
    pub(crate) const fn new(kind: SecretErrorKind) -> Self {
        Self {
            kind,
            variable: None,
        }
    }

    fn at(mut self, variable: &str) -> Self {
        self.variable = Some(variable.into());
        self
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> SecretErrorKind {
        self.kind
    }
}

impl From<SecretErrorKind> for SecretError {
    fn from(kind: SecretErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variable {
            Some(variable) => write!(f, "the secret in {variable} {}", self.kind),
            None => write!(f, "the secret {}", self.kind),
        }
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn kind<T: fmt::Debug>(result: Result<T, SecretError>) -> SecretErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn empty_and_blank_secrets_are_refused() {
        for text in [
            "", " ", "\n", "\t\r\n ", "whsec_", "whsec_ ", "whsec_\n", "whpk_", "whsk_ ",
        ] {
            assert_eq!(kind(Secrets::new(text)), SecretErrorKind::Empty, "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secrets = Secrets::new("swordfish")
            .unwrap()
            .with_previous("tunafish")
            .unwrap();
        assert!(!format!("{secrets:?}").contains("fish"));
    }

    #[test]
    fn the_environment_gives_the_current_and_the_previous_secret() {
        let secrets = Secrets::from_lookup("X", |name| match name {
            "X" => Some("new".into()),
            "X_PREVIOUS" => Some("old".into()),
            _ => None,
        })
        .unwrap();
        let texts: Vec<_> = secrets.iter().map(Secret::expose).collect();
        assert_eq!(texts, ["new", "old"]);
    }

    #[test]
    fn one_line_end_of_a_file_is_removed() {
        for (content, expected) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n")] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap().to_owned();
            let secrets =
                Secrets::from_lookup("X", |name| (name == "X_FILE").then(|| path.clone().into()))
                    .unwrap();
            assert_eq!(secrets.iter().next().unwrap().expose(), expected);
        }
    }

    #[test]
    fn set_up_mistakes_name_the_variable_and_not_the_value() {
        let error = Secrets::from_lookup("X", |_| None).unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::NotSet);
        assert_eq!(error.to_string(), "the secret in X is not set");

        let error = Secrets::from_lookup("X", |_| Some("swordfish".into())).unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::SetTwice);
        assert!(!error.to_string().contains("swordfish"));

        let missing = |name: &str| (name == "X_FILE").then(|| "/no/such/file".into());
        assert_eq!(
            kind(Secrets::from_lookup("X", missing)),
            SecretErrorKind::Unreadable
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_not_taken_for_absent() {
        use std::os::unix::ffi::OsStringExt as _;

        let bytes = b"sword\xfffish".to_vec();
        let error = Secrets::from_lookup("X", |name| {
            (name == "X").then(|| OsString::from_vec(bytes.clone()))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "the secret in X is not text in UTF-8");

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let in_file = |name: &str| (name == "X_FILE").then(|| file.path().into());
        let error = Secrets::from_lookup("X", in_file).unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::NotUtf8);
        assert_eq!(
            error.to_string(),
            "the secret in X_FILE is not text in UTF-8"
        );
    }

    #[test]
    fn a_fifth_secret_is_refused() {
        let mut secrets = Secrets::new("a").unwrap();
        for text in ["b", "c", "d"] {
            secrets = secrets.with_previous(text).unwrap();
        }
        assert_eq!(kind(secrets.with_previous("e")), SecretErrorKind::TooMany);
    }

    #[test]
    fn white_space_at_the_ends_is_kept_and_noticed() {
        let secret = Secret::new("whsec_test_secret ").unwrap();
        assert!(secret.has_outer_whitespace());
        assert_eq!(secret.expose(), "whsec_test_secret ");
    }
}
