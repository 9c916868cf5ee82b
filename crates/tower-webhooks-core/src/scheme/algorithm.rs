//! The algorithms that are no HMAC.

use serde::{Deserialize, Serialize};

use crate::mac::Algorithm;

/// A plain digest over the secret and parts of the request, in one row.
///
/// Weaker than an HMAC: whoever saw one can append to what was signed without
/// knowing the secret. Only for providers that offer nothing better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// SHA-256. The only one: nothing weaker is offered.
    #[default]
    Sha256,
}

/// The algorithm of a public-key signature. Each needs the feature of its name
/// to verify anything; without it the set-up fails and says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PublicKeyAlgorithm {
    /// ECDSA on P-256 with SHA-256, the signature in DER. Feature `ecdsa`.
    EcdsaP256Der,
    /// ECDSA on P-256 with SHA-256, the signature as two numbers of 32 bytes.
    /// Feature `ecdsa`.
    EcdsaP256Raw,
    /// Ed25519 (RFC 8032), strict: keys and signatures of small order, and
    /// second spellings of either, are refused. Feature `ed25519`. The default,
    /// since Standard Webhooks and Discord use it.
    #[default]
    Ed25519,
    /// RSA with SHA-256 in PKCS#1 1.5, keys of 2,048 to 8,192 bits. Feature
    /// `rsa`.
    RsaPkcs1Sha256,
}

impl PublicKeyAlgorithm {
    /// The feature that brings it.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::EcdsaP256Der | Self::EcdsaP256Raw => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::RsaPkcs1Sha256 => "rsa",
        }
    }
}

/// What signs, of whichever family.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyAlgorithm {
    Digest(DigestAlgorithm),
    Hmac(Algorithm),
    PublicKey(PublicKeyAlgorithm),
}

/// How long a signature is, in bytes.
pub(crate) enum SignatureLength {
    Exactly(usize),
    Between(usize, usize),
}

impl AnyAlgorithm {
    pub(crate) const fn signature_length(self) -> SignatureLength {
        match self {
            Self::Digest(DigestAlgorithm::Sha256) => SignatureLength::Exactly(32),
            Self::Hmac(algorithm) => SignatureLength::Exactly(algorithm.digest_bytes()),
            Self::PublicKey(PublicKeyAlgorithm::EcdsaP256Raw | PublicKeyAlgorithm::Ed25519) => {
                SignatureLength::Exactly(64)
            }
            Self::PublicKey(PublicKeyAlgorithm::EcdsaP256Der) => SignatureLength::Between(8, 72),
            Self::PublicKey(PublicKeyAlgorithm::RsaPkcs1Sha256) => {
                SignatureLength::Between(256, 1_024)
            }
        }
    }

    /// Its name in words.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Digest(DigestAlgorithm::Sha256) => "plain SHA-256 (no HMAC)",
            Self::Hmac(Algorithm::Sha1) => "HMAC-SHA1",
            Self::Hmac(Algorithm::Sha256) => "HMAC-SHA256",
            Self::Hmac(Algorithm::Sha512) => "HMAC-SHA512",
            Self::PublicKey(
                PublicKeyAlgorithm::EcdsaP256Der | PublicKeyAlgorithm::EcdsaP256Raw,
            ) => "ECDSA P-256",
            Self::PublicKey(PublicKeyAlgorithm::Ed25519) => "Ed25519",
            Self::PublicKey(PublicKeyAlgorithm::RsaPkcs1Sha256) => "RSA-SHA256",
        }
    }

    /// What is weak about it, for who chooses a provider.
    pub(crate) const fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Digest(DigestAlgorithm::Sha256) => Some(
                "a plain digest in place of an HMAC: who saw one signature can append to what was signed",
            ),
            Self::Hmac(Algorithm::Sha1) => {
                Some("HMAC with SHA-1: no attack on it is known, but nothing new should use it")
            }
            Self::Hmac(Algorithm::Sha256 | Algorithm::Sha512) | Self::PublicKey(_) => None,
        }
    }
}
