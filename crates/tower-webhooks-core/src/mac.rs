//! Keyed digests, fed part by part.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::encoding::Digest;

/// The algorithm of a keyed digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-1 (RFC 2104). Only for providers that offer nothing
    /// better.
    Sha1,
    /// HMAC with SHA-256 (RFC 4231). The default, since nearly every provider
    /// uses it.
    #[default]
    Sha256,
    /// HMAC with SHA-512 (RFC 4231).
    Sha512,
}

impl Algorithm {
    /// Length of the digest in bytes.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A key set up once; every delivery starts from a clone of it. The states
/// are wiped on drop by the hash crates.
#[derive(Clone)]
pub(crate) enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    /// Nothing if the algorithm takes no key of this length; HMAC takes any.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            Algorithm::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            Algorithm::Sha512 => Hmac::new_from_slice(key).ok().map(Self::Sha512),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha1(mac) => Digest::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Digest::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Digest::new(&mac.finalize().into_bytes()),
        }
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// Compares in time that does not depend on where the bytes differ. In words,
/// because each comparison costs the same barrier.
pub(crate) fn same(left: &Digest, right: &Digest) -> bool {
    let same_length = left.as_slice().len().ct_eq(&right.as_slice().len());
    left.words()
        .zip(right.words())
        .fold(same_length, |same, (left, right)| same & left.ct_eq(&right))
        .into()
}

/// Hides the length and the content of a shared token before it is compared.
pub(crate) fn blind(token: &[u8]) -> Digest {
    Digest::new(&Sha256::digest(token))
}

/// The plain SHA-256 of what `feed` hands over.
pub(crate) fn sha256(feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Digest {
    let mut hash = Sha256::new();
    feed(&mut |bytes| hash.update(bytes));
    Digest::new(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_same_only_if_every_byte_and_the_length_are() {
        for len in [20, 32, 64] {
            let bytes: Vec<u8> = (1..=len).collect();
            let digest = Digest::new(&bytes);
            assert!(same(&digest, &Digest::new(&bytes)));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert!(!same(&digest, &Digest::new(&other)), "byte {at} of {len}");
                assert!(
                    !same(&digest, &Digest::new(&bytes[..at])),
                    "the first {at} of {len}"
                );
            }
        }
        let (short, zero) = (Digest::new(&[7; 20]), [&[7; 20][..], &[0]].concat());
        assert!(
            !same(&short, &Digest::new(&zero)),
            "what fills the last word up does not count"
        );
    }
}
