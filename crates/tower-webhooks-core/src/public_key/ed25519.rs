//! Ed25519 by `ed25519-dalek`, in its strict form.
//!
//! `verify_strict` refuses a key or an `R` of small order, and compares `R` by
//! its bytes, so that it has one spelling. What it leaves open is closed here:
//! a second spelling of the key, at set-up; and an `S` beyond the group's order,
//! which a feature of that crate would let through if anything in the program
//! turned it on.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::{SecretErrorKind, SetupError, provider::PublicKeyAlgorithm};

/// What stands before the 32 bytes of a key in DER (RFC 8410).
const SPKI: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The order of the group, its lowest byte first (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[derive(Clone)]
pub(crate) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// A key of 32 bytes, bare or in DER.
    pub(crate) fn new(_: PublicKeyAlgorithm, key: &[u8]) -> Result<Self, SetupError> {
        let bare = key.strip_prefix(&SPKI).unwrap_or(key);
        let bare: &[u8; 32] = bare.try_into().map_err(|_| SecretErrorKind::Malformed)?;
        let key = VerifyingKey::from_bytes(bare).map_err(|_| SecretErrorKind::Malformed)?;
        if key.to_edwards().compress().as_bytes() != bare {
            return Err(SecretErrorKind::Malformed.into());
        }
        if key.is_weak() {
            return Err(SecretErrorKind::Weak.into());
        }
        Ok(Self(key))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else {
            return false;
        };
        is_reduced(signature.s_bytes()) && self.0.verify_strict(message, &signature).is_ok()
    }
}

/// Whether a number, its lowest byte first, is below the order.
fn is_reduced(number: &[u8; 32]) -> bool {
    number.iter().rev().lt(ORDER.iter().rev())
}

pub(crate) fn sign(
    _: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
    message: &[u8],
) -> Result<Vec<u8>, SetupError> {
    Ok(signing_key(private_key)?.sign(message).to_bytes().to_vec())
}

pub(crate) fn generate(
    _: PublicKeyAlgorithm,
    random: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    Ok(Zeroizing::new(random.to_vec()))
}

pub(crate) fn public_half(
    _: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, SetupError> {
    let key = signing_key(private_key)?;
    Ok(key.verifying_key().to_bytes().to_vec())
}

/// A seed of 32 bytes, alone, before its public key, or in DER.
fn signing_key(private_key: &Zeroizing<Vec<u8>>) -> Result<SigningKey, SetupError> {
    let key = match private_key.len() {
        64 => {
            let pair = private_key.as_slice().try_into();
            pair.ok()
                .and_then(|pair| SigningKey::from_keypair_bytes(pair).ok())
        }
        _ => {
            let bare = private_key.strip_prefix(&PKCS8).unwrap_or(private_key);
            bare.try_into().ok().map(SigningKey::from_bytes)
        }
    };
    key.ok_or_else(|| SecretErrorKind::Malformed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> Result<PublicKey, SetupError> {
        PublicKey::new(
            PublicKeyAlgorithm::Ed25519,
            &const_hex::decode(hex).unwrap(),
        )
    }

    fn refused(hex: &str) -> SecretErrorKind {
        match key(hex).err().unwrap() {
            SetupError::Secret(error) => error.kind(),
            other => panic!("{other}"),
        }
    }

    /// The eight points of small order and how else they can be written, from
    /// "Taming the many EdDSAs" (2020), table 1 and section 2.
    #[test]
    fn keys_of_small_order_are_refused_however_they_are_written() {
        let zeros = "00".repeat(31);
        let all_set = "ff".repeat(30);
        for small in [
            format!("01{zeros}"),
            format!("ec{all_set}7f"),
            format!("00{zeros}"),
            format!("{}80", "00".repeat(31)),
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa".to_owned(),
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85".to_owned(),
        ] {
            assert_eq!(refused(&small), SecretErrorKind::Weak, "{small}");
        }
        for second in [
            format!("ee{all_set}7f"),
            format!("ee{all_set}ff"),
            format!("ed{all_set}7f"),
            format!("ed{all_set}ff"),
            format!("01{}80", "00".repeat(30)),
            format!("ec{all_set}ff"),
        ] {
            assert_eq!(refused(&second), SecretErrorKind::Malformed, "{second}");
        }
    }

    #[test]
    fn a_key_has_32_bytes_that_are_a_point() {
        for text in ["", "00", &"11".repeat(31), &"11".repeat(33)] {
            assert_eq!(refused(text), SecretErrorKind::Malformed, "{text}");
        }
        // No point has this y.
        let none = format!("02{}", "00".repeat(31));
        assert_eq!(refused(&none), SecretErrorKind::Malformed);
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn the_signature_of_rfc_8032_is_made_and_verified() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let der = format!("{}{public}", const_hex::encode(SPKI));
        for (private, public) in [
            (seed.to_owned(), public),
            (format!("{seed}{public}"), public),
            (format!("{}{seed}", const_hex::encode(PKCS8)), der.as_str()),
        ] {
            let private = Zeroizing::new(const_hex::decode(private).unwrap());
            let signature = sign(PublicKeyAlgorithm::Ed25519, &private, &[0x72]).unwrap();
            assert_eq!(const_hex::encode(&signature), expected);
            assert!(key(public).unwrap().verifies(&[0x72], &signature));
            assert!(!key(public).unwrap().verifies(&[0x73], &signature));
        }
    }

    #[test]
    fn the_order_itself_is_not_below_the_order() {
        assert!(!is_reduced(&ORDER));
        let mut below = ORDER;
        below[0] -= 1;
        assert!(is_reduced(&below));
        let mut above = ORDER;
        above[31] += 1;
        assert!(!is_reduced(&above));
    }
}
