//! ECDSA on P-256 and RSA by `aws-lc-rs`.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
    },
};
use zeroize::Zeroizing;

use crate::{SecretErrorKind, SetupError, provider::PublicKeyAlgorithm};

#[derive(Clone)]
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// A key in DER (`SubjectPublicKeyInfo`), or a bare point of P-256.
    pub(crate) fn new(algorithm: PublicKeyAlgorithm, key: &[u8]) -> Result<Self, SetupError> {
        let algorithm: &'static dyn VerificationAlgorithm = match algorithm {
            PublicKeyAlgorithm::EcdsaP256Der => &ECDSA_P256_SHA256_ASN1,
            PublicKeyAlgorithm::EcdsaP256Raw => &ECDSA_P256_SHA256_FIXED,
            PublicKeyAlgorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            PublicKeyAlgorithm::Ed25519 => return Err(SecretErrorKind::Malformed.into()),
        };
        ParsedPublicKey::new(algorithm, key)
            .map(Self)
            .map_err(|_| SecretErrorKind::Malformed.into())
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// The key is in DER (PKCS#8).
pub(crate) fn sign(
    algorithm: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
    message: &[u8],
) -> Result<Vec<u8>, SetupError> {
    let random = SystemRandom::new();
    let malformed = SecretErrorKind::Malformed;
    let ecdsa = match algorithm {
        PublicKeyAlgorithm::EcdsaP256Der => &ECDSA_P256_SHA256_ASN1_SIGNING,
        PublicKeyAlgorithm::EcdsaP256Raw => &ECDSA_P256_SHA256_FIXED_SIGNING,
        PublicKeyAlgorithm::RsaPkcs1Sha256 => {
            let key = RsaKeyPair::from_pkcs8(private_key).map_err(|_| malformed)?;
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                .map_err(|_| malformed)?;
            return Ok(signature);
        }
        PublicKeyAlgorithm::Ed25519 => return Err(malformed.into()),
    };
    let key = EcdsaKeyPair::from_pkcs8(ecdsa, private_key).map_err(|_| malformed)?;
    let signature = key.sign(&random, message).map_err(|_| malformed)?;
    Ok(signature.as_ref().to_vec())
}

/// A key of P-256, or of RSA with 2,048 bits.
pub(crate) fn generate(
    algorithm: PublicKeyAlgorithm,
    _: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    let malformed = SecretErrorKind::Malformed;
    match algorithm {
        PublicKeyAlgorithm::RsaPkcs1Sha256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| malformed)?;
            let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| malformed)?;
            Ok(Zeroizing::new(der.as_ref().to_vec()))
        }
        PublicKeyAlgorithm::EcdsaP256Der | PublicKeyAlgorithm::EcdsaP256Raw => {
            let random = SystemRandom::new();
            let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            Ok(Zeroizing::new(
                key.map_err(|_| malformed)?.as_ref().to_vec(),
            ))
        }
        PublicKeyAlgorithm::Ed25519 => Err(malformed.into()),
    }
}

/// In DER (`SubjectPublicKeyInfo`), as providers show it.
pub(crate) fn public_half(
    algorithm: PublicKeyAlgorithm,
    private_key: &Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, SetupError> {
    let malformed = SecretErrorKind::Malformed;
    let der: PublicKeyX509Der<'_> = match algorithm {
        PublicKeyAlgorithm::RsaPkcs1Sha256 => {
            let key = RsaKeyPair::from_pkcs8(private_key).map_err(|_| malformed)?;
            key.public_key().as_der().map_err(|_| malformed)?
        }
        PublicKeyAlgorithm::EcdsaP256Der | PublicKeyAlgorithm::EcdsaP256Raw => {
            let form = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(form, private_key).map_err(|_| malformed)?;
            key.public_key().as_der().map_err(|_| malformed)?
        }
        PublicKeyAlgorithm::Ed25519 => return Err(malformed.into()),
    };
    Ok(der.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_verifies_in_its_own_form_only() {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let private = Zeroizing::new(document.as_ref().to_vec());
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
        let (der, raw) = (
            PublicKeyAlgorithm::EcdsaP256Der,
            PublicKeyAlgorithm::EcdsaP256Raw,
        );
        for (algorithm, other) in [(der, raw), (raw, der)] {
            let signature = sign(algorithm, &private, b"body").unwrap();
            let key = |algorithm| PublicKey::new(algorithm, pair.public_key().as_ref()).unwrap();
            assert!(key(algorithm).verifies(b"body", &signature));
            assert!(!key(algorithm).verifies(b"Body", &signature));
            assert!(!key(other).verifies(b"body", &signature));
        }
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let rsa = PublicKeyAlgorithm::RsaPkcs1Sha256;
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        assert!(PublicKey::new(rsa, document.as_ref()).is_err());
        assert!(PublicKey::new(rsa, b"").is_err());
        let private = Zeroizing::new(document.as_ref().to_vec());
        assert!(sign(rsa, &private, b"body").is_err());
    }
}
