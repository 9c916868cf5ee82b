//! Decrypts for a receiver, and encrypts as a provider does.

use std::{fmt, time::SystemTime};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{CodedField, Encryption, KeyDerivation, Nonce, cipher};
use crate::{
    Secret, SecretErrorKind, Secrets, SetupError, Text, Unusable,
    encoding::Encoding,
    pointers::{self, Value},
    provider::KeyEncoding,
    scheme::label_of,
    secret::WHSEC,
};

/// Decrypts the payloads of one endpoint.
#[derive(Clone)]
pub struct Opener {
    encryption: Encryption,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    label: Text,
    bytes: Zeroizing<Vec<u8>>,
    expires_at: Option<SystemTime>,
}

impl Opener {
    /// Makes the secrets ready for the provider's cipher.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a secret does not have the form or the length that
    /// the cipher wants, or this build lacks the feature `encryption`.
    pub fn new(encryption: &Encryption, secrets: &Secrets) -> Result<Self, SetupError> {
        cipher::is_built()?;
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            Ok(Key {
                label: label_of(secret, index),
                bytes: encryption.key(secret)?,
                expires_at: secret.expires_at(),
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_, SetupError>>()?,
            encryption: encryption.clone(),
        })
    }

    /// The labels of the secrets, in the order in which they are tried.
    pub fn labels(&self) -> impl Iterator<Item = &Text> {
        self.keys.iter().map(|key| &key.label)
    }

    /// The plaintext of a body. Of several keys the first counts that opens it
    /// as JSON, and where none does the first that opens it at all.
    ///
    /// # Errors
    ///
    /// [`Unusable::Undecryptable`], whatever it was that failed.
    pub fn open(&self, body: &Bytes, now: SystemTime) -> Result<Bytes, Unusable> {
        let opened = self.try_open(body, now).ok_or(Unusable::Undecryptable)?;
        Ok(opened.plaintext)
    }

    /// The first JSON value of a body that nobody has authenticated. A padding is not
    /// looked at, so that neither the answer nor the time that it takes tells a
    /// stranger whether it was right.
    pub(crate) fn open_unauthenticated(&self, body: &Bytes, now: SystemTime) -> Option<Bytes> {
        let sealed = Sealed::read(&self.encryption, body)?;
        self.keys
            .iter()
            .filter(|key| key.expires_at.is_none_or(|at| at > now))
            .find_map(|key| {
                let plaintext = cipher::decrypt_with_padding(
                    self.encryption.cipher,
                    &key.bytes,
                    &sealed.nonce,
                    &sealed.associated,
                    &sealed.ciphertext,
                )?;
                let mut values = serde_json::Deserializer::from_slice(&plaintext).into_iter();
                let first: &RawValue = values.next()?.ok()?;
                Some(Bytes::copy_from_slice(first.get().as_bytes()))
            })
    }

    /// With a digest of what was opened. Nothing for whatever failed.
    pub(crate) fn try_open(&self, body: &Bytes, now: SystemTime) -> Option<Opened> {
        let sealed = Sealed::read(&self.encryption, body)?;
        let mut opened = None;
        for key in &self.keys {
            if key.expires_at.is_some_and(|at| at <= now) {
                continue;
            }
            if let Some(plaintext) = sealed.decrypt(&self.encryption, &key.bytes) {
                if serde_json::from_slice::<&RawValue>(&plaintext).is_ok() {
                    return key.opened(plaintext);
                }
                opened = opened.or(Some((key, plaintext)));
            }
        }
        let (key, plaintext) = opened?;
        key.opened(plaintext)
    }
}

/// What was sealed.
pub(crate) struct Opened {
    pub(crate) plaintext: Bytes,
    /// Keyed with what opened it: who sees the digest learns nothing by trying
    /// texts that could have been sealed.
    pub(crate) digest: [u8; 32],
    /// That of the secret that opened it.
    pub(crate) label: Text,
}

