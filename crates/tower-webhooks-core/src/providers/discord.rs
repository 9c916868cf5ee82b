//! Discord: webhook events, and interactions.
//!
//! # Sources
//!
//! github.com/discord/discord-api-docs, developers/events/webhook-events.mdx, and the tests of
//! github.com/tencent-connect/botgo, whose construction is the same; read 2026-11-22 from
//! stored copies.
//!
//! # What the signature covers
//!
//! `X-Signature-Ed25519` is the Ed25519 signature in hexadecimal of the text of
//! `X-Signature-Timestamp` and the raw body. The secret is the app's public key in hexadecimal.
//! Discord sends wrong signatures on purpose and expects 401.
//!
//! The handshake, PING, is signed like any delivery and only answered then.
//!
//! # What is left open
//!
//! The unit of the timestamp (seconds, as in the construction's tests) and the window: 300 s.
//! An id: the body stands in for webhook events. An interaction wants its answer within three
//! seconds: a reply handler decides it.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{
        Answer, Answers, Encoding, Envelope, EventInfo, Events, Handshake, HandshakeAnswer,
        KeyEncoding, Part, PublicKeyAlgorithm, PublicKeyScheme, Retries, Scheme, SignedTimestamp,
    },
};

/// The preset for Discord's webhook events. Needs the feature `ed25519`.
#[must_use]
pub fn discord() -> Provider {
    Provider::new(
        "discord",
        scheme(),
        Envelope::new("/event/type").with_data("/event/data"),
    )
    .with_title("Discord")
    .with_source("github.com/discord/discord-api-docs, developers/events/webhook-events.mdx, read 2026-11-22 from a stored copy")
    .with_handshakes([Handshake::signed_body("/type", "0")
        .with_answer(HandshakeAnswer::Fixed(Answer {
            content_type: Some("application/json".into()),
            ..Answer::empty(204)
        }))])
    .with_answers(Answers::new(Answer::empty(204), Answer::default()))
    .with_retries(
        Retries::within(Duration::from_secs(10 * 60))
            .with_deadline(Duration::from_secs(3))
            .with_afterwards("the event is dropped; too many failures end the events"),
    )
    .with_events(Events::open([EventInfo::new(
        "APPLICATION_AUTHORIZED",
        APPLICATION_AUTHORIZED,
    )]))
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "no event id is documented: the body's SHA-256 stands in",
        "the time window is not documented: 300 s in both directions",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

/// The preset for Discord's interactions: commands, components and modals, by
/// the number of their type. Needs the feature `ed25519`.
#[must_use]
pub fn discord_interactions() -> Provider {
    Provider::new(
        "discord-interactions",
        scheme(),
        Envelope::new("/type").with_id("/id").with_data("/data"),
    )
    .with_title("Discord interactions")
    .with_source("github.com/discord/discord-api-docs, read 2026-11-22 from a stored copy")
    .with_handshakes([Handshake::signed_body("/type", "1")
        .with_answer(HandshakeAnswer::Fixed(Answer::json(200, r#"{"type":1}"#)))])
    .with_retries(Retries::default().with_deadline(Duration::from_secs(3)))
    .with_events(Events::open([EventInfo::new("2", APPLICATION_COMMAND)]))
    .with_not_covered(["all other headers, the method and the URL"])
    .with_assumptions([
        "the time window is not documented: 300 s in both directions",
        "whether an interaction is ever sent again is not known: duplicates are known for 72 h",
    ])
}

fn scheme() -> Scheme {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static("x-signature-timestamp"));
    let signature = HeaderName::from_static("x-signature-ed25519");
    let scheme = PublicKeyScheme::new(signature, PublicKeyAlgorithm::Ed25519)
        .with_encoding(Encoding::Hex)
        .with_key_encoding(KeyEncoding::Hex)
        .with_signed([Part::Timestamp, Part::Body])
        .with_timestamp(timestamp);
    Scheme::PublicKey(scheme)
}

const APPLICATION_AUTHORIZED: &str = r#"{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2026-03-02T10:30:00.064834","data":{"integration_type":1,"scopes":["applications.commands"],"user":{}}}}"#;

const APPLICATION_COMMAND: &str = r#"{"id":"1","application_id":"1234560123453231555","type":2,"token":"t","version":1,"data":{"id":"2","name":"ask","type":1}}"#;
