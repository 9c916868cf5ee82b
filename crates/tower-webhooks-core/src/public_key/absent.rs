//! Stands in for an algorithm whose feature is off: no value of its key can be
//! made.

use zeroize::Zeroizing;

use crate::{SetupError, provider::PublicKeyAlgorithm};

#[derive(Clone)]
pub(crate) enum PublicKey {}

impl PublicKey {
    pub(crate) const fn new(algorithm: PublicKeyAlgorithm, _: &[u8]) -> Result<Self, SetupError> {
        Err(SetupError::FeatureMissing(algorithm.feature()))
    }

    pub(crate) const fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(crate) const fn sign(
    algorithm: PublicKeyAlgorithm,
    _: &Zeroizing<Vec<u8>>,
    _: &[u8],
) -> Result<Vec<u8>, SetupError> {
    Err(SetupError::FeatureMissing(algorithm.feature()))
}

pub(crate) const fn generate(
    algorithm: PublicKeyAlgorithm,
    _: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    Err(SetupError::FeatureMissing(algorithm.feature()))
}

pub(crate) const fn public_half(
    algorithm: PublicKeyAlgorithm,
    _: &Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, SetupError> {
    Err(SetupError::FeatureMissing(algorithm.feature()))
}
