//! Stands in where the feature `inflate` is off.

use super::{Coding, InflateError};
use crate::SetupError;

pub(super) const fn is_built() -> Result<(), SetupError> {
    Err(SetupError::FeatureMissing("inflate"))
}

pub(super) const fn inflate(_: Coding, _: &[u8], _: usize) -> Result<Vec<u8>, InflateError> {
    Err(InflateError::Unsupported)
}
