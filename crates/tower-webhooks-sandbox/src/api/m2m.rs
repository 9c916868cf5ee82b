//! M2M by Leap Financial: links, each with a URL of its own if it wants one.
//!
//! # Calls
//!
//! | call | takes | answers |
//! |---|---|---|
//! | `POST /m2m/partner/links` | `referenceId`, `callbackUrl`, `expiresInMinutes`, and more | 201, `{"success":true,"data":{…}}` |
//!
//! The URL and the secret for everything else are set in the Partner Portal,
//! which has no API: here it is the sandbox's own call, see
//! [`console`](crate::console).
//!
//! # Documented
//!
//! The call and what it takes: `referenceId` (required), `expiresInMinutes` of
//! 5 to 10,080 (60), `callbackUrl` for the link's deliveries; `X-API-Key`; the
//! forms of success and of errors, and the codes; one active link for a
//! reference (409); 100 links a minute; `link.created` that follows; five
//! attempts, 30 s each. Sources: docs.leapfinancial.com/m2m/webhooks/overview,
//! /m2m/api-reference/introduction and
//! /api-reference/partner--magic-links/create-a-magic-link, read 2026-11-22 from
//! stored copies.
//!
//! # Ours
//!
//! That deliveries to a `callbackUrl` are signed with the portal's secret, so
//! that nothing is sent before the portal is set up; that redeliveries are
//! dated and signed anew; what follows the fifth attempt (failed); the words of
//! errors.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{Caller, Refusal, fields::Fields, header_text, json as answer};
use crate::{
    Application, Limit, Sandbox, Trigger, TriggerError,
    newest::Newest,
    text::{new_id, rfc_3339},
};

const NAME: &str = "m2m";

pub(crate) fn application() -> Application {
    Application::new(NAME, "sandbox", "m2m_test_sandbox").with_limits([Limit::a_minute(100)])
}

pub(crate) fn router() -> Router<Sandbox> {
    Router::new().route("/partner/links", post(create))
}

/// How many bytes of links are remembered; the oldest are forgotten first, and their
/// `referenceId` is free again.
const MAX_LINKS_BYTES: usize = 4 << 20;

/// The links that were made.
#[derive(Debug)]
pub(crate) struct Links(Mutex<Newest<Link>>);

impl Default for Links {
    fn default() -> Self {
        Self(Mutex::new(Newest::new(MAX_LINKS_BYTES)))
    }
}

#[derive(Debug)]
struct Link {
    id: String,
    application: String,
    reference_id: String,
    callback_url: Option<String>,
    expires_at: SystemTime,
}

impl Links {
    /// Where a link's deliveries go, if it says so.
    pub(crate) fn callback_of(&self, id: &str) -> Result<Option<String>, TriggerError> {
        let links = self.lock();
        match links.iter().find(|link| link.id == id) {
            Some(link) => Ok(link.callback_url.clone()),
            None => Err(TriggerError::Link(id.to_owned())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Newest<Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn create(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    created(&sandbox, &headers, &body).unwrap_or_else(|refusal| refused(&refusal))
}

fn created(sandbox: &Sandbox, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    let caller = Caller::admit(sandbox, NAME, header_text(headers, "x-api-key"), None).map_err(
        |refusal| match refusal.status {
            StatusCode::UNAUTHORIZED => refusal.with_code("INVALID_API_KEY"),
            _ => refusal,
        },
    )?;
    let fields = Fields::read(body)?;
    let reference_id = fields.required_text("referenceId")?.to_owned();
    let callback_url = fields.url("callbackUrl")?;
    let minutes = match fields.number("expiresInMinutes")? {
        None => 60,
        Some(minutes) => minutes
            .as_u64()
            .filter(|minutes| (5..=10_080).contains(minutes))
            .ok_or_else(|| Refusal::invalid("expiresInMinutes must be 5 to 10080"))?,
    };
    let now = sandbox.inner.clock.now();
    let expires_at = now
        .checked_add(Duration::from_secs(minutes.saturating_mul(60)))
        .unwrap_or(now);
    let link = Link {
        id: new_id("link"),
        application: caller.application.name.clone(),
        reference_id: reference_id.clone(),
        callback_url,
        expires_at,
    };
    let id = link.id.clone();
    add(sandbox, link, now)?;

    let data = json!({
        "linkId": id,
        "referenceId": reference_id,
        "url": format!("https://m2m.example/l/{id}"),
        "status": "created",
        "expiresAt": rfc_3339(expires_at),
        "createdAt": rfc_3339(now),
    });
    let mut event = Trigger::new(NAME, "link.created")
        .with_data(data.clone())
        .with_link(id);
    event.application = Some(caller.application.name);
    // Nobody may have registered, which is no mistake of the caller's.
    if let Err(error) = sandbox.trigger(&event) {
        tracing::warn!(%error, "no link.created was sent");
    }
    let body = json!({ "success": true, "data": data });
    Ok(answer(StatusCode::CREATED, &body))
}

fn add(sandbox: &Sandbox, link: Link, now: SystemTime) -> Result<(), Refusal> {
    let mut links = sandbox.inner.m2m.lock();
    let is_there = links.iter().any(|known| {
        known.application == link.application
            && known.reference_id == link.reference_id
            && known.expires_at > now
    });
    if is_there {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "ACTIVE_LINK_EXISTS",
            "there is an active link for this referenceId",
        ));
    }
    let texts = [&link.id, &link.application, &link.reference_id];
    let texts = texts.into_iter().chain(&link.callback_url);
    let bytes = texts.map(String::len).sum();
    links.push(link, bytes);
    Ok(())
}

fn refused(refusal: &Refusal) -> Response {
    let error = json!({ "code": refusal.code, "message": refusal.message });
    let body = json!({ "success": false, "error": error });
    let mut response = answer(refusal.status, &body);
    if let Some(seconds) = refusal.retry_after_seconds() {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
