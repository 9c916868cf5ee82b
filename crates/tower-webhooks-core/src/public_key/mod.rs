//! Public-key signatures: one room for each crate that they come from.
//!
//! Without its feature an algorithm can be described, and the set-up says which
//! feature is missing.

#[cfg(not(all(feature = "ed25519", any(feature = "ecdsa", feature = "rsa"))))]
mod absent;
#[cfg(any(feature = "ecdsa", feature = "rsa"))]
mod aws;
#[cfg(feature = "ed25519")]
mod ed25519;

#[cfg(not(any(feature = "ecdsa", feature = "rsa")))]
use absent as aws;
#[cfg(not(feature = "ed25519"))]
use absent as ed25519;

use std::fmt;

use zeroize::Zeroizing;

use crate::{SetupError, provider::PublicKeyAlgorithm};

/// A public key, checked once.
#[derive(Clone)]
pub(crate) enum PublicKey {
    Aws(aws::PublicKey),
    Ed25519(ed25519::PublicKey),
}

impl PublicKey {
    pub(crate) fn new(algorithm: PublicKeyAlgorithm, key: &[u8]) -> Result<Self, SetupError> {
        is_built(algorithm)?;
        match algorithm {
            PublicKeyAlgorithm::Ed25519 => {
                ed25519::PublicKey::new(algorithm, key).map(Self::Ed25519)
            }
            PublicKeyAlgorithm::EcdsaP256Der
            | PublicKeyAlgorithm::EcdsaP256Raw
            | PublicKeyAlgorithm::RsaPkcs1Sha256 => {
                aws::PublicKey::new(algorithm, key).map(Self::Aws)
            }
        }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Aws(key) => key.verifies(message, signature),
            Self::Ed25519(key) => key.verifies(message, signature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

/// Signs as the owner of a private key: for tests and for the command line.
pub(crate) fn sign(
    algorithm: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
    message: &[u8],
) -> Result<Vec<u8>, SetupError> {
    is_built(algorithm)?;
    match algorithm {
        PublicKeyAlgorithm::Ed25519 => ed25519::sign(algorithm, private_key, message),
        PublicKeyAlgorithm::EcdsaP256Der
        | PublicKeyAlgorithm::EcdsaP256Raw
        | PublicKeyAlgorithm::RsaPkcs1Sha256 => aws::sign(algorithm, private_key, message),
    }
}

/// A new private key: of Ed25519 the seed itself.
pub(crate) fn generate(
    algorithm: PublicKeyAlgorithm,
    random: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    is_built(algorithm)?;
    match algorithm {
        PublicKeyAlgorithm::Ed25519 => ed25519::generate(algorithm, random),
        PublicKeyAlgorithm::EcdsaP256Der
        | PublicKeyAlgorithm::EcdsaP256Raw
        | PublicKeyAlgorithm::RsaPkcs1Sha256 => aws::generate(algorithm, random),
    }
}

/// The public half of a private key.
pub(crate) fn public_half(
    algorithm: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, SetupError> {
    is_built(algorithm)?;
    match algorithm {
        PublicKeyAlgorithm::Ed25519 => ed25519::public_half(algorithm, private_key),
        PublicKeyAlgorithm::EcdsaP256Der
        | PublicKeyAlgorithm::EcdsaP256Raw
        | PublicKeyAlgorithm::RsaPkcs1Sha256 => aws::public_half(algorithm, private_key),
    }
}

/// `ecdsa` and `rsa` come from one crate: each still has to be asked for.
const fn is_built(algorithm: PublicKeyAlgorithm) -> Result<(), SetupError> {
    let built = match algorithm {
        PublicKeyAlgorithm::EcdsaP256Der | PublicKeyAlgorithm::EcdsaP256Raw => {
            cfg!(feature = "ecdsa")
        }
        PublicKeyAlgorithm::Ed25519 => cfg!(feature = "ed25519"),
        PublicKeyAlgorithm::RsaPkcs1Sha256 => cfg!(feature = "rsa"),
    };
    if built {
        Ok(())
    } else {
        Err(SetupError::FeatureMissing(algorithm.feature()))
    }
}