impl Key {
    fn opened(&self, plaintext: Vec<u8>) -> Option<Opened> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes).ok()?;
        mac.update(DIGEST_OF);
        mac.update(&plaintext);
        Some(Opened {
            plaintext: plaintext.into(),
            digest: mac.finalize().into_bytes().into(),
            label: self.label.clone(),
        })
    }
}

/// So that the digest is that of nothing which a provider could use the key for.
const DIGEST_OF: &[u8] = b"tower-webhooks: the content of a sealed delivery\0";

/// As [`DIGEST_OF`], of nonces.
const NONCE_OF: &[u8] = b"tower-webhooks: the nonce of a sealed delivery\0";

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("encryption", &self.encryption)
            .field("keys", &self.keys.len())
            .finish()
    }
}

struct Sealed {
    nonce: Vec<u8>,
    associated: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Sealed {
    fn read(encryption: &Encryption, body: &[u8]) -> Option<Self> {
        let json: &RawValue = serde_json::from_slice(body).ok()?;
        let text = |pointer: &str| match pointers::at(json, pointer).ok()?.map(Value::of) {
            Some(Value::Text(text)) => Some(Some(text)),
            None | Some(Value::Nothing) => Some(None),
            Some(Value::Other) => None,
        };
        if let Some(named) = &encryption.named
            && text(&named.pointer)?.as_deref() != Some(&*named.equals)
        {
            return None;
        }
        let coded = |field: &CodedField| match (text(&field.pointer)?, field.encoding) {
            (None, _) => Some(Vec::new()),
            (Some(text), None) => Some(text.into_owned().into_bytes()),
            (Some(text), Some(encoding)) => decode(encoding, &text),
        };
        let ciphertext = decode(encryption.encoding, &text(&encryption.ciphertext)??)?;
        let associated = match &encryption.associated {
            Some(field) => coded(field)?,
            None => Vec::new(),
        };
        let (nonce, ciphertext) = match &encryption.nonce {
            Nonce::Field(field) => (coded(field)?, ciphertext),
            Nonce::Front => {
                let (nonce, rest) = ciphertext.split_at_checked(encryption.cipher.nonce_bytes())?;
                (nonce.to_vec(), rest.to_vec())
            }
        };
        Some(Self {
            nonce,
            associated,
            ciphertext,
        })
    }

    fn decrypt(&self, encryption: &Encryption, key: &[u8]) -> Option<Vec<u8>> {
        cipher::decrypt(
            encryption.cipher,
            key,
            &self.nonce,
            &self.associated,
            &self.ciphertext,
        )
    }
}

/// Nothing is decoded twice as long as it could be written: the body's own limit
/// bounds it.
fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    let decoded = encoding.decode_signature(text.as_bytes(), 0..=text.len())?;
    Some(decoded.into())
}

