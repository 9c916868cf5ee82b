//! Encrypted payloads, as data.
//!
//! The outer bytes are verified first, then decrypted, then parsed. Only what
//! was decrypted is seen: no field beside it can take the place of one inside.
//!
//! ```
//! use tower_webhooks_core::provider::{Cipher, Encryption};
//!
//! // {"encrypt":"<base64 of the nonce and the ciphertext>"}
//! let encryption = Encryption::of_body(Cipher::Aes256Cbc, "/encrypt");
//! assert_eq!(encryption.cipher(), Cipher::Aes256Cbc);
//! ```

#[cfg(feature = "encryption")]
mod cipher;
#[cfg(not(feature = "encryption"))]
#[path = "absent.rs"]
mod cipher;
mod open;
#[cfg(test)]
#[cfg(feature = "encryption")]
mod tests;

use serde::{Deserialize, Serialize};

pub use open::Opener;

use crate::{encoding::Encoding, provider::Mistake, scheme::KeyForm};

/// How a provider encrypts its payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    cipher: Cipher,
    /// A JSON pointer to the ciphertext.
    ciphertext: String,
    #[serde(default = "base64")]
    encoding: Encoding,
    #[serde(default)]
    nonce: Nonce,
    /// A JSON pointer to text that is authenticated with the ciphertext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    associated: Option<CodedField>,
    #[serde(default)]
    key: KeyForm,
    #[serde(default)]
    derivation: KeyDerivation,
    #[serde(default)]
    secret: PayloadSecret,
    #[serde(default)]
    opens: Opens,
    /// A field in which the provider names the cipher, and what must stand
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named: Option<NamedCipher>,
}

/// A cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cipher {
    /// AES-128 in Galois/Counter Mode, the tag of 16 bytes behind the
    /// ciphertext.
    Aes128Gcm,
    /// AES-256 in Cipher Block Chaining with the padding of PKCS#7. It does not
    /// authenticate: what is encrypted must be signed too.
    Aes256Cbc,
    /// AES-256 in Galois/Counter Mode, the tag of 16 bytes behind the
    /// ciphertext.
    Aes256Gcm,
}

impl Cipher {
    /// Length of the key in bytes.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }

    /// Length of the nonce, or initialisation vector, in bytes.
    #[must_use]
    pub const fn nonce_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
            Self::Aes256Cbc => 16,
        }
    }
}

/// Where the nonce stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Nonce {
    /// In a field of its own.
    Field(CodedField),
    /// Before the ciphertext, in the same text. The default, since it needs no
    /// second place.
    #[default]
    Front,
}

/// A field that holds bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodedField {
    /// A JSON pointer to it.
    pointer: String,
    /// How the bytes are written: as text itself where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
}

impl CodedField {
    /// The bytes are the text at this JSON pointer itself.
    #[must_use]
    pub fn text(pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            encoding: None,
        }
    }

    /// The bytes are written in this encoding at that JSON pointer.
    #[must_use]
    pub fn coded(pointer: impl Into<String>, encoding: Encoding) -> Self {
        Self {
            pointer: pointer.into(),
            encoding: Some(encoding),
        }
    }
}

/// How a secret becomes the cipher's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyDerivation {
    /// The secret, decoded, is the key. The default.
    #[default]
    None,
    /// The key is the SHA-256 of the secret, decoded.
    Sha256,
}

/// Whose secret opens the payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PayloadSecret {
    /// One of its own. The default: one secret should have one use.
    #[default]
    Own,
    /// The one that signs too.
    Signing,
}

/// What the plaintext is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Opens {
    /// The whole body, with the envelope in it; nothing outside counts. The
    /// default.
    #[default]
    Body,
    /// The payload alone; the envelope stands outside and must be signed.
    Data,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedCipher {
    pointer: String,
    equals: String,
}

const fn base64() -> Encoding {
    Encoding::Base64
}

impl Encryption {
    /// The whole body is encrypted; the ciphertext lies at a JSON pointer, in
    /// base64, behind its nonce. The secret's text is the key.
    #[must_use]
    pub fn of_body(cipher: Cipher, ciphertext: impl Into<String>) -> Self {
        Self {
            cipher,
            ciphertext: ciphertext.into(),
            encoding: base64(),
            nonce: Nonce::Front,
            associated: None,
            key: KeyForm::default(),
            derivation: KeyDerivation::None,
            secret: PayloadSecret::Own,
            opens: Opens::Body,
            named: None,
        }
    }

    /// The payload alone is encrypted; else as [`of_body`](Self::of_body).
    #[must_use]
    pub fn of_data(cipher: Cipher, ciphertext: impl Into<String>) -> Self {
        Self {
            opens: Opens::Data,
            ..Self::of_body(cipher, ciphertext)
        }
    }

    /// Replaces the ciphertext's encoding. The default is base64.
    #[must_use]
    pub const fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The nonce stands in a field of its own.
    #[must_use]
    pub fn with_nonce(mut self, field: CodedField) -> Self {
        self.nonce = Nonce::Field(field);
        self
    }

    /// A field that is authenticated with the ciphertext; absent, it counts as
    /// empty.
    #[must_use]
    pub fn with_associated(mut self, field: CodedField) -> Self {
        self.associated = Some(field);
        self
    }

    /// Replaces how a secret becomes a key.
    #[must_use]
    pub const fn with_derivation(mut self, derivation: KeyDerivation) -> Self {
        self.derivation = derivation;
        self
    }

    /// Replaces the encoding of secrets. The default is their text itself.
    #[must_use]
    pub const fn with_key_encoding(mut self, encoding: crate::provider::KeyEncoding) -> Self {
        self.key.encoding = encoding;
        self
    }

    /// The secret that signs opens the payloads too.
    #[must_use]
    pub const fn with_signing_secret(mut self) -> Self {
        self.secret = PayloadSecret::Signing;
        self
    }

    /// The provider names its cipher at this JSON pointer: anything but `equals`
    /// there is refused, so that the sender does not choose.
    #[must_use]
    pub fn with_named(mut self, pointer: impl Into<String>, equals: impl Into<String>) -> Self {
        self.named = Some(NamedCipher {
            pointer: pointer.into(),
            equals: equals.into(),
        });
        self
    }

    /// The cipher.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Where the ciphertext lies: a JSON pointer.
    #[must_use]
    pub fn ciphertext(&self) -> &str {
        &self.ciphertext
    }

    /// What the plaintext is.
    #[must_use]
    pub const fn opens(&self) -> Opens {
        self.opens
    }

    /// Whose secret opens the payloads.
    #[must_use]
    pub const fn secret(&self) -> PayloadSecret {
        self.secret
    }

    fn pointers(&self) -> impl Iterator<Item = &str> {
        let nonce = match &self.nonce {
            Nonce::Field(field) => Some(field.pointer.as_str()),
            Nonce::Front => None,
        };
        let associated = self.associated.as_ref().map(|field| field.pointer.as_str());
        let named = self.named.as_ref().map(|named| named.pointer.as_str());
        std::iter::once(self.ciphertext.as_str())
            .chain(nonce)
            .chain(associated)
            .chain(named)
    }

    pub(crate) fn mistake(&self) -> Option<Mistake> {
        self.pointers()
            .find(|pointer| !pointer.starts_with('/'))
            .map(|pointer| Mistake::Place(pointer.to_owned()))
    }
}
