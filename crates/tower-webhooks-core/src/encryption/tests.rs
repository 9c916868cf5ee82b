use std::time::SystemTime;

use super::*;
use crate::{Secret, SecretErrorKind, Secrets, SetupError, Unusable};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn lark() -> Encryption {
    Encryption::of_body(Cipher::Aes256Cbc, "/encrypt").with_derivation(KeyDerivation::Sha256)
}

fn wechat() -> Encryption {
    Encryption::of_data(Cipher::Aes256Gcm, "/resource/ciphertext")
        .with_nonce(CodedField::text("/resource/nonce"))
        .with_associated(CodedField::text("/resource/associated_data"))
        .with_named("/resource/algorithm", "AEAD_AES_256_GCM")
}

fn open(encryption: &Encryption, secrets: &Secrets, body: &str) -> Result<String, Unusable> {
    let opener = Opener::new(encryption, secrets).unwrap();
    let opened = opener.open(&body.to_owned().into(), NOW)?;
    Ok(String::from_utf8(opened.to_vec()).unwrap())
}

const API_KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn sealed() -> String {
    let encryption = wechat();
    let secret = Secret::new(API_KEY).unwrap();
    let fields = encryption
        .seal(br#"{"a":1}"#, b"pay", &secret, NOW)
        .unwrap();
    let value = |pointer| &fields.iter().find(|(at, _)| *at == pointer).unwrap().1;
    let (nonce, ciphertext) = (value("/resource/nonce"), value("/resource/ciphertext"));
    format!(
        r#"{{"resource":{{"algorithm":"AEAD_AES_256_GCM","nonce":"{nonce}","associated_data":"pay","ciphertext":"{ciphertext}"}}}}"#
    )
}

#[test]
fn everything_that_is_authenticated_must_be_as_it_was() {
    let secrets = Secrets::new(API_KEY).unwrap();
    let good = sealed();
    assert_eq!(open(&wechat(), &secrets, &good).unwrap(), r#"{"a":1}"#);
    for (from, to) in [
        ("AEAD_AES_256_GCM", "AEAD_AES_128_GCM"),
        (r#""algorithm":"AEAD_AES_256_GCM","#, ""),
        (r#""pay""#, r#""pax""#),
        (r#""associated_data":"pay","#, ""),
        (r#""nonce":""#, r#""nonce":"x"#),
        (r#""ciphertext":""#, r#""ciphertext":"AAAA"#),
        (r#""ciphertext":""#, r#""cipher":""#),
        (r#""ciphertext":""#, r#""ciphertext":7,"x":""#),
        (r#""nonce":"#, r#""nonce":"","nonce":"#),
        ("}}", "}"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let refused = open(&wechat(), &secrets, &bad);
        assert_eq!(refused, Err(Unusable::Undecryptable), "{from} {to}");
    }
}

#[test]
fn the_previous_key_still_opens_during_rotation() {
    let other = "ffffffffffffffffffffffffffffffff";
    let both = Secrets::new(other).unwrap().with_previous(API_KEY).unwrap();
    assert!(open(&wechat(), &both, &sealed()).is_ok());
    let only = Secrets::new(other).unwrap();
    assert_eq!(
        open(&wechat(), &only, &sealed()),
        Err(Unusable::Undecryptable)
    );
    let expired = Secret::new(API_KEY).unwrap().with_expiry(NOW);
    let expired = Secrets::from(expired);
    assert_eq!(
        open(&wechat(), &expired, &sealed()),
        Err(Unusable::Undecryptable)
    );
}

#[test]
fn a_key_has_the_length_of_its_cipher() {
    for (key, kind) in [
        (API_KEY.split_at(1).1, SecretErrorKind::TooShort),
        (&format!("{API_KEY}0"), SecretErrorKind::TooLong),
    ] {
        match Opener::new(&wechat(), &Secrets::new(key).unwrap()) {
            Err(SetupError::Secret(error)) => assert_eq!(error.kind(), kind),
            other => panic!("{other:?}"),
        }
    }
    assert!(Opener::new(&lark(), &Secrets::new("any").unwrap()).is_ok());
}

#[test]
fn all_that_can_go_wrong_with_a_ciphertext_is_one_failure() {
    let secrets = Secrets::new("1212121212").unwrap();
    let secret = Secret::new("1212121212").unwrap();
    let encryption = lark();
    let fields = encryption.seal(br#"{"a":1}"#, b"", &secret, NOW).unwrap();
    let body = encryption
        .empty_body()
        .replace("\"\"", &format!("\"{}\"", fields[0].1));
    assert_eq!(open(&lark(), &secrets, &body).unwrap(), r#"{"a":1}"#);
    for bad in [
        "",
        "{}",
        r#"{"encrypt":null}"#,
        r#"{"encrypt":""}"#,
        r#"{"encrypt":"AAAA"}"#,
        r#"{"encrypt":"!"}"#,
        r#"{"encrypt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#,
        r#"{"encrypt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
    ] {
        let refused = open(&lark(), &secrets, bad);
        assert_eq!(refused, Err(Unusable::Undecryptable), "{bad}");
    }
}

#[test]
fn an_encryption_comes_back_from_its_text() {
    for encryption in [lark().with_signing_secret(), wechat()] {
        let text = toml::to_string(&encryption).unwrap();
        assert_eq!(toml::from_str::<Encryption>(&text).unwrap(), encryption);
        assert_eq!(encryption.mistake(), None);
    }
    assert!(
        Encryption::of_body(Cipher::Aes256Cbc, "encrypt")
            .mistake()
            .is_some()
    );
}

#[test]
fn a_sealed_body_has_every_field_that_the_description_names() {
    let encryption = Encryption::of_body(Cipher::Aes256Gcm, "/sealed/text")
        .with_nonce(CodedField::text("/sealed/nonce"))
        .with_associated(CodedField::text("/about"))
        .with_named("/sealed/cipher", "A256GCM");
    assert_eq!(
        encryption.empty_body(),
        r#"{"about":"","sealed":{"cipher":"A256GCM","nonce":"","text":""}}"#
    );
}

#[test]
fn a_nonce_tells_nothing_of_the_text_and_is_another_one_each_time() {
    let nonce = |key: &str, text: &[u8], second: u64| {
        let secret = Secret::new(key).unwrap();
        let at = NOW + std::time::Duration::from_secs(second);
        let encryption = wechat();
        let fields = encryption.seal(text, b"", &secret, at).unwrap();
        let is_nonce = |(at, _): &&(&str, String)| *at == "/resource/nonce";
        fields.iter().find(is_nonce).unwrap().1.clone()
    };
    let other = "ffffffffffffffffffffffffffffffff";
    let first = nonce(API_KEY, b"{}", 0);
    assert_eq!(first.len(), 12);
    assert_eq!(first, nonce(API_KEY, b"{}", 0));
    for another in [
        nonce(other, b"{}", 0),
        nonce(API_KEY, b"[]", 0),
        nonce(API_KEY, b"{}", 1),
    ] {
        assert_ne!(another, first);
    }
}

#[test]
fn of_what_nobody_signed_the_padding_makes_no_difference() {
    let secret = Secret::new("a key of any length").unwrap();
    let plain = br#"{"a":1}"#;
    let encryption = lark();
    let fields = encryption.seal(plain, b"", &secret, NOW).unwrap();
    let opener = Opener::new(&lark(), &Secrets::from(secret)).unwrap();
    let sealed = decoded(&fields[0].1);
    let open = |sealed: &[u8]| {
        let body = serde_json::json!({ "encrypt": Encoding::Base64.encode(sealed) });
        let body = bytes::Bytes::from(body.to_string());
        (
            opener.open_unauthenticated(&body, NOW),
            opener.open(&body, NOW),
        )
    };
    assert_eq!(open(&sealed).0.unwrap(), &plain[..]);
    // The first vector's last byte: it changes the padding of the one block, and nothing of the text.
    let mut changed = sealed;
    changed[15] ^= 1;
    let (unauthenticated, padded) = open(&changed);
    assert_eq!(unauthenticated.unwrap(), &plain[..]);
    assert_eq!(padded, Err(Unusable::Undecryptable));
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = Encoding::Base64.decode_signature(text.as_bytes(), 0..=text.len());
    bytes.unwrap().to_vec()
}
