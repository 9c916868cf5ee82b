//! What both sides of one secret hold, made for those who play the sender.

use std::fmt;

use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use crate::{
    Provider, Secret, SecretErrorKind, SetupError,
    encoding::Encoding,
    provider::KeyEncoding,
    public_key,
    scheme::{AnyAlgorithm, KeyForm, Material},
    secret::{WHPK, WHSEC, WHSK},
};

/// What both sides of one secret hold: the same text, or the two halves of a
/// key pair.
///
/// `Debug` prints neither.
///
/// ```
/// use tower_webhooks_core::{SecretPair, providers};
///
/// let shared = SecretPair::generate(&providers::monterrey(), &[7; 32])?;
/// assert_eq!(shared.sender(), shared.receiver());
/// # Ok::<(), tower_webhooks_core::SetupError>(())
/// ```
#[derive(Clone)]
pub struct SecretPair {
    sender: Zeroizing<String>,
    receiver: Zeroizing<String>,
}

impl SecretPair {
    /// Makes up a new secret in the form that the provider's scheme wants:
    /// where that is text of any form, `whsec_` and 64 hexadecimal digits.
    ///
    /// `random` are 32 bytes that nobody can guess. ECDSA and RSA take the
    /// operating system's instead.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the scheme's keys have another length, the provider
    /// contradicts itself, or this build lacks the feature of its algorithm.
    pub fn generate(provider: &Provider, random: &[u8; 32]) -> Result<Self, SetupError> {
        provider.check()?;
        let signed = provider.scheme().signed();
        let (form, algorithm) = match &signed {
            Some(signed) => (signed.key.clone(), Some(signed.algorithm)),
            None => (KeyForm::default(), None),
        };
        if let Some(AnyAlgorithm::PublicKey(algorithm)) = algorithm {
            let key = public_key::generate(algorithm, random)?;
            let sender = written(form.encoding(), &key, "PRIVATE KEY", WHSK)?;
            return Self::of_sender(provider, &sender);
        }
        let text = match form.encoding() {
            KeyEncoding::Base64 => Encoding::Base64.encode(random),
            KeyEncoding::Hex => Encoding::Hex.encode(random),
            KeyEncoding::Whsec => format!("{WHSEC}{}", Encoding::Base64.encode(random)),
            _ => format!("{WHSEC}{}", Encoding::Hex.encode(random)),
        };
        Self::of_sender(provider, &text)
    }

    /// The pair of what a sender signs with: a shared secret, or a private key,
    /// whose public half is found.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when it does not have the form that the provider's scheme
    /// wants, or this build lacks the feature of its algorithm.
    pub fn of_sender(provider: &Provider, sender: &str) -> Result<Self, SetupError> {
        let receiver = match provider.scheme().signed() {
            Some(signed) => match signed.algorithm {
                AnyAlgorithm::PublicKey(algorithm) => {
                    let key = signed.key.decode(sender)?;
                    let public = public_key::public_half(algorithm, &key)?;
                    written(signed.key.encoding(), &public, "PUBLIC KEY", WHPK)?
                }
                AnyAlgorithm::Digest(_) | AnyAlgorithm::Hmac(_) => {
                    Zeroizing::new(sender.to_owned())
                }
            },
            None => Zeroizing::new(sender.to_owned()),
        };
        // What a receiver could not use is found out here, not at the first
        // delivery.
        Material::prepare(provider.scheme(), &Secret::new(receiver.as_str())?)?;
        Ok(Self {
            sender: Zeroizing::new(sender.to_owned()),
            receiver,
        })
    }

    /// What the sender signs with.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.sender
    }

    /// What the receiver is given.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.receiver
    }
}

impl fmt::Debug for SecretPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPair(..)")
    }
}

/// One half of a key pair as text.
fn written(
    encoding: KeyEncoding,
    key: &[u8],
    label: &str,
    prefix: &str,
) -> Result<Zeroizing<String>, SetupError> {
    let text = match encoding {
        KeyEncoding::Base64 => Encoding::Base64.encode(key),
        KeyEncoding::Hex => Encoding::Hex.encode(key),
        KeyEncoding::Pem => {
            let pem = pem_rfc7468::encode_string(label, LineEnding::LF, key)
                .map(Zeroizing::new)
                .map_err(|_| SecretErrorKind::Malformed)?;
            // Like any other secret, without the line end that files add.
            pem.trim_end().to_owned()
        }
        KeyEncoding::Whpk => format!("{prefix}{}", Encoding::Base64.encode(key)),
        KeyEncoding::Utf8 | KeyEncoding::Whsec => return Err(SecretErrorKind::Malformed.into()),
    };
    Ok(Zeroizing::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn nothing_printed_shows_a_secret() {
        let pair = SecretPair::of_sender(&providers::mppcash(), "swordfish").unwrap();
        assert!(!format!("{pair:?}").contains("swordfish"));
    }

    #[test]
    fn a_secret_of_another_form_is_refused() {
        let refused = SecretPair::of_sender(&providers::adyen(), "no hexadecimal").unwrap_err();
        let SetupError::Secret(error) = refused else {
            panic!("{refused}");
        };
        assert_eq!(error.kind(), SecretErrorKind::Malformed);
        let refused = SecretPair::of_sender(&providers::mppcash(), " ").unwrap_err();
        assert!(matches!(refused, SetupError::Secret(_)), "{refused}");
    }

    /// RFC 8032, section 7.1, test 2.
    #[cfg(feature = "ed25519")]
    #[test]
    fn the_public_half_is_that_of_the_private_one() {
        let private = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let pair = SecretPair::of_sender(&providers::discord(), private).unwrap();
        assert_eq!((pair.sender(), pair.receiver()), (private, public));
    }

    #[cfg(all(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
    #[test]
    fn every_preset_has_secrets_and_no_two_are_the_same() {
        for provider in providers::all() {
            let pair = |byte| SecretPair::generate(&provider, &[byte; 32]).unwrap();
            let (first, second) = (pair(1), pair(2));
            let name = provider.name();
            assert_ne!(first.sender(), second.sender(), "{name}");
            assert_ne!(first.receiver(), second.receiver(), "{name}");
            let again = SecretPair::of_sender(&provider, first.sender()).unwrap();
            assert_eq!(again.receiver(), first.receiver(), "{name}");
            let is_public = matches!(
                provider.scheme().signed().map(|signed| signed.algorithm),
                Some(AnyAlgorithm::PublicKey(_))
            );
            assert_eq!(first.sender() != first.receiver(), is_public, "{name}");
        }
    }

    #[cfg(not(feature = "ed25519"))]
    #[test]
    fn a_missing_feature_is_named() {
        let refused = SecretPair::generate(&providers::discord(), &[1; 32]).unwrap_err();
        assert!(matches!(refused, SetupError::FeatureMissing("ed25519")));
    }
}
