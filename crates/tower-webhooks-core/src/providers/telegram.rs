//! Telegram: updates for a bot.
//!
//! # Sources
//!
//! core.telegram.org/bots/api, setWebhook and Update, as effect-ak.github.io/tg-bot-api and
//! others repeat it; read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! Nothing. `X-Telegram-Bot-Api-Secret-Token` is the token that was given at registration, sent
//! as it is: it tells who sends and protects no byte of the request.
//!
//! # What is left open
//!
//! The retry schedule: a reasonable amount of attempts, it says. The type is the name of the
//! one field beside `update_id`, of which there is at most one.

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, Place, Scheme, TokenScheme},
};

/// The preset for Telegram.
#[must_use]
pub fn telegram() -> Provider {
    let token = HeaderName::from_static("x-telegram-bot-api-secret-token");
    Provider::new(
        "telegram",
        Scheme::Token(TokenScheme::new(token)),
        Envelope::new(Place::NameBeside("update_id".to_owned())).with_id("/update_id"),
    )
    .with_title("Telegram")
    .with_source(
        "core.telegram.org/bots/api as repeated by others, read 2026-11-22 from stored copies",
    )
    .with_events(Events::open([EventInfo::new("message", MESSAGE)]))
    .with_not_covered(["everything: a token is sent and nothing is signed"])
    .with_assumptions([
        "an update has one field besides its id, which names what happened",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const MESSAGE: &str = r#"{"update_id":10000,"message":{"message_id":1365,"date":1772447400,"chat":{"id":1,"type":"private"},"text":"/start"}}"#;
