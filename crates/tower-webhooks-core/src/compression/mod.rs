//! Compressed bodies, as data.
//!
//! ```
//! use tower_webhooks_core::provider::{Coding, Compression};
//!
//! let compression = Compression::new([Coding::Gzip]);
//! assert_eq!(compression.codings(), [Coding::Gzip]);
//! ```

#[cfg(feature = "inflate")]
mod inflate;
#[cfg(not(feature = "inflate"))]
#[path = "absent.rs"]
mod inflate;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_ENCODING};
use serde::{Deserialize, Serialize};

use crate::{RejectionKind, SetupError};

/// How large a body may become: sixteen times the endpoint's own default.
const DEFAULT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How many bytes one compressed byte may become. Text compresses to a tenth at
/// best; what goes far beyond was made to.
const DEFAULT_MAX_RATIO: usize = 100;

/// A body up to this size is small, whatever it was before.
const ALWAYS_ALLOWED_BYTES: usize = 64 * 1024;

/// How a provider compresses its bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    codings: Vec<Coding>,
    #[serde(default)]
    signs: SignedBytes,
    #[serde(default = "max_bytes")]
    max_inflated_bytes: usize,
    #[serde(default = "max_ratio")]
    max_ratio: usize,
}

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Coding {
    /// `deflate`: the zlib format.
    Deflate,
    /// `gzip`.
    Gzip,
}

/// Which bytes a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedBytes {
    /// The body before it was compressed: bytes of a stranger are inflated
    /// first.
    Plain,
    /// The body as it came. The default: nothing is inflated that is not
    /// authentic.
    #[default]
    Wire,
}

/// Why a body cannot be inflated. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// It is not one whole stream of its coding.
    #[error("the body is not one whole stream of its coding")]
    Malformed,
    /// It becomes larger than the limit, or too many times its size.
    #[error("the body becomes too large")]
    TooLarge,
    /// Its coding is not one that the provider declares, or there are several.
    #[error("the body's coding is not one that the provider declares")]
    Unsupported,
}

impl From<InflateError> for RejectionKind {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge => Self::BodyTooLarge,
            InflateError::Malformed | InflateError::Unsupported => Self::ContentEncodingUnsupported,
        }
    }
}

const fn max_bytes() -> usize {
    DEFAULT_MAX_BYTES
}

const fn max_ratio() -> usize {
    DEFAULT_MAX_RATIO
}

impl Compression {
    /// Bodies may come in these codings, and uncompressed; the signature covers
    /// what came.
    #[must_use]
    pub fn new(codings: impl IntoIterator<Item = Coding>) -> Self {
        Self {
            codings: codings.into_iter().collect(),
            signs: SignedBytes::Wire,
            max_inflated_bytes: DEFAULT_MAX_BYTES,
            max_ratio: DEFAULT_MAX_RATIO,
        }
    }

    /// Says which bytes the signature covers. The default is those that came.
    #[must_use]
    pub const fn with_signed_bytes(mut self, signs: SignedBytes) -> Self {
        self.signs = signs;
        self
    }

    /// Replaces how large a body may become, in bytes. The default is 16 MiB.
    #[must_use]
    pub const fn with_max_inflated_bytes(mut self, max_inflated_bytes: usize) -> Self {
        self.max_inflated_bytes = max_inflated_bytes;
        self
    }

    /// Replaces how many times its own size a body may become, above 64 KiB. The
    /// default is 100.
    #[must_use]
    pub const fn with_max_ratio(mut self, max_ratio: usize) -> Self {
        self.max_ratio = max_ratio;
        self
    }

    /// The codings that it uses.
    #[must_use]
    pub fn codings(&self) -> &[Coding] {
        &self.codings
    }

    /// Which bytes the signature covers.
    #[must_use]
    pub const fn signs(&self) -> SignedBytes {
        self.signs
    }

