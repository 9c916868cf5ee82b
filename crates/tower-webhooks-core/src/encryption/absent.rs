//! Stands in for the ciphers where the feature `encryption` is off.

use super::Cipher;
use crate::SetupError;

pub(super) const fn is_built() -> Result<(), SetupError> {
    Err(SetupError::FeatureMissing("encryption"))
}

pub(super) const fn decrypt(_: Cipher, _: &[u8], _: &[u8], _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
    None
}

pub(super) const fn decrypt_with_padding(
    _: Cipher,
    _: &[u8],
    _: &[u8],
    _: &[u8],
    _: &[u8],
) -> Option<Vec<u8>> {
    None
}

pub(super) const fn encrypt(_: Cipher, _: &[u8], _: &[u8], _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
    None
}
