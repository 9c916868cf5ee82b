//! GitHub: repositories, issues and builds.
//!
//! # Sources
//!
//! github.com/github/docs, content/webhooks/using-webhooks (validating-webhook-deliveries,
//! best-practices-for-using-webhooks, handling-failed-webhook-deliveries, creating-webhooks),
//! read 2026-11-22 from stored copies.
//!
//! # What the signature covers
//!
//! `X-Hub-Signature-256` is `sha256=` and the HMAC-SHA256 in hexadecimal of the raw body, keyed
//! with the text of the secret. It covers no header: neither `X-GitHub-Event`, where the type
//! stands, nor `X-GitHub-Delivery`, where the id stands. Who captured a request can send it
//! again as another event or under another id; the inbox then still knows its body. The older
//! `X-Hub-Signature` with SHA-1 is not looked at.
//!
//! A webhook's content type is either `application/json`, where the body is the payload, or
//! `application/x-www-form-urlencoded`, where the payload is the form's field `payload`. The
//! signature covers the body as it is sent, the form's escapes included; both are read.
//!
//! # What is left open
//!
//! GitHub does not deliver again by itself; a redelivery that is asked for has the same id. The
//! largest body is not part of what was read.

use std::time::Duration;

use http::HeaderName;

use crate::{
    Provider,
    provider::{Envelope, EventInfo, Events, HmacScheme, Retries, Scheme},
    providers::UNDATED,
};

/// The preset for GitHub.
#[must_use]
pub fn github() -> Provider {
    let scheme =
        HmacScheme::new(HeaderName::from_static("x-hub-signature-256")).with_prefix("sha256=");
    Provider::new(
        "github",
        Scheme::Hmac(scheme),
        Envelope::new(HeaderName::from_static("x-github-event"))
            .with_id(HeaderName::from_static("x-github-delivery"))
            .with_form_field("payload"),
    )
    .with_title("GitHub")
    .with_source("github.com/github/docs, content/webhooks/using-webhooks, read 2026-11-22 from stored copies")
    .with_events(Events::open([
        EventInfo::new("push", PUSH),
        EventInfo::new("ping", PING),
    ]))
    .with_retries(Retries::none().with_deadline(Duration::from_secs(10)))
    .with_max_body_bytes(25 * 1024 * 1024)
    .with_not_covered([
        "X-GitHub-Event, the type, and X-GitHub-Delivery, the id: either can be changed by who captured a request",
        UNDATED,
        "all other headers, the method and the URL",
    ])
    .with_assumptions([
        "redeliveries are asked for by hand: duplicates are known for 72 h",
        "a body that begins with no brace is taken for a form, whatever Content-Type says",
    ])
}

const PUSH: &str = r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0000000000000000000000000000000000000000","repository":{"id":1,"full_name":"acme/shop"},"commits":[]}"#;

const PING: &str =
    r#"{"zen":"Keep it logically awesome.","hook_id":1,"hook":{"type":"Repository","id":1}}"#;