    /// The coding of a body, by its headers; nothing where it is not compressed.
    ///
    /// # Errors
    ///
    /// [`InflateError::Unsupported`] for any coding that is not declared, and for
    /// several of them.
    pub fn coding(&self, headers: &HeaderMap) -> Result<Option<Coding>, InflateError> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value.as_bytes().trim_ascii(),
            (Some(_), Some(_)) => return Err(InflateError::Unsupported),
        };
        let coding = if value.eq_ignore_ascii_case(b"gzip") {
            Coding::Gzip
        } else if value.eq_ignore_ascii_case(b"deflate") {
            Coding::Deflate
        } else if value.eq_ignore_ascii_case(b"identity") {
            return Ok(None);
        } else {
            return Err(InflateError::Unsupported);
        };
        if self.codings.contains(&coding) {
            Ok(Some(coding))
        } else {
            Err(InflateError::Unsupported)
        }
    }

    /// The body as it was before it was compressed.
    ///
    /// # Errors
    ///
    /// [`InflateError`] when its coding is not declared, it is not one whole
    /// stream, or it becomes too large. No more than the limit is ever inflated,
    /// and a body that is refused takes no more memory than that; one that fits
    /// takes twice its size for a moment.
    pub fn inflate(&self, headers: &HeaderMap, body: &Bytes) -> Result<Bytes, InflateError> {
        let Some(coding) = self.coding(headers)? else {
            return Ok(body.clone());
        };
        let by_ratio = body.len().saturating_mul(self.max_ratio);
        let max = by_ratio
            .max(ALWAYS_ALLOWED_BYTES)
            .min(self.max_inflated_bytes);
        inflate::inflate(coding, body, max).map(Bytes::from)
    }

    pub(crate) const fn is_built() -> Result<(), SetupError> {
        inflate::is_built()
    }
}

#[cfg(test)]
#[cfg(feature = "inflate")]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression as Level, write};

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = write::GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(plain: &[u8]) -> Bytes {
        let mut encoder = write::ZlibEncoder::new(Vec::new(), Level::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn coded(coding: &str) -> HeaderMap {
        [(CONTENT_ENCODING, coding.parse().unwrap())]
            .into_iter()
            .collect()
    }

    fn both() -> Compression {
        Compression::new([Coding::Gzip, Coding::Deflate])
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let plain = Bytes::from_static(b"{\"type\":\"a\"}");
        let inflate = |coding, body: &Bytes| both().inflate(&coded(coding), body);
        assert_eq!(inflate("gzip", &gzip(&plain)), Ok(plain.clone()));
        assert_eq!(inflate("GZIP", &gzip(&plain)), Ok(plain.clone()));
        assert_eq!(inflate("deflate", &zlib(&plain)), Ok(plain.clone()));
        assert_eq!(inflate("identity", &plain), Ok(plain.clone()));
        assert_eq!(both().inflate(&HeaderMap::new(), &plain), Ok(plain));
    }

    #[test]
    fn a_coding_that_is_not_declared_is_refused() {
        let body = gzip(b"{}");
        for coding in ["br", "gzip, gzip", "x-gzip", "deflate, gzip", ""] {
            let refused = both().inflate(&coded(coding), &body);
            assert_eq!(refused, Err(InflateError::Unsupported), "{coding:?}");
        }
        let deflate_only = Compression::new([Coding::Deflate]);
        let refused = deflate_only.inflate(&coded("gzip"), &body);
        assert_eq!(refused, Err(InflateError::Unsupported));
        let mut twice = coded("gzip");
        twice.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(
            both().inflate(&twice, &body),
            Err(InflateError::Unsupported)
        );
    }

    #[test]
    fn a_stream_must_be_whole_and_alone() {
        let body = gzip(b"{\"type\":\"a\"}");
        let inflate = |body: Bytes| both().inflate(&coded("gzip"), &body);
        let malformed = Err(InflateError::Malformed);
        for len in 0..body.len() {
            assert_eq!(inflate(body.slice(..len)), malformed, "{len}");
        }
        assert_eq!(inflate([&body[..], b"x"].concat().into()), malformed);
        assert_eq!(inflate([&body[..], &body[..]].concat().into()), malformed);
        let mut altered = body.to_vec();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(inflate(altered.into()), malformed);
        assert_eq!(inflate(zlib(b"{}")), malformed);
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() * 100 < 8 * 1024 * 1024, "worth its name");
        let inflate = |compression: &Compression| compression.inflate(&coded("gzip"), &bomb);
        assert_eq!(inflate(&both()), Err(InflateError::TooLarge));
        let loose = both().with_max_ratio(10_000);
        assert_eq!(inflate(&loose).unwrap().len(), 8 * 1024 * 1024);
        let small = loose.with_max_inflated_bytes(8 * 1024 * 1024 - 1);
        assert_eq!(inflate(&small), Err(InflateError::TooLarge));
    }
}
