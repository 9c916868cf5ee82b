//! Devdraft: create, list, get, change, delete.
//!
//! # Calls
//!
//! | call | scope | takes | answers |
//! |---|---|---|---|
//! | `POST /devdraft/api/v0/webhooks` | `webhook:create` | `name`, `url`, `isActive`, `signing_secret`, `encrypted` | 201, the webhook |
//! | `GET /devdraft/api/v0/webhooks` | `webhook:read` | `skip`, `take` | 200, a list |
//! | the same | the same | `page`, `limit`, `active` | 200, `{"data":[…]}` with secrets |
//! | `GET /devdraft/api/v0/webhooks/{id}` | `webhook:read` | `include_events`, `events_limit` | 200, the webhook with its secret |
//! | `PATCH /devdraft/api/v0/webhooks/{id}` | `webhook:update` | what create takes | 200, the webhook |
//! | `DELETE /devdraft/api/v0/webhooks/{id}` | `webhook:delete` | | 204 |
//!
//! # Documented
//!
//! The calls, what they take and answer, and the scopes but for changing;
//! `x-client-key` and `x-client-secret`; names of 3 to 100 characters, a valid
//! URL, secrets of `^[a-zA-Z0-9_\-]{32,}$`, booleans; a secret that is made up
//! where none is given; that an application sees its own alone; the form of
//! errors, and the words for a URL that is none and for a webhook that is not
//! there; `success_rate` beside the other figures in the second form of a list,
//! and `average_response_time`, `last_24h_events` and `last_24h_failures` too
//! where one is got; a `take` that is positive; 1,000 requests an hour in
//! production and 100 in development, 429 with `Retry-After`; that an inactive
//! webhook gets nothing. Sources: docs.devdraft.ai/developers/webhooks,
//! /guide/webhooks and /developers/home/rate-limiting, read 2026-11-22 from
//! stored copies.
//!
//! # Ours
//!
//! The scope of changing; the other words of errors; which of three documented
//! answers deleting has (204). Deleting lists a 409 and never says when, and that
//! it interrupts deliveries that are pending: it is not refused then, and nothing
//! here answers 409. The pages' other limit of 100 a minute, which is left out;
//! the retry schedule and the deadline. Rates and averages are counted from what
//! the sandbox remembers: the rate in percent of those that ended, to a tenth as
//! in the sample, the average in milliseconds over the attempts that were
//! answered, and `null` where none was; an event counts for the day after its last
//! attempt.
//!
//! Where `encrypted` is true, bodies are sealed in the form of
//! [`providers::devdraft_encrypted`], since the documented "AES-256" says no more.
//! Their secret is made up, and stands as `encryption_secret` where the documents
//! show `signing_secret`. It stays when encryption is turned off and on again.
//! This needs the feature `encryption`: without it each attempt says so, and
//! nothing is sent in clear.

mod show;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_webhooks_core::{Provider, providers};

use self::show::{show, show_event, show_listed, show_whole};
use super::{Caller, Refusal, add_standing, fields::Fields, header_text, json as answer};
use crate::{Application, Limit, NewRegistration, Registration, Sandbox, text::new_random};

const NAME: &str = "devdraft";
/// Marks a refusal of a URL, which has words of its own.
const NO_URL: &str = "NO_URL";
const CREATE: &str = "webhook:create";
const DELETE: &str = "webhook:delete";
const READ: &str = "webhook:read";
const UPDATE: &str = "webhook:update";

pub(crate) fn application() -> Application {
    Application::new(NAME, "sandbox", "ck_test_sandbox")
        .with_secret("cs_test_sandbox")
        .with_grants([CREATE, DELETE, READ, UPDATE])
        // A sandbox is no production.
        .with_limits([Limit::an_hour(100)])
}

pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/api/v0/webhooks", post(create).get(list))
        .route(
            "/api/v0/webhooks/{id}",
            get(fetch).patch(update).delete(remove),
        )
}

async fn create(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    run(&sandbox, &headers, CREATE, |caller| {
        let fields = Fields::read(&body)?;
        fields.required_text("name")?;
        let missing = || Refusal::invalid("url is required");
        let url = read_url(&fields)?.ok_or_else(missing)?;
        let changes = Changes::read(&fields)?;
        let mut new = NewRegistration::new(NAME, url);
        new.name = changes.name;
        new.secret = changes.secret;
        new.is_active = changes.is_active.unwrap_or(true);
        new.is_encrypted = changes.is_encrypted.unwrap_or(false);
        if new.is_encrypted {
            new.payload_secret = new_payload_secret(&sandbox);
        }
        let made = sandbox.add(new, caller.application.name.clone())?;
        let shown = show(&made, &sandbox.dispatches());
        Ok(answer(StatusCode::CREATED, &Value::Object(shown)))
    })
}

