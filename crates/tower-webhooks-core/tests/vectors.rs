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
#[path = "vectors/files.rs"]
mod files;
#[path = "vectors/primitives.rs"]
mod primitives;
#[path = "vectors/run.rs"]
mod run;
#[path = "vectors/schemes.rs"]
mod schemes;
#[path = "vectors/secrets.rs"]
mod secrets;

use std::collections::BTreeSet;

/// The files that the tests of this folder read.
const RUN: [&str; 15] = [
    "hmac",
    "hook0",
    "hubspot",
    "json-bodies",
    "paddle",
    "rfc4231-hmac-sha256",
    "secret-construction",
    "slack",
    "square",
    "standard-webhooks",
    "stripe",
    "wycheproof-hmac-sha1",
    "wycheproof-hmac-sha256",
    "wycheproof-hmac-sha512",
    "zendesk",
];

/// The files that no scheme of this crate can express, and why: those of other
/// cryptography, and the requests that need a connection to arrive on.
const LEFT_OUT: [(&str, &str); 16] = [
    ("adyen-classic", "signs fields of the body, not its bytes"),
    ("aes-256-gcm-resource", "encryption"),
    ("ed25519-ts-body", "asymmetric signature"),
    (
        "http-raw-axum-baseline",
        "bytes on a connection, not a request",
    ),
    ("lark-aes-cbc", "encryption"),
    ("lark-sig", "a plain digest over the secret, not an HMAC"),
    (
        "mailgun",
        "signature inside the body that does not cover it",
    ),
    (
        "messagebird-hmac",
        "signs the query's fields sorted and a hash of the body, not its bytes",
    ),
    ("messagebird-jwt", "JSON Web Token"),
    ("sendgrid-ecdsa", "asymmetric signature"),
    ("twilio", "signs sorted form fields, not the body's bytes"),
    ("wechatpay-v3", "asymmetric signature"),
    ("wycheproof-aes-cbc-pkcs5", "encryption"),
    ("wycheproof-aes-gcm", "encryption"),
    ("wycheproof-ecdsa-p256-sha256", "asymmetric signature"),
    ("wycheproof-ed25519", "asymmetric signature"),
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
