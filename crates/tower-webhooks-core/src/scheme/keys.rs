//! Secrets made ready for one scheme.

use std::{fmt, time::SystemTime};

use zeroize::Zeroizing;

use super::{AnyAlgorithm, Message, Scheme, Signed};
use crate::{
    Secret, SecretErrorKind, Secrets, SetupError, Text,
    encoding::{Claim, Digest},
    mac::{Mac, blind, same, sha256},
    public_key::PublicKey,
};

/// The keys of one endpoint, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) label: Text,
    /// Whether the label is the secret's own.
    is_named: bool,
    expires_at: Option<SystemTime>,
    pub(crate) material: Material,
}

#[derive(Clone)]
pub(crate) enum Material {
    Mac(Box<Mac>),
    /// The secret's text, for a plain digest.
    Prefixed(Zeroizing<Vec<u8>>),
    PublicKey(PublicKey),
    Token(Digest),
}

impl Keys {
    pub(crate) fn prepare(scheme: &Scheme, secrets: &Secrets) -> Result<Self, SetupError> {
        secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| {
                Ok(Key {
                    label: label_of(secret, index),
                    is_named: secret.label().is_some(),
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

/// The label of the secret at this place, its own or by default.
pub(crate) fn label_of(secret: &Secret, index: usize) -> Text {
    match (secret.label(), index) {
        (Some(label), _) => label.clone(),
        (None, 0) => Text::from_static("current"),
        (None, 1) => Text::from_static("previous"),
        (None, _) => Text::from(format!("previous-{index}")),
    }
}

impl Key {
    /// Whether the key may have made the signature of a request that names its
    /// key so.
    pub(crate) fn answers_to(&self, id: Option<&[u8]>) -> bool {
        id.is_none_or(|id| !self.is_named || self.label.as_bytes() == id)
    }
}

impl Material {
    pub(crate) fn prepare(scheme: &Scheme, secret: &Secret) -> Result<Self, SetupError> {
        let text = secret.expose();
        let Some(signed) = scheme.signed() else {
            return Ok(Self::Token(blind(text.as_bytes())));
        };
        let key = signed.key.decode(text)?;
        Ok(match signed.algorithm {
            AnyAlgorithm::Digest(_) => Self::Prefixed(key),
            AnyAlgorithm::Hmac(algorithm) => {
                let mac = Mac::new(algorithm, &key).ok_or(SecretErrorKind::Malformed)?;
                Self::Mac(Box::new(mac))
            }
            AnyAlgorithm::PublicKey(algorithm) => Self::PublicKey(PublicKey::new(algorithm, &key)?),
        })
    }

    /// Whether this key explains one of the claimed signatures of a message.
    pub(crate) fn explains<'c>(
        &self,
        signed: &Signed<'_>,
        message: &Message<'_>,
        mut claims: impl Iterator<Item = &'c Claim>,
    ) -> bool {
        match self {
            Self::Mac(mac) => {
                let mut mac = Mac::clone(mac);
                message.feed(signed.parts, &[], |bytes| mac.update(bytes));
                is_one_of(&mac.finish(), claims)
            }
            Self::Prefixed(secret) => {
                let digest = sha256(|to| message.feed(signed.parts, secret, to));
                is_one_of(&digest, claims)
            }
            Self::PublicKey(key) => {
                let mut bytes = Vec::with_capacity(message.body.len());
                message.feed(signed.parts, &[], |part| bytes.extend_from_slice(part));
                claims.any(|claim| key.verifies(&bytes, claim.as_slice()))
            }
            Self::Token(_) => false,
        }
    }

    /// Whether a shared token is the one that is claimed.
    pub(crate) fn is_token<'c>(&self, claims: impl Iterator<Item = &'c Claim>) -> bool {
        matches!(self, Self::Token(token) if is_one_of(token, claims))
    }
}

fn is_one_of<'c>(digest: &Digest, mut claims: impl Iterator<Item = &'c Claim>) -> bool {
    claims.any(|claim| matches!(claim, Claim::Short(claim) if same(claim, digest)))
}
