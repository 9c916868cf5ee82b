//! The shared conformance vectors, against the public API.
//!
//! They are not part of this repository: the folder is named by
//! `TOWER_WEBHOOKS_VECTORS`, absolute or seen from the workspace's root, and
//! is `../shared/vectors` otherwise. A folder that is not there fails the
//! tests. How many vectors of a file ran, and how many did not and why, is
//! part of each expectation, so that a run cannot shrink unseen.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests, which report by printing and fail by a panic"
)]

#[path = "vectors/bodies.rs"]
mod bodies;
#[cfg(feature = "encryption")]
#[path = "vectors/encryption.rs"]
mod encryption;
#[path = "vectors/files.rs"]
mod files;
#[path = "vectors/parts.rs"]
mod parts;
#[path = "vectors/primitives.rs"]
mod primitives;
#[cfg(all(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
#[path = "vectors/public_keys.rs"]
mod public_keys;
#[path = "vectors/run.rs"]
mod run;
#[path = "vectors/schemes.rs"]
mod schemes;
#[path = "vectors/secrets.rs"]
mod secrets;

use std::collections::BTreeSet;

/// The files that the tests of this folder read.
const RUN: [&str; 28] = [
    "adyen-classic",
    "aes-256-gcm-resource",
    "ed25519-ts-body",
    "hmac",
    "hook0",
    "hubspot",
    "json-bodies",
    "lark-aes-cbc",
    "lark-sig",
    "mailgun",
    "paddle",
    "rfc4231-hmac-sha256",
    "secret-construction",
    "sendgrid-ecdsa",
    "slack",
    "square",
    "standard-webhooks",
    "stripe",
    "twilio",
    "wechatpay-v3",
    "wycheproof-aes-cbc-pkcs5",
    "wycheproof-aes-gcm",
    "wycheproof-ecdsa-p256-sha256",
    "wycheproof-ed25519",
    "wycheproof-hmac-sha1",
    "wycheproof-hmac-sha256",
    "wycheproof-hmac-sha512",
    "zendesk",
];

/// The files that no description can express, and why.
const LEFT_OUT: [(&str, &str); 3] = [
    (
        "http-raw-axum-baseline",
        "bytes on a connection, not a request",
    ),
    (
        "messagebird-hmac",
        "signs the query's fields sorted and a hash of the body, not its bytes",
    ),
    ("messagebird-jwt", "JSON Web Token"),
];

#[test]
#[ignore = "reads the shared vectors; set TOWER_WEBHOOKS_VECTORS or keep them at ../shared/vectors"]
fn every_file_is_run_or_left_out_for_a_reason() {
    let known: BTreeSet<String> = LEFT_OUT
        .iter()
        .map(|(name, _)| *name)
        .chain(RUN)
        .map(str::to_owned)
        .collect();
    assert_eq!(files::names(), known);
}
