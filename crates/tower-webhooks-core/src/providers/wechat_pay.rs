//! WeChat Pay: payments, by its API v3.
//!
//! # Sources
//!
//! github.com/wechatpay-apiv3/wechatpay-go (core/notify/notify_test.go, utils/aes_test.go),
//! and pay.weixin.qq.com/wiki/doc/apiv3, payment notifications, as repeated by others; read
//! 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `Wechatpay-Signature` is the RSA signature (PKCS#1 1.5, SHA-256) in base64 of the text of
//! `Wechatpay-Timestamp` (seconds since 1970), `Wechatpay-Nonce` and the raw body, a line feed
//! behind each. The secret is the platform's public key in PEM (of a certificate: `openssl x509
//! -pubkey -noout`). `Wechatpay-Serial` says which key signed: a secret with a label is tried
//! only where the label is that serial.
//!
//! The payload, `resource`, is AES-256-GCM with a nonce and associated data beside it; its key,
//! the APIv3 key of 32 bytes, is a secret of its own. The type and the id stand outside it and
//! are signed.
//!
//! # What is left open
//!
//! The answer that WeChat Pay wants besides its status, and whether redeliveries are signed anew.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Cipher, CodedField, Encryption, Envelope, EventInfo, Events, Part, PublicKeyAlgorithm,
        PublicKeyScheme, Retries, Scheme, SignedTimestamp,
    },
};

/// The preset for WeChat Pay. Needs the features `rsa` and `encryption`.
#[must_use]
pub fn wechat_pay() -> Provider {
    let timestamp = HeaderName::from_static("wechatpay-timestamp");
    let signature = HeaderName::from_static("wechatpay-signature");
    let scheme = PublicKeyScheme::new(signature, PublicKeyAlgorithm::RsaPkcs1Sha256)
        .with_signed([
            Part::Timestamp,
            Part::literal("\n"),
            Part::Header(HeaderName::from_static("wechatpay-nonce")),
            Part::literal("\n"),
            Part::Body,
            Part::literal("\n"),
        ])
        .with_key_id(HeaderName::from_static("wechatpay-serial"))
        .with_timestamp(SignedTimestamp::in_header(timestamp));
    Provider::new(
        "wechat-pay",
        Scheme::PublicKey(scheme),
        Envelope::new("/event_type")
            .with_id("/id")
            .with_time("/create_time")
            .with_data("/resource"),
    )
    .with_title("WeChat Pay")
    .with_source("github.com/wechatpay-apiv3/wechatpay-go, and pay.weixin.qq.com/wiki/doc/apiv3 as repeated by others, read 2026-11-22 from stored copies")
    .with_events(Events::open([EventInfo::new(
        "TRANSACTION.SUCCESS",
        TRANSACTION_SUCCESS,
    )]))
    .with_encryption(
        Encryption::of_data(Cipher::Aes256Gcm, "/resource/ciphertext")
            .with_nonce(CodedField::text("/resource/nonce"))
            .with_associated(CodedField::text("/resource/associated_data"))
            .with_named("/resource/algorithm", "AEAD_AES_256_GCM"),
    )
    .with_retries(Retries::after(RETRIES.map(Duration::from_secs)))
    .with_not_covered(["Wechatpay-Serial and all other headers, the method and the URL"])
    .with_assumptions(["the time window is not described: 300 s in both directions"])
}

/// In seconds: 24 hours and four minutes in all.
const RETRIES: [u64; 15] = [
    15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600,
];

const TRANSACTION_SUCCESS: &str = r#"{"id":"3119dfba-e649-5eec-ab1e-3412bc4d2e17","create_time":"2026-03-02T10:30:00+08:00","resource_type":"encrypt-resource","event_type":"TRANSACTION.SUCCESS","resource":{"original_type":"transaction","algorithm":"AEAD_AES_256_GCM","ciphertext":"{\"out_trade_no\":\"order-1\",\"trade_state\":\"SUCCESS\"}","associated_data":"transaction","nonce":""}}"#;
