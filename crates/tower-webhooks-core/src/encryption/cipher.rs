//! The ciphers, by `aes`, `aes-gcm` and `cbc`.

use aes::{
    Aes128, Aes256,
    cipher::{
        BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _,
        block_padding::{NoPadding, Pkcs7},
    },
};
use aes_gcm::{
    AesGcm, KeyInit as _,
    aead::{Aead as _, Payload, consts::U12},
};

use super::Cipher;
use crate::SetupError;

pub(super) const fn is_built() -> Result<(), SetupError> {
    Ok(())
}

/// Nothing for whatever is wrong: key, nonce, length, padding or tag.
pub(super) fn decrypt(
    cipher: Cipher,
    key: &[u8],
    nonce: &[u8],
    associated: &[u8],
    ciphertext: &[u8],
) -> Option<Vec<u8>> {
    let sealed = Payload {
        msg: ciphertext,
        aad: associated,
    };
    match cipher {
        Cipher::Aes128Gcm => AesGcm::<Aes128, U12>::new_from_slice(key)
            .ok()?
            .decrypt(nonce.try_into().ok()?, sealed)
            .ok(),
        Cipher::Aes256Cbc => cbc::Decryptor::<Aes256>::new_from_slices(key, nonce)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .ok(),
        Cipher::Aes256Gcm => AesGcm::<Aes256, U12>::new_from_slice(key)
            .ok()?
            .decrypt(nonce.try_into().ok()?, sealed)
            .ok(),
    }
}

/// As [`decrypt`], but with the padding, where there is any, neither checked nor
/// taken off.
pub(super) fn decrypt_with_padding(
    cipher: Cipher,
    key: &[u8],
    nonce: &[u8],
    associated: &[u8],
    ciphertext: &[u8],
) -> Option<Vec<u8>> {
    match cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
            decrypt(cipher, key, nonce, associated, ciphertext)
        }
        Cipher::Aes256Cbc => cbc::Decryptor::<Aes256>::new_from_slices(key, nonce)
            .ok()?
            .decrypt_padded_vec::<NoPadding>(ciphertext)
            .ok(),
    }
}

/// The sender's side.
pub(super) fn encrypt(
    cipher: Cipher,
    key: &[u8],
    nonce: &[u8],
    associated: &[u8],
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    let open = Payload {
        msg: plaintext,
        aad: associated,
    };
    match cipher {
        Cipher::Aes128Gcm => AesGcm::<Aes128, U12>::new_from_slice(key)
            .ok()?
            .encrypt(nonce.try_into().ok()?, open)
            .ok(),
        Cipher::Aes256Cbc => Some(
            cbc::Encryptor::<Aes256>::new_from_slices(key, nonce)
                .ok()?
                .encrypt_padded_vec::<Pkcs7>(plaintext),
        ),
        Cipher::Aes256Gcm => AesGcm::<Aes256, U12>::new_from_slice(key)
            .ok()?
            .encrypt(nonce.try_into().ok()?, open)
            .ok(),
    }
}
