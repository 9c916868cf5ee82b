//! Monterrey: create, list, delete.
//!
//! # Calls
//!
//! | call | permission | takes | answers |
//! |---|---|---|---|
//! | `POST /monterrey/v1/webhooks` | `webhooks:write` | `url`, `events`, `secret` | 201, the endpoint |
//! | `GET /monterrey/v1/webhooks` | `webhooks:read` | | 200, `{"data":[…]}` |
//! | `DELETE /monterrey/v1/webhooks/{id}` | `webhooks:write` | | 204 |
//!
//! # Documented
//!
//! The calls and what they take; `X-API-Key`; the permissions; the form of
//! errors, `{"error":{"code","message"}}`; 100 requests a minute and 1,000 an
//! hour for each key, with `X-RateLimit-Limit`, `-Remaining` and `-Reset`; five
//! retries, after which a delivery is marked as failed. Sources:
//! monterrey.app/en/docs/api/webhooks and /api/authentication, read 2026-11-22
//! from stored copies.
//!
//! # Ours
//!
//! The answers' bodies; every error but 401; that a secret may be left out,
//! and is then made up and shown once; that a URL may be `http`, where the
//! documents want HTTPS, since a desk has no certificates. The documents list
//! five retries and say "5 attempts": read as one delivery and five retries.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{delete, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Caller, Refusal, add_standing, fields::Fields, header_text, json as answer};
use crate::{Application, Limit, NewRegistration, Registration, Sandbox};

const NAME: &str = "monterrey";
const READ: &str = "webhooks:read";
const WRITE: &str = "webhooks:write";

pub(crate) fn application() -> Application {
    Application::new(NAME, "sandbox", "mk_test_sandbox")
        .with_grants([READ, WRITE])
        .with_limits([Limit::a_minute(100), Limit::an_hour(1_000)])
}

pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/v1/webhooks", post(create).get(list))
        .route("/v1/webhooks/{id}", delete(remove))
}

async fn create(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    run(&sandbox, &headers, WRITE, |caller| {
        let provider = sandbox
            .provider(NAME)
            .ok_or_else(|| Refusal::not_found("the sandbox has no Monterrey"))?;
        let fields = Fields::read(&body)?;
        let url = fields.required_url("url")?;
        let events = fields.events("events", &provider)?;
        let mut new = NewRegistration::new(NAME, url).with_events(events);
        let is_made_up = !fields.has("secret");
        if !is_made_up {
            new = new.with_secret(fields.required_text("secret")?);
        }
        let made = sandbox.add(new, caller.application.name.clone())?;
        let mut shown = show(&made);
        if let (true, Value::Object(members)) = (is_made_up, &mut shown) {
            members.insert("secret".to_owned(), made.secret().into());
        }
        Ok(answer(StatusCode::CREATED, &shown))
    })
}

async fn list(State(sandbox): State<Sandbox>, headers: HeaderMap) -> Response {
    run(&sandbox, &headers, READ, |caller| {
        let all = sandbox.registrations();
        let own = all
            .iter()
            .filter(|known| known.belongs_to(NAME, &caller.application.name));
        let data: Vec<Value> = own.map(show).collect();
        Ok(answer(StatusCode::OK, &json!({ "data": data })))
    })
}

async fn remove(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    run(&sandbox, &headers, WRITE, |caller| {
        let is_it = |known: &Registration| {
            known.id == id && known.belongs_to(NAME, &caller.application.name)
        };
        let had = sandbox.inner.book.change(|list| {
            let before = list.len();
            list.retain(|known| !is_it(known));
            before != list.len()
        })?;
        if had {
            Ok(StatusCode::NO_CONTENT.into_response())
        } else {
            Err(Refusal::not_found("there is no such webhook"))
        }
    })
}

/// Admits the caller, does what is asked, and says what went wrong in the
/// provider's form.
fn run(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    grant: &str,
    call: impl FnOnce(&Caller) -> Result<Response, Refusal>,
) -> Response {
    let caller = match Caller::admit(sandbox, NAME, header_text(headers, "x-api-key"), None) {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    let mut response = caller
        .require(grant)
        .and_then(|()| call(&caller))
        .unwrap_or_else(|refusal| refused(&refusal));
    add_standing(&mut response, caller.standing);
    response
}

fn refused(refusal: &Refusal) -> Response {
    let error = json!({ "code": refusal.code, "message": refusal.message });
    let mut response = answer(refusal.status, &json!({ "error": error }));
    add_standing(&mut response, refusal.standing);
    if let Some(seconds) = refusal.retry_after_seconds() {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn show(registration: &Registration) -> Value {
    json!({
        "id": registration.id,
        "url": registration.url,
        "events": registration.events,
        "createdAt": registration.created_at,
    })
}
