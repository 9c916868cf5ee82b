//! Inflating, by `flate2`.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::{Coding, InflateError};
use crate::SetupError;

pub(super) const fn is_built() -> Result<(), SetupError> {
    Ok(())
}

/// At most `max` bytes, and only if the stream is all there is.
pub(super) fn inflate(coding: Coding, body: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
    match coding {
        Coding::Deflate => {
            let mut decoder = ZlibDecoder::new(body);
            let plain = read(&mut decoder, max)?;
            alone(decoder.into_inner(), plain)
        }
        Coding::Gzip => {
            let mut decoder = GzDecoder::new(body);
            let plain = read(&mut decoder, max)?;
            alone(decoder.into_inner(), plain)
        }
    }
}

fn read(decoder: &mut impl Read, max: usize) -> Result<Vec<u8>, InflateError> {
    let mut plain = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| InflateError::Malformed)?;
    if plain.len() > max {
        return Err(InflateError::TooLarge);
    }
    Ok(plain)
}

fn alone(rest: &[u8], plain: Vec<u8>) -> Result<Vec<u8>, InflateError> {
    if rest.is_empty() {
        Ok(plain)
    } else {
        Err(InflateError::Malformed)
    }
}
