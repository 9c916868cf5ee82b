//! Vectors of encrypted payloads: providers', and Wycheproof's as they reach
//! users.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tower_webhooks_core::{
    Opener, Secrets, Unusable,
    provider::{Cipher, CodedField, Encoding, Encryption, KeyDerivation, KeyEncoding},
};

use crate::files::{self, Expect, Vector};

fn open(encryption: &Encryption, key: &str, body: &Bytes) -> Result<Bytes, Unusable> {
    let secrets = Secrets::new(key).unwrap();
    let opener = Opener::new(encryption, &secrets).map_err(|_| Unusable::Undecryptable)?;
    opener.open(body, SystemTime::UNIX_EPOCH)
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn lark_encrypts_the_whole_body() {
    let encryption =
        Encryption::of_body(Cipher::Aes256Cbc, "/encrypt").with_derivation(KeyDerivation::Sha256);
    let (mut opened, mut failed) = (0, 0);
    for vector in files::read::<Vector>("lark-aes-cbc") {
        let found = open(&encryption, vector.secrets()[0], &vector.body());
        match vector.expected() {
            Expect::Valid => {
                opened += 1;
                let text = String::from_utf8(found.unwrap().to_vec()).unwrap();
                match vector.params["plaintext"].as_str() {
                    Some(plaintext) => assert_eq!(text, plaintext, "{}", vector.id),
                    None => assert!(text.starts_with('{'), "{}", vector.id),
                }
            }
            Expect::Invalid => {
                failed += 1;
                let (id, why) = (&vector.id, &vector.why);
                assert_eq!(found, Err(Unusable::Undecryptable), "{id}: {why}");
            }
        }
    }
    assert_eq!((opened, failed), (2, 4));
}

/// WeChat Pay's layout; its vectors have keys of 16 bytes, its own keys 32.
#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wechat_pay_encrypts_a_resource() {
    let encryption = Encryption::of_data(Cipher::Aes128Gcm, "/resource/ciphertext")
        .with_nonce(CodedField::text("/resource/nonce"))
        .with_associated(CodedField::text("/resource/associated_data"));
    let (mut opened, mut failed) = (0, 0);
    for vector in files::read::<Vector>("aes-256-gcm-resource") {
        let ciphertext = String::from_utf8(vector.body().to_vec()).unwrap();
        let body = json!({ "resource": {
            "ciphertext": ciphertext,
            "nonce": vector.params["nonce"],
            "associated_data": vector.params["aad"],
        }});
        let found = open(&encryption, vector.secrets()[0], &body.to_string().into());
        match vector.expected() {
            Expect::Valid => {
                opened += 1;
                let plaintext = vector.params["plaintext"].as_str().unwrap();
                assert_eq!(found.unwrap(), plaintext, "{}", vector.id);
            }
            Expect::Invalid => {
                failed += 1;
                let (id, why) = (&vector.id, &vector.why);
                assert_eq!(found, Err(Unusable::Undecryptable), "{id}: {why}");
            }
        }
    }
    for vector in files::read::<Vector>("wechatpay-v3").iter().take(1) {
        let found = open(&encryption, vector.secrets()[0], &vector.body()).unwrap();
        let resource: serde_json::Value = serde_json::from_slice(&found).unwrap();
        assert!(resource["out_contract_code"].is_string(), "{resource}");
    }
    assert_eq!((opened, failed), (1, 4));
}

#[derive(Deserialize)]
struct Primitive {
    id: String,
    key: String,
    iv: String,
    #[serde(default)]
    aad: String,
    msg: String,
    ct: String,
    #[serde(default)]
    tag: String,
    key_bits: usize,
    expect: Expect,
    why: String,
}

impl Primitive {
    /// The fields in base64, the tag behind the ciphertext.
    fn body(&self) -> Bytes {
        let coded = |hex: &str| STANDARD.encode(const_hex::decode(hex).unwrap());
        json!({
            "iv": coded(&self.iv),
            "aad": coded(&self.aad),
            "ct": coded(&format!("{}{}", self.ct, self.tag)),
        })
        .to_string()
        .into()
    }
}

/// How many were opened, how many were not, and how many have another length of
/// key or nonce than these ciphers.
fn run(name: &str, ciphers: &[Cipher]) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    for vector in files::read::<Primitive>(name) {
        let fits = |cipher: &&Cipher| cipher.key_bytes() * 8 == vector.key_bits;
        let Some(cipher) = ciphers.iter().find(fits) else {
            counts.2 += 1;
            continue;
        };
        let encryption = Encryption::of_body(*cipher, "/ct")
            .with_nonce(CodedField::coded("/iv", Encoding::Base64))
            .with_associated(CodedField::coded("/aad", Encoding::Base64))
            .with_key_encoding(KeyEncoding::Hex);
        let found = open(&encryption, &vector.key, &vector.body());
        if vector.iv.len() != cipher.nonce_bytes() * 2 {
            assert_eq!(found, Err(Unusable::Undecryptable), "{}", vector.id);
            counts.2 += 1;
            continue;
        }
        match vector.expect {
            Expect::Valid => {
                counts.0 += 1;
                let plaintext = const_hex::decode(&vector.msg).unwrap();
                assert_eq!(found.unwrap(), plaintext, "{}", vector.id);
            }
            Expect::Invalid => {
                counts.1 += 1;
                let (id, why) = (&vector.id, &vector.why);
                assert_eq!(found, Err(Unusable::Undecryptable), "{id}: {why}");
            }
        }
    }
    println!("{name}: {counts:?}");
    counts
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_aes_cbc() {
    let counts = run("wycheproof-aes-cbc-pkcs5", &[Cipher::Aes256Cbc]);
    assert_eq!(counts, (24, 48, 144));
}

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn wycheproof_aes_gcm() {
    let name = "wycheproof-aes-gcm";
    let counts = run(name, &[Cipher::Aes128Gcm, Cipher::Aes256Gcm]);
    assert_eq!(counts, (79, 54, 183));
}
