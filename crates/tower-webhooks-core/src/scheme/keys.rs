//! Secrets made ready for one scheme.

use std::{fmt, time::SystemTime};

use zeroize::Zeroizing;

use super::{KeyEncoding, KeyForm, Scheme};
use crate::{
    Secret, SecretError, SecretErrorKind, Secrets, Text,
    encoding::{Digest, key_from_base64, key_from_hex},
    mac::{Mac, blind},
    secret::WHSEC,
};

/// The keys of one endpoint, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) label: Text,
    expires_at: Option<SystemTime>,
    pub(crate) material: Material,
}

#[derive(Clone)]
pub(crate) enum Material {
    Mac(Box<Mac>),
    Token(Digest),
}

impl Keys {
    pub(crate) fn prepare(scheme: &Scheme, secrets: &Secrets) -> Result<Self, SecretError> {
        secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| {
                Ok(Key {
                    label: secret
                        .label()
                        .cloned()
                        .unwrap_or_else(|| default_label(index)),
                    expires_at: secret.expires_at(),
                    material: Material::prepare(scheme, secret)?,
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|key| &key.label)
    }

    /// The keys that still count at `now`.
    pub(crate) fn valid_at(&self, now: SystemTime) -> impl Iterator<Item = &Key> {
        self.0
            .iter()
            .filter(move |key| key.expires_at.is_none_or(|at| now < at))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.label))
            .finish()
    }
}

fn default_label(index: usize) -> Text {
    match index {
        0 => Text::from_static("current"),
        1 => Text::from_static("previous"),
        _ => Text::from(format!("previous-{index}")),
    }
}

impl Material {
    pub(crate) fn prepare(scheme: &Scheme, secret: &Secret) -> Result<Self, SecretError> {
        let text = secret.expose();
        match scheme {
            Scheme::Token(_) => Ok(Self::Token(blind(text.as_bytes()))),
            Scheme::Hmac(scheme) => {
                let key = scheme.key.decode(text)?;
                Mac::new(scheme.algorithm, &key)
                    .map(|mac| Self::Mac(Box::new(mac)))
                    .ok_or_else(|| SecretErrorKind::Malformed.into())
            }
        }
    }
}

impl KeyForm {
    fn decode(&self, text: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let key = match self.encoding {
            KeyEncoding::Utf8 => Some(Zeroizing::new(text.as_bytes().to_vec())),
            KeyEncoding::Hex => key_from_hex(text),
            KeyEncoding::Base64 => key_from_base64(text),
            KeyEncoding::Whsec => key_from_base64(text.strip_prefix(WHSEC).unwrap_or(text)),
        }
        .ok_or(SecretErrorKind::Malformed)?;
        if key.is_empty() {
            return Err(SecretErrorKind::Empty.into());
        }
        if self.min_bytes.is_some_and(|min| key.len() < min) {
            return Err(SecretErrorKind::TooShort.into());
        }
        if self.max_bytes.is_some_and(|max| key.len() > max) {
            return Err(SecretErrorKind::TooLong.into());
        }
        Ok(key)
    }
}
