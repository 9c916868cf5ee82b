//! GitLab: repositories, issues and pipelines.
//!
//! # Sources
//!
//! github.com/hookdeck/webhook-skills, skills/gitlab-webhooks/references, read 2026-11-22 from
//! stored copies.
//!
//! # What the signature covers
//!
//! Nothing. `X-Gitlab-Token` is the secret itself, sent as it is: it tells who sends and
//! protects no byte of the request.
//!
//! # What is left open
//!
//! The retry schedule, and whether every delivery has an `Idempotency-Key`: the body stands in
//! for an id.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, Retries, Scheme, TokenScheme},
};

/// The preset for GitLab.
#[must_use]
pub fn gitlab() -> Provider {
    Provider::new(
        "gitlab",
        Scheme::Token(TokenScheme::new(HeaderName::from_static("x-gitlab-token"))),
        Envelope::new("/object_kind"),
    )
    .with_title("GitLab")
    .with_source("github.com/hookdeck/webhook-skills, skills/gitlab-webhooks, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("push", PUSH),
    ]))
    .with_retries(Retries::default().with_deadline(Duration::from_secs(10)))
    .with_not_covered(["everything: a token is sent and nothing is signed"])
    .with_assumptions([
        "no id that every delivery has was found: the body's SHA-256 stands in",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const PUSH: &str = r#"{"object_kind":"push","event_name":"push","ref":"refs/heads/main","project_id":15,"project":{"id":15,"name":"Shop"},"commits":[]}"#;