/// Both documented forms of paging. Text, so that what is no number is
/// refused in the provider's form.
#[derive(Debug, Deserialize)]
struct Paging {
    skip: Option<String>,
    take: Option<String>,
    page: Option<String>,
    limit: Option<String>,
    active: Option<String>,
}

async fn list(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Response {
    run(&sandbox, &headers, READ, |caller| {
        let Query(paging) = paging.map_err(unreadable)?;
        let own = sandbox
            .registrations()
            .into_iter()
            .filter(|known| known.belongs_to(NAME, &caller.application.name));
        let sent = sandbox.dispatches();
        if paging.page.is_none() && paging.limit.is_none() && paging.active.is_none() {
            let skip = whole("skip", paging.skip.as_deref(), 0, 0..=usize::MAX)?;
            let take = whole("take", paging.take.as_deref(), 10, 1..=usize::MAX)?;
            let shown: Vec<Value> = own
                .skip(skip)
                .take(take)
                .map(|known| Value::Object(show(&known, &sent)))
                .collect();
            return Ok(answer(StatusCode::OK, &shown.into()));
        }
        let page = whole("page", paging.page.as_deref(), 1, 1..=usize::MAX)?;
        let limit = whole("limit", paging.limit.as_deref(), 20, 1..=100)?;
        let active = flag("active", paging.active.as_deref())?;
        let shown: Vec<Value> = own
            .filter(|known| active.is_none_or(|active| known.is_active == active))
            .skip(page.saturating_sub(1).saturating_mul(limit))
            .take(limit)
            .map(|known| Value::Object(show_listed(&known, &sent)))
            .collect();
        Ok(answer(StatusCode::OK, &json!({ "data": shown })))
    })
}

#[derive(Debug, Deserialize)]
struct Including {
    include_events: Option<String>,
    events_limit: Option<String>,
}

async fn fetch(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
    including: Result<Query<Including>, QueryRejection>,
) -> Response {
    run(&sandbox, &headers, READ, |caller| {
        let Query(including) = including.map_err(unreadable)?;
        let include = flag("include_events", including.include_events.as_deref())?;
        let limit = whole(
            "events_limit",
            including.events_limit.as_deref(),
            10,
            1..=50,
        )?;
        let known = find(&sandbox, caller, &id)?;
        let sent = sandbox.dispatches();
        let mut shown = show_whole(&known, &sent, sandbox.inner.clock.now());
        if include == Some(true) {
            let own = sent.iter().rev().filter(|one| one.registration == id);
            let recent: Vec<Value> = own.take(limit).map(show_event).collect();
            shown.insert("recent_events".to_owned(), recent.into());
        }
        Ok(answer(StatusCode::OK, &Value::Object(shown)))
    })
}

async fn update(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    run(&sandbox, &headers, UPDATE, |caller| {
        find(&sandbox, caller, &id)?;
        let fields = Fields::read(&body)?;
        let changes = Changes::read(&fields)?;
        let url = read_url(&fields)?;
        let now = sandbox.now_text();
        let payload_secret = new_payload_secret(&sandbox);
        let changed = sandbox.inner.book.change(|list| {
            let known = list.iter_mut().find(|known| known.id == id)?;
            changes.apply(known);
            if known.is_encrypted && known.payload_secret().is_none() {
                known.set_payload_secret(payload_secret);
            }
            if let Some(url) = url {
                known.url = url;
            }
            known.updated_at = now;
            Some(known.clone())
        })?;
        let changed = changed.ok_or_else(|| gone(&id))?;
        let shown = show(&changed, &sandbox.dispatches());
        Ok(answer(StatusCode::OK, &Value::Object(shown)))
    })
}

async fn remove(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    run(&sandbox, &headers, DELETE, |caller| {
        find(&sandbox, caller, &id)?;
        let change = |list: &mut Vec<Registration>| list.retain(|known| known.id != id);
        sandbox.inner.book.change(change)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

/// The description as it seals bodies. A form of the user's own stays.
pub(crate) fn sealing(provider: &Provider) -> Provider {
    let ours = providers::devdraft_encrypted();
    match (provider.encryption(), ours.encryption()) {
        (None, Some(form)) => provider.clone().with_encryption(form.clone()),
        _ => provider.clone(),
    }
}

fn new_payload_secret(sandbox: &Sandbox) -> Option<String> {
    let provider = sealing(&*sandbox.provider(NAME)?);
    let form = provider.encryption()?;
    Some(form.new_secret(&new_random()).to_string())
}

/// What create and change have in common.
struct Changes {
    name: Option<String>,
    secret: Option<String>,
    is_active: Option<bool>,
    is_encrypted: Option<bool>,
}

impl Changes {
    fn read(fields: &Fields) -> Result<Self, Refusal> {
        let name = fields.text("name")?;
        if name.is_some_and(|name| !(3..=100).contains(&name.chars().count())) {
            return Err(Refusal::invalid("name must have 3 to 100 characters"));
        }
        let secret = fields.text("signing_secret")?;
        if secret.is_some_and(|secret| !is_secret(secret)) {
            return Err(Refusal::invalid(
                "signing_secret must have 32 or more letters, digits, _ and -",
            ));
        }
        Ok(Self {
            name: name.map(str::to_owned),
            secret: secret.map(str::to_owned),
            is_active: fields.boolean("isActive")?,
            is_encrypted: fields.boolean("encrypted")?,
        })
    }

    fn apply(self, known: &mut Registration) {
        if let Some(name) = self.name {
            known.name = Some(name);
        }
        if let Some(secret) = self.secret {
            known.set_secret(secret);
        }
        known.is_active = self.is_active.unwrap_or(known.is_active);
        known.is_encrypted = self.is_encrypted.unwrap_or(known.is_encrypted);
    }
}

/// `^[a-zA-Z0-9_\-]{32,}$`.
fn is_secret(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.len() >= 32 && text.bytes().all(is_allowed)
}

/// Another application's is as unknown as one that never was.
fn find(sandbox: &Sandbox, caller: &Caller, id: &str) -> Result<Registration, Refusal> {
    let known = sandbox.inner.book.find(id);
    known
        .filter(|known| known.belongs_to(NAME, &caller.application.name))
        .ok_or_else(|| gone(id))
}

fn gone(id: &str) -> Refusal {
    Refusal::not_found(format!("No webhook found with ID: {id}"))
}

fn read_url(fields: &Fields) -> Result<Option<String>, Refusal> {
    let url = fields.url("url");
    url.map_err(|refusal| refusal.with_code(NO_URL))
}

/// A parameter that is there twice, too.
fn unreadable(_: QueryRejection) -> Refusal {
    Refusal::invalid("the query cannot be read")
}

fn whole(
    name: &str,
    text: Option<&str>,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, Refusal> {
    let Some(text) = text else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| Refusal::invalid(format!("{name} is not a number in its range")))
}

fn flag(name: &str, text: Option<&str>) -> Result<Option<bool>, Refusal> {
    let Some(text) = text else {
        return Ok(None);
    };
    let wrong = |_| Refusal::invalid(format!("{name} must be true or false"));
    text.parse().map(Some).map_err(wrong)
}

/// Admits the caller, does what is asked, and says what went wrong in the
/// provider's form.
fn run(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    scope: &str,
    call: impl FnOnce(&Caller) -> Result<Response, Refusal>,
) -> Response {
    let key = header_text(headers, "x-client-key");
    let secret = header_text(headers, "x-client-secret");
    let caller = match Caller::admit(sandbox, NAME, key, secret) {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    let mut response = caller
        .require(scope)
        .and_then(|()| call(&caller))
        .unwrap_or_else(|refusal| refused(&refusal));
    add_standing(&mut response, caller.standing);
    response
}

fn refused(refusal: &Refusal) -> Response {
    let status = refusal.status;
    let reason = status.canonical_reason().unwrap_or_default();
    if let Some(seconds) = refusal.retry_after_seconds() {
        let body = json!({
            "statusCode": status.as_u16(),
            "message": refusal.message,
            "retryAfter": seconds,
        });
        let mut response = answer(status, &body);
        add_standing(&mut response, refusal.standing);
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        return response;
    }
    let said = refusal.message.as_str();
    let (message, details) = match (status, refusal.code) {
        (_, NO_URL) => ("Invalid webhook URL format", said),
        (StatusCode::BAD_REQUEST, _) => ("Validation failed", said),
        (StatusCode::NOT_FOUND, _) => ("Webhook not found", said),
        (_, code) => (said, code),
    };
    let body = json!({
        "statusCode": status.as_u16(),
        "message": message,
        "error": reason,
        "details": details,
    });
    answer(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_32_characters_of_its_alphabet() {
        for (secret, expected) in [
            ("a".repeat(31), false),
            ("a".repeat(32), true),
            (format!("{}_-Z9", "a".repeat(28)), true),
            (format!("{}.", "a".repeat(32)), false),
            (format!("{}é", "a".repeat(32)), false),
            (String::new(), false),
        ] {
            assert_eq!(is_secret(&secret), expected, "{secret}");
        }
    }
}
