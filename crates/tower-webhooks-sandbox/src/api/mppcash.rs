//! MPPCash: one call, which creates.
//!
//! # Calls
//!
//! | call | takes | answers |
//! |---|---|---|
//! | `POST /mppcash/v1/webhooks` | `url`, `events`, `low_balance_threshold_usdc` (optional number) | 201 with `secret` |
//!
//! # Documented
//!
//! The call, its members, `Authorization: Bearer KEY` and the answer's
//! `secret`, which the provider makes up. A `Content-Type` is not wanted: the
//! documents' own sample sends none. Source:
//! docs.mppcash.xyz/guides/webhooks.html, read 2026-11-22 from a stored copy.
//!
//! # Ours
//!
//! The status and the other members of the answer; which values are refused,
//! and in which form (`{"error":"…"}`); the retry schedule and the deadline.
//! There is no call to list, change or delete, and so none here.

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Caller, Refusal, fields::Fields, header_text, json as answer};
use crate::{Application, NewRegistration, Sandbox};

const NAME: &str = "mppcash";

pub(crate) fn application() -> Application {
    Application::new(NAME, "sandbox", "mpp_test_sandbox")
}

pub(crate) fn router() -> Router<Sandbox> {
    Router::new().route("/v1/webhooks", post(create))
}

async fn create(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    created(&sandbox, &headers, &body).unwrap_or_else(|refusal| refused(&refusal))
}

fn created(sandbox: &Sandbox, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    let bearer = header_text(headers, "authorization");
    let key = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let caller = Caller::admit(sandbox, NAME, key, None)?;
    let fields = Fields::read(body)?;
    let provider = sandbox
        .provider(NAME)
        .ok_or_else(|| Refusal::not_found("the sandbox has no MPPCash"))?;
    let threshold = fields.number("low_balance_threshold_usdc")?;
    let is_negative = |number: &serde_json::Number| number.as_f64().is_none_or(|value| value < 0.0);
    if threshold.as_ref().is_some_and(is_negative) {
        let message = "low_balance_threshold_usdc must not be negative";
        return Err(Refusal::invalid(message));
    }
    let url = fields.required_url("url")?;
    let new = NewRegistration {
        low_balance_threshold_usdc: threshold,
        ..NewRegistration::new(NAME, url).with_events(fields.events("events", &provider)?)
    };
    let made = sandbox.add(new, caller.application.name)?;
    let mut shown = json!({
        "id": made.id,
        "url": made.url,
        "events": made.events,
        "secret": made.secret(),
        "created_at": made.created_at,
    });
    if let (Some(threshold), Value::Object(members)) =
        (&made.low_balance_threshold_usdc, &mut shown)
    {
        let threshold = Value::Number(threshold.clone());
        members.insert("low_balance_threshold_usdc".to_owned(), threshold);
    }
    Ok(answer(StatusCode::CREATED, &shown))
}

fn refused(refusal: &Refusal) -> Response {
    answer(refusal.status, &json!({ "error": refusal.message }))
}
