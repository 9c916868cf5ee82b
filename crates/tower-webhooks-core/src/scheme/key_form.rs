//! How a secret's text becomes a key.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    SecretError, SecretErrorKind,
    encoding::{key_from_base64, key_from_hex},
    secret::{WHPK, WHSEC, WHSK},
};

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
    /// The text is a public key in PEM (`PUBLIC KEY`, RFC 7468); of a sender a
    /// private one (`PRIVATE KEY`).
    Pem,
    /// The text is the key. The default, since most providers use it so.
    #[default]
    Utf8,
    /// The text is base64 of a public key behind an optional `whpk_`; of a
    /// sender that of a private key behind an optional `whsk_`.
    Whpk,
    /// The text is base64 of the key behind an optional `whsec_`.
    Whsec,
}

impl KeyForm {
    /// The encoding of a secret's text.
    #[must_use]
    pub const fn encoding(&self) -> KeyEncoding {
        self.encoding
    }

    pub(crate) fn decode(&self, text: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let key = match self.encoding {
            KeyEncoding::Utf8 => Some(Zeroizing::new(text.as_bytes().to_vec())),
            KeyEncoding::Hex => key_from_hex(text),
            KeyEncoding::Base64 => key_from_base64(text),
            KeyEncoding::Pem => key_from_pem(text),
            KeyEncoding::Whpk => {
                let text = text.strip_prefix(WHPK).unwrap_or(text);
                key_from_base64(text.strip_prefix(WHSK).unwrap_or(text))
            }
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

/// The content of a PEM text with one key in it, public or private. White space
/// around it does no harm: it comes from files and environment variables.
fn key_from_pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (label, key) = pem_rfc7468::decode_vec(text.trim().as_bytes()).ok()?;
    matches!(label, "PUBLIC KEY" | "PRIVATE KEY").then(|| Zeroizing::new(key))
}
