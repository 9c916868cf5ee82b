//! GitLab: repositories, issues and pipelines.
//!
//! # Sources
//!
//! docs.gitlab.com/user/project/integrations/webhooks (delivery headers, auto-disabled webhooks),
//! read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! Nothing. `X-Gitlab-Token` is the secret itself, sent as it is: it tells who sends and
//! protects no byte of the request.
//!
//! # What is left open
//!
//! The retry schedule. `Idempotency-Key`, the id, is the same for every redelivery of an event;
//! GitLab before 17.4 sends none, and the body stands in. The time-out is that of GitLab.com;
//! another instance's is set by who runs it.

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
        Envelope::new("/object_kind")
            .with_optional_id(HeaderName::from_static("idempotency-key")),
    )
    .with_title("GitLab")
    .with_source("docs.gitlab.com/user/project/integrations/webhooks, read 2026-11-22 from a stored copy")
    .with_events(Events::open([
        EventInfo::new("push", PUSH),
    ]))
    .with_retries(
        Retries::default()
            .with_deadline(Duration::from_secs(10))
            .with_afterwards("after 4 failures in a row the webhook is disabled for a minute and longer, after 40 for good"),
    )
    .with_not_covered(["everything: a token is sent and nothing is signed"])
    .with_assumptions([
        "a delivery without Idempotency-Key, as GitLab before 17.4 sends it, is known by its body's SHA-256",
        "the retry schedule is not described here: duplicates are known for 72 h",
    ])
}

const PUSH: &str = r#"{"object_kind":"push","event_name":"push","ref":"refs/heads/main","project_id":15,"project":{"id":15,"name":"Shop"},"commits":[]}"#;
