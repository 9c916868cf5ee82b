//! Inflating, by `flate2`.

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::{Coding, InflateError};
use crate::SetupError;

/// How much is inflated at once.
const PIECE_BYTES: usize = 64 * 1024;

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

/// In pieces, since these grow without a copy: what becomes too large has taken
/// no more than the limit when that is known.
fn read(decoder: &mut impl Read, max: usize) -> Result<Vec<u8>, InflateError> {
    let mut pieces = Vec::new();
    let mut left = max;
    loop {
        // One byte more tells what is too large from what just fits.
        let wanted = PIECE_BYTES.min(left.saturating_add(1));
        let mut piece = Vec::with_capacity(if pieces.is_empty() { 0 } else { wanted });
        decoder
            .take(u64::try_from(wanted).unwrap_or(u64::MAX))
            .read_to_end(&mut piece)
            .map_err(|_| InflateError::Malformed)?;
        left = left
            .checked_sub(piece.len())
            .ok_or(InflateError::TooLarge)?;
        let is_last = piece.len() < wanted;
        pieces.push(piece);
        if is_last {
            break;
        }
    }
    match pieces.len() {
        1 => Ok(pieces.pop().unwrap_or_default()),
        _ => Ok(pieces.concat()),
    }
}

fn alone(rest: &[u8], plain: Vec<u8>) -> Result<Vec<u8>, InflateError> {
    if rest.is_empty() {
        Ok(plain)
    } else {
        Err(InflateError::Malformed)
    }
}
