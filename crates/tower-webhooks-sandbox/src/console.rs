//! The sandbox's own calls, which no provider has: what a portal's page does,
//! and what a test wants to know.
//!
//! | call | takes | answers |
//! |---|---|---|
//! | `GET /_sandbox` | | the providers, with their schedules and whose they are |
//! | `GET /_sandbox/registrations` | | all of them, without their secrets |
//! | `POST /_sandbox/registrations` | `provider`, `url`, `events`, `secret`, `payload_secret`, `application` | 201, the registration with what its receiver is given: `secret`, and `payload_secret` where there is one |
//! | `DELETE /_sandbox/registrations/{id}` | | 204 |
//! | `POST /_sandbox/trigger` | `provider`, `event_type`, `data`, `body`, `application`, `link`, `same` | 202, `{"dispatches":["dsp_…"]}` |
//! | `GET /_sandbox/dispatches` | | all that are remembered |
//! | `GET /_sandbox/dispatches/{id}` | | one, with its attempts |
//! | `POST /_sandbox/dispatches/{id}/redeliver` | | the dispatch after one more attempt |
//!
//! Errors are `{"error":"…"}`. A body has to come as `application/json`, which
//! no page of another site can send without asking first; and no page of another
//! site is let in at all.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{NewRegistration, Registration, Sandbox, SandboxError, Schedule, Trigger};

pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/_sandbox", get(overview))
        .route("/_sandbox/registrations", get(registrations).post(register))
        .route("/_sandbox/registrations/{id}", delete(unregister))
        .route("/_sandbox/trigger", post(trigger))
        .route("/_sandbox/dispatches", get(dispatches))
        .route("/_sandbox/dispatches/{id}", get(dispatch))
        .route("/_sandbox/dispatches/{id}/redeliver", post(redeliver))
}

async fn overview(State(sandbox): State<Sandbox>) -> Json<Value> {
    let providers: Vec<Value> = sandbox
        .providers()
        .iter()
        .map(|provider| {
            let schedule = Schedule::of(provider);
            let delays: Vec<u64> = schedule.delays.iter().map(|wait| wait.as_secs()).collect();
            let events = provider.events().list.iter().map(|event| &event.name);
            json!({
                "name": provider.name(),
                "events": events.collect::<Vec<_>>(),
                "delays_seconds": delays,
                "delays_from": schedule.delays_from,
                "deadline_seconds": schedule.deadline.as_secs_f64(),
                "deadline_from": schedule.deadline_from,
            })
        })
        .collect();
    Json(json!({
        "time_scale": sandbox.inner.time_scale,
        "providers": providers,
    }))
}

async fn registrations(State(sandbox): State<Sandbox>) -> Json<Value> {
    let all = sandbox.registrations();
    Json(json!({ "registrations": all.iter().map(show).collect::<Vec<_>>() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    provider: String,
    url: String,
    events: Option<Vec<String>>,
    secret: Option<String>,
    payload_secret: Option<String>,
    application: Option<String>,
}

async fn register(State(sandbox): State<Sandbox>, Json(wanted): Json<Wanted>) -> Response {
    let mut new = NewRegistration::new(wanted.provider, wanted.url);
    new.events = wanted.events;
    new.secret = wanted.secret;
    new.payload_secret = wanted.payload_secret;
    new.application = wanted.application;
    match sandbox.register(new) {
        Ok(made) => {
            let mut shown = show(&made);
            if let Value::Object(members) = &mut shown {
                members.insert("secret".to_owned(), made.secret().into());
                if let Some(secret) = made.payload_secret() {
                    members.insert("payload_secret".to_owned(), secret.into());
                }
            }
            (StatusCode::CREATED, Json(shown)).into_response()
        }
        Err(error @ SandboxError::File(_)) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn unregister(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let change = |list: &mut Vec<Registration>| {
        let before = list.len();
        list.retain(|known| known.id != id);
        before != list.len()
    };
    match sandbox.inner.book.change(change) {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refused(StatusCode::NOT_FOUND, "there is no such registration"),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn trigger(State(sandbox): State<Sandbox>, Json(trigger): Json<Trigger>) -> Response {
    match sandbox.trigger(&trigger) {
        Ok(ids) => (StatusCode::ACCEPTED, Json(json!({ "dispatches": ids }))).into_response(),
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn dispatches(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(json!({ "dispatches": sandbox.dispatches() }))
}

async fn dispatch(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    found(sandbox.find_dispatch(&id))
}

async fn redeliver(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    found(sandbox.redeliver(&id).await)
}

fn found(dispatch: Option<crate::Dispatch>) -> Response {
    match dispatch {
        Some(dispatch) => Json(dispatch).into_response(),
        None => refused(StatusCode::NOT_FOUND, "there is no such dispatch"),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn show(known: &Registration) -> Value {
    json!({
        "id": known.id,
        "provider": known.provider,
        "application": known.application,
        "url": known.url,
        "events": known.events,
        "name": known.name,
        "is_active": known.is_active,
        "is_encrypted": known.is_encrypted,
        "created_at": known.created_at,
        "updated_at": known.updated_at,
    })
}