impl Encryption {
    fn key(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, SetupError> {
        let key = self.key.decode(secret.expose())?;
        let key = match self.derivation {
            KeyDerivation::None => key,
            KeyDerivation::Sha256 => Zeroizing::new(Sha256::digest(&*key).to_vec()),
        };
        match key.len().cmp(&self.cipher.key_bytes()) {
            std::cmp::Ordering::Less => Err(SecretErrorKind::TooShort.into()),
            std::cmp::Ordering::Equal => Ok(key),
            std::cmp::Ordering::Greater => Err(SecretErrorKind::TooLong.into()),
        }
    }

    /// Makes up a secret that opens payloads, in the form that the provider
    /// wants. `random` are 32 bytes that nobody can guess; where the key is the
    /// text itself, it is hexadecimal.
    #[must_use]
    pub fn new_secret(&self, random: &[u8; 32]) -> Zeroizing<String> {
        let bytes = self.cipher.key_bytes();
        let key = random.get(..bytes).unwrap_or(random.as_slice());
        Zeroizing::new(match self.key.encoding() {
            KeyEncoding::Base64 => Encoding::Base64.encode(key),
            KeyEncoding::Hex => Encoding::Hex.encode(key),
            KeyEncoding::Whsec => format!("{WHSEC}{}", Encoding::Base64.encode(key)),
            KeyEncoding::Pem | KeyEncoding::Utf8 | KeyEncoding::Whpk => {
                let mut text = Encoding::Hex.encode(key);
                text.truncate(bytes);
                text
            }
        })
    }

    /// Encrypts as the provider does. `plaintext` is what was encrypted, and the
    /// fields to write follow: pointers into the body and their text.
    pub(crate) fn seal(
        &self,
        plaintext: &[u8],
        associated: &[u8],
        secret: &Secret,
        at: SystemTime,
    ) -> Result<Vec<(&str, String)>, SetupError> {
        cipher::is_built()?;
        let key = self.key(secret)?;
        let malformed = SecretErrorKind::Malformed;
        let nonce = self.nonce(&key, plaintext, at).ok_or(malformed)?;
        let ciphertext =
            cipher::encrypt(self.cipher, &key, &nonce, associated, plaintext).ok_or(malformed)?;
        let mut written = Vec::new();
        let sealed = match &self.nonce {
            Nonce::Field(field) => {
                let text = match field.encoding {
                    Some(encoding) => encoding.encode(&nonce),
                    None => String::from_utf8(nonce).map_err(|_| malformed)?,
                };
                written.push((field.pointer.as_str(), text));
                ciphertext
            }
            Nonce::Front => [nonce, ciphertext].concat(),
        };
        written.push((&self.ciphertext, self.encoding.encode(&sealed)));
        Ok(written)
    }

    /// Another one for each text and time, which tells nothing of the text: keyed.
    /// Letters where the provider writes it as text, with 6 bits in each.
    fn nonce(&self, key: &[u8], plaintext: &[u8], at: SystemTime) -> Option<Vec<u8>> {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(NONCE_OF);
        mac.update(&since.as_nanos().to_be_bytes());
        mac.update(plaintext);
        let bytes = mac.finalize().into_bytes();
        let is_text = matches!(&self.nonce, Nonce::Field(field) if field.encoding.is_none());
        let mut nonce = match is_text {
            true => Encoding::Base64url.encode(&bytes).into_bytes(),
            false => bytes.to_vec(),
        };
        nonce.truncate(self.cipher.nonce_bytes());
        Some(nonce)
    }

    /// The field that is authenticated with the ciphertext, as bytes.
    pub(crate) fn associated_in(&self, body: &[u8]) -> Option<Vec<u8>> {
        let Some(field) = &self.associated else {
            return Some(Vec::new());
        };
        let json: &RawValue = serde_json::from_slice(body).ok()?;
        let text = pointers::at(json, &field.pointer).ok()?;
        let text = text
            .and_then(|raw| Value::of(raw).text())
            .unwrap_or_default();
        match field.encoding {
            Some(encoding) => decode(encoding, &text),
            None => Some(text.into_owned().into_bytes()),
        }
    }

    /// The text that stands where the ciphertext will.
    pub(crate) fn plaintext_in(&self, body: &[u8]) -> Option<String> {
        let json: &RawValue = serde_json::from_slice(body).ok()?;
        let raw = pointers::at(json, &self.ciphertext).ok()??;
        Value::of(raw).text().map(std::borrow::Cow::into_owned)
    }

    /// A body with every field that the description names, and nothing in them but
    /// the cipher's name.
    pub(crate) fn empty_body(&self) -> String {
        let nonce = match &self.nonce {
            Nonce::Field(field) => Some((&field.pointer, "")),
            Nonce::Front => None,
        };
        let associated = self.associated.as_ref().map(|field| (&field.pointer, ""));
        let named = self.named.as_ref();
        let named = named.map(|named| (&named.pointer, named.equals.as_str()));
        let mut body = serde_json::Value::default();
        let fields = [nonce, associated, named].into_iter().flatten();
        for (pointer, text) in fields.chain([(&self.ciphertext, "")]) {
            let names = pointer.split('/').skip(1).map(pointers::unescape);
            let mut place = &mut body;
            for name in names {
                if !place.is_object() {
                    *place = serde_json::Value::Object(serde_json::Map::new());
                }
                place = &mut place[&*name];
            }
            *place = text.into();
        }
        body.to_string()
    }
}
