//! Microsoft Graph: change notifications.
//!
//! # Sources
//!
//! learn.microsoft.com/en-us/graph/api/resources/changenotification and
//! /graph/change-notifications-delivery-webhooks, read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! Nothing. Each notification has `clientState`, the text that was given with the subscription,
//! at most 255 characters, sent as it is: it tells who sends and protects no byte of the
//! request. Every notification of a delivery must have a right one.
//!
//! The handshake is a POST with `validationToken` in its query, which is given back as plain
//! text. Nothing proves it: whoever asks is told what they said, if it is short and plain.
//!
//! # What is left open
//!
//! The single retries: they go on for up to four hours. Notifications with encrypted content
//! (`encryptedContent`) are passed on as they are. Lifecycle notifications have a type of their
//! own.

use std::time::Duration;

use crate::{
    Provider,
    provider::{
        Answer, Answers, Envelope, EventInfo, Events, Handshake, Locator, LocatorPart, Retries,
        Scheme, TokenScheme,
    },
};

/// The preset for Microsoft Graph.
#[must_use]
pub fn microsoft_graph() -> Provider {
    Provider::new(
        "microsoft-graph",
        Scheme::Token(TokenScheme::in_body("/value/*/clientState")),
        Envelope::new(Locator::joined(
            "",
            [LocatorPart::any([
                "/value/*/changeType",
                "/value/*/lifecycleEvent",
            ])],
        ))
        .with_data("/value/*")
        .with_batch("/value/*"),
    )
    .with_title("Microsoft Graph")
    .with_source("learn.microsoft.com/en-us/graph/api/resources/changenotification and change-notifications-delivery-webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("updated", UPDATED),
    ]))
    .with_handshakes([Handshake::query("POST", "validationToken")])
    .with_answers(Answers::new(Answer::empty(202), Answer::default()))
    .with_retries(
        Retries::within(Duration::from_secs(4 * 60 * 60)).with_deadline(Duration::from_secs(3)),
    )
    .with_not_covered(["everything: a token is sent and nothing is signed"])
    .with_assumptions([
        "an id is optional: a notification's own SHA-256 stands in",
        "the single retries are not known: duplicates are known for 72 h",
    ])
}

const UPDATED: &str = r#"{"value":[{"subscriptionId":"1","subscriptionExpirationDateTime":"2026-03-05T10:30:00Z","clientState":"","changeType":"updated","resource":"Users/1/Messages/2","tenantId":"3","resourceData":{"id":"2"}}]}"#;
