//! Strict decoding of digests and keys: one spelling for one value.

use std::ops::RangeInclusive;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest digest in use: SHA-512.
pub(crate) const MAX_DIGEST: usize = 64;

/// Room for a decoder that works in whole groups of three bytes.
const SCRATCH: usize = MAX_DIGEST + 8;

const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a digest is written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// RFC 4648 base64 with padding; non-canonical spellings are refused.
    Base64,
    /// RFC 4648 base64url, without padding or with all of it.
    Base64url,
    /// Hexadecimal, in lower or upper case. The default, since most providers
    /// use it.
    #[default]
    Hex,
}

/// A digest as a header claims it, or as computed here.
#[derive(Clone, Copy)]
pub(crate) struct Digest {
    bytes: [u8; MAX_DIGEST],
    len: usize,
}

impl Digest {
    pub(crate) fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_DIGEST];
        let len = digest.len().min(MAX_DIGEST);
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), digest.get(..len)) {
            to.copy_from_slice(from);
        }
        Self { bytes, len }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes in larger units, the last one filled up with zeros.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let (words, _) = self.bytes.as_chunks();
        words
            .iter()
            .take(self.len.div_ceil(size_of::<u64>()))
            .map(|word| u64::from_ne_bytes(*word))
    }
}

/// A signature of any length as a header claims it.
#[derive(Clone)]
pub(crate) enum Claim {
    Long(Box<[u8]>),
    Short(Digest),
}

impl Claim {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Long(bytes) => bytes,
            Self::Short(digest) => digest.as_slice(),
        }
    }
}

impl Encoding {
    /// Decodes a signature whose length differs from one to the next.
    pub(crate) fn decode_signature(
        self,
        text: &[u8],
        bytes: RangeInclusive<usize>,
    ) -> Option<Box<[u8]>> {
        // Nothing is decoded that is longer than the longest could be written.
        if text.len() > bytes.end().checked_mul(2)? {
            return None;
        }
        let decoded = match self {
            Self::Hex if text.starts_with(b"0x") => None,
            Self::Hex => const_hex::decode(text).ok(),
            Self::Base64 => general_purpose::STANDARD.decode(text).ok(),
            Self::Base64url if text.ends_with(b"=") => general_purpose::URL_SAFE.decode(text).ok(),
            Self::Base64url => general_purpose::URL_SAFE_NO_PAD.decode(text).ok(),
        }?;
        bytes.contains(&decoded.len()).then(|| decoded.into())
    }

    /// Decodes a digest of exactly `len` bytes, or nothing.
    pub(crate) fn decode_digest(self, text: &[u8], len: usize) -> Option<Digest> {
        let mut scratch = [0; SCRATCH];
        let decoded = match self {
            Self::Hex => {
                if text.len() != len.checked_mul(2)? {
                    return None;
                }
                const_hex::decode_to_slice(text, scratch.get_mut(..len)?).ok()?;
                len
            }
            Self::Base64 => general_purpose::STANDARD
                .decode_slice(text, &mut scratch)
                .ok()?,
            Self::Base64url => {
                let engine = if text.ends_with(b"=") {
                    general_purpose::URL_SAFE
                } else {
                    general_purpose::URL_SAFE_NO_PAD
                };
                engine.decode_slice(text, &mut scratch).ok()?
            }
        };
        (decoded == len).then(|| Digest::new(scratch.get(..len).unwrap_or_default()))
    }

    /// Writes a digest as a sender does.
    pub(crate) fn encode(self, digest: &[u8]) -> String {
        match self {
            Self::Hex => const_hex::encode(digest),
            Self::Base64 => general_purpose::STANDARD.encode(digest),
            Self::Base64url => general_purpose::URL_SAFE_NO_PAD.encode(digest),
        }
    }
}

/// Decodes key material written in base64. Padding may be left out and the
/// bits beyond the last byte are ignored, as the Standard Webhooks libraries
/// do: unlike a digest, a key is configured and not sent, so that a second
/// spelling of it opens nothing.
pub(crate) fn key_from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    KEY_BASE64.decode(text).ok().map(Zeroizing::new)
}

/// Decodes key material written in hexadecimal, without a `0x`.
pub(crate) fn key_from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.starts_with("0x") {
        return None;
    }
    const_hex::decode(text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_in_either_case_is_one_digest() {
        let lower = Encoding::Hex.decode_digest(b"00ff", 2).unwrap();
        let upper = Encoding::Hex.decode_digest(b"00FF", 2).unwrap();
        assert_eq!(lower.as_slice(), [0x00, 0xff]);
        assert_eq!(upper.as_slice(), lower.as_slice());
    }

    #[test]
    fn hex_of_another_length_prefix_or_alphabet_is_refused() {
        for text in ["00f", "00ff0", "00ff00", "0x00", "0x0f", "00fg", "", " 0ff"] {
            assert!(
                Encoding::Hex.decode_digest(text.as_bytes(), 2).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(
            Encoding::Base64
                .decode_digest(b"AP8=", 2)
                .unwrap()
                .as_slice(),
            [0x00, 0xff]
        );
        for text in ["AP8", "AP9=", "AP8==", "AP8= ", "AP8=\n", "AP_=", "AP8A"] {
            assert!(
                Encoding::Base64.decode_digest(text.as_bytes(), 2).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn base64url_may_leave_its_padding_out() {
        for text in ["__8", "__8="] {
            let digest = Encoding::Base64url
                .decode_digest(text.as_bytes(), 2)
                .unwrap();
            assert_eq!(digest.as_slice(), [0xff, 0xff], "{text}");
        }
        assert!(Encoding::Base64url.decode_digest(b"//8", 2).is_none());
    }

    #[test]
    fn a_key_may_leave_its_padding_out_and_its_last_bits_set() {
        for text in ["AP8=", "AP8", "AP9=", "AP9"] {
            assert_eq!(key_from_base64(text).unwrap().as_slice(), [0x00, 0xff]);
        }
        for text in ["A", "AP8==", "AP_", "AP8 ", "A=P8"] {
            assert!(key_from_base64(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_signature_of_changing_length_is_decoded_as_strictly() {
        let decode =
            |encoding: Encoding, text: &str| encoding.decode_signature(text.as_bytes(), 2..=3);
        assert_eq!(decode(Encoding::Base64, "AP8=").unwrap()[..], [0, 255]);
        assert_eq!(decode(Encoding::Base64url, "__8").unwrap()[..], [255, 255]);
        assert_eq!(decode(Encoding::Hex, "00FFff").unwrap()[..], [0, 255, 255]);
        for text in ["AP8", "AP9=", "AA==", "AAAAAA==", "AAAAAAAA", ""] {
            assert!(decode(Encoding::Base64, text).is_none(), "{text}");
        }
        for text in ["00", "0x0000", "000", "00000000"] {
            assert!(decode(Encoding::Hex, text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_digest_comes_back_from_its_own_text() {
        let digest: Vec<u8> = (0..64).collect();
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
            let text = encoding.encode(&digest);
            let back = encoding.decode_digest(text.as_bytes(), 64).unwrap();
            assert_eq!(back.as_slice(), digest, "{encoding:?}");
        }
    }
}
