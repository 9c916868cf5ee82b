//! CryptoMate: one URL and one key a company, and card payments to simulate.
//!
//! # Calls
//!
//! | call | key level | takes | answers |
//! |---|---|---|---|
//! | `POST /cryptomate/management/companies/webhook/subscribe` | 3 | `url`, `webhook_key` | 200, `name`, `email`, `webhook_url`, `webhook_key` |
//! | `POST /cryptomate/management/companies/webhook/key` | 3 | `key` | the same |
//! | `POST /cryptomate/cards/webhook/simulate/authorize` | 2 | `card_id`, `bill_amount` | 201, empty |
//! | `POST /cryptomate/cards/webhook/simulate/clearing` | 2 | `card_id` | 201, empty |
//! | `POST /cryptomate/cards/webhook/simulate/refund` | 2 | `card_id`, `bill_amount` | 201, empty |
//!
//! Levels are the grants `level:2` and `level:3`.
//!
//! # Documented
//!
//! The calls, their levels, what they take and answer; `X-API-KEY`; the errors
//! `VAL` and `NOT_FOUND`, `{"code","message"}`; that a new key signs from the
//! very next delivery; that clearing wants an authorization before it, and a
//! refund a clearing; that an authorization waits 1,200 ms for its decision,
//! that one that comes too late is a decline, and that a declined event follows
//! a decline. Sources: docs.cryptomate.me/api-reference and
//! /products/cards-configuration, read 2026-11-22 from stored copies.
//!
//! # Ours
//!
//! The statuses of errors (400, 401, 403 and 404); the one card that is known,
//! [`CARD`]; that `simulate/authorize` answers after the decision; that an
//! authorization is not sent again. The field names of a decision are not
//! visible: any member of the answer that is `"00"` approves. The retry
//! schedule and the deadline of other events. `Idempotency-Key` is ignored.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::{Router, body::Bytes, extract::State, response::Response, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_webhooks_core::providers::cryptomate::APPROVED;

use super::{Caller, Refusal, fields::Fields, header_text, json as answer};
use crate::{
    Application, Dispatch, NewRegistration, Outcome, Registration, Sandbox, State as How, Trigger,
    newest::Newest,
};

/// The card that is known: its approval method is `WEBHOOK`.
pub const CARD: &str = "aBcD1efGh2iJkL3mnOpQ4rStUvWxYz56";

const NAME: &str = "cryptomate";
const MANAGES: &str = "level:3";
const SIMULATES: &str = "level:2";

pub(crate) fn application() -> Application {
    Application::new(NAME, "sandbox", "cm_test_sandbox").with_grants([SIMULATES, MANAGES])
}

pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/management/companies/webhook/subscribe", post(subscribe))
        .route("/management/companies/webhook/key", post(set_key))
        .route("/cards/webhook/simulate/authorize", post(authorize))
        .route("/cards/webhook/simulate/clearing", post(clear))
        .route("/cards/webhook/simulate/refund", post(refund))
}

/// How many bytes of purchases are remembered; the oldest are forgotten first.
const MAX_PURCHASES_BYTES: usize = 1 << 20;

/// What was paid with the card, company by company.
#[derive(Debug)]
pub(crate) struct Till(Mutex<Newest<Purchase>>);

impl Default for Till {
    fn default() -> Self {
        Self(Mutex::new(Newest::new(MAX_PURCHASES_BYTES)))
    }
}

#[derive(Debug, Clone)]
struct Purchase {
    company: String,
    operation_id: String,
    bill_amount: Value,
    is_cleared: bool,
}

impl Till {
    fn lock(&self) -> MutexGuard<'_, Newest<Purchase>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn subscribe(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let subscribed = || {
        let caller = admit(&sandbox, &headers, MANAGES)?;
        let fields = Fields::read(&body)?;
        let url = fields.required_url("url")?;
        let key = fields.required_text("webhook_key")?.to_owned();
        let company = caller.application.name;
        if let Some(known) = change(&sandbox, &company, |known| {
            known.url.clone_from(&url);
            known.set_secret(key.clone());
        })? {
            return Ok(show(&known));
        }
        let new = NewRegistration::new(NAME, url).with_secret(key);
        Ok(show(&sandbox.add(new, company)?))
    };
    finish(subscribed())
}

async fn set_key(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let set = || {
        let caller = admit(&sandbox, &headers, MANAGES)?;
        let fields = Fields::read(&body)?;
        let key = fields.required_text("key")?.to_owned();
        let company = caller.application.name;
        let changed = change(&sandbox, &company, |known| known.set_secret(key))?;
        let missing = || Refusal::not_found("no URL is subscribed");
        Ok(show(&changed.ok_or_else(missing)?))
    };
    finish(set())
}

async fn authorize(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = || {
        let caller = admit(&sandbox, &headers, SIMULATES)?;
        let fields = Fields::read(&body)?;
        check_card(&fields)?;
        let purchase = Purchase {
            company: caller.application.name,
            operation_id: uuid::Uuid::new_v4().to_string(),
            bill_amount: amount(&fields)?,
            is_cleared: false,
        };
        let ids = send(&sandbox, &purchase, "cards.authorization.pending")?;
        Ok((purchase, ids))
    };
    let (purchase, ids) = match asked() {
        Ok(asked) => asked,
        Err(refusal) => return refused(&refusal),
    };
    let mut is_approved = false;
    for id in ids {
        let dispatch = sandbox.ended(&id).await;
        is_approved |= dispatch.is_some_and(|dispatch| approves(&dispatch));
    }
    if is_approved {
        let bytes = purchase.company.len() + purchase.operation_id.len();
        sandbox.inner.cryptomate.lock().push(purchase, bytes);
        return created();
    }
    finish(send(&sandbox, &purchase, "cards.declined.success").map(|_| created()))
}

async fn clear(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let cleared = || {
        let caller = admit(&sandbox, &headers, SIMULATES)?;
        let fields = Fields::read(&body)?;
        check_card(&fields)?;
        let company = &caller.application.name;
        let purchase = {
            let mut till = sandbox.inner.cryptomate.lock();
            let waiting = till
                .iter_mut()
                .rev()
                .find(|known| known.company == *company && !known.is_cleared)
                .ok_or_else(|| Refusal::not_found("there is no authorization to clear"))?;
            waiting.is_cleared = true;
            waiting.clone()
        };
        send(&sandbox, &purchase, "cards.clearing.success")?;
        Ok(created())
    };
    finish(cleared())
}

async fn refund(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let refunded = || {
        let caller = admit(&sandbox, &headers, SIMULATES)?;
        let fields = Fields::read(&body)?;
        check_card(&fields)?;
        let bill_amount = amount(&fields)?;
        let company = &caller.application.name;
        let latest = {
            let till = sandbox.inner.cryptomate.lock();
            let mut cleared = till.iter().rev();
            cleared
                .find(|known| known.company == *company && known.is_cleared)
                .cloned()
        };
        let latest = latest.ok_or_else(|| Refusal::not_found("there is no cleared transaction"))?;
        let purchase = Purchase {
            bill_amount,
            ..latest
        };
        send(&sandbox, &purchase, "cards.refund.success")?;
        Ok(created())
    };
    finish(refunded())
}

/// Sends the sample of an event, with the purchase's card, amount and id.
fn send(sandbox: &Sandbox, purchase: &Purchase, event_type: &str) -> Result<Vec<String>, Refusal> {
    let unfit = || Refusal::not_found(format!("the sandbox has no sample of {event_type}"));
    let provider = sandbox.provider(NAME).ok_or_else(unfit)?;
    let sample = provider
        .events()
        .find(event_type)
        .and_then(|event| event.sample.as_deref());
    let mut body: Value = sample
        .and_then(|sample| serde_json::from_str(sample).ok())
        .ok_or_else(unfit)?;
    if let Some(members) = body.as_object_mut() {
        members.insert(
            "operation_id".to_owned(),
            purchase.operation_id.as_str().into(),
        );
    }
    if let Some(data) = body.pointer_mut("/data").and_then(Value::as_object_mut) {
        data.insert("card_id".to_owned(), CARD.into());
        if data.contains_key("bill_amount") {
            data.insert("bill_amount".to_owned(), purchase.bill_amount.clone());
        }
    }
    let trigger = Trigger::new(NAME, event_type.to_owned())
        .with_body(body.to_string())
        .with_application(purchase.company.as_str())
        .same();
    sandbox
        .trigger(&trigger)
        .map_err(|error| Refusal::not_found(error.to_string()))
}

/// Whether any member of the answer is the code that approves.
fn approves(dispatch: &Dispatch) -> bool {
    if dispatch.state != How::Delivered {
        return false;
    }
    let Some(Outcome::Answered { body, .. }) =
        dispatch.attempts.last().map(|attempt| &attempt.outcome)
    else {
        return false;
    };
    let Ok(Value::Object(members)) = serde_json::from_str(body) else {
        return false;
    };
    members.values().any(|value| value == APPROVED)
}

fn check_card(fields: &Fields) -> Result<(), Refusal> {
    match fields.required_text("card_id")? {
        CARD => Ok(()),
        _ => Err(Refusal::invalid("Card not found")),
    }
}

fn amount(fields: &Fields) -> Result<Value, Refusal> {
    match fields.number("bill_amount")? {
        Some(amount) if amount.as_f64().is_some_and(|amount| amount > 0.0) => {
            Ok(Value::Number(amount))
        }
        Some(_) => Err(Refusal::invalid("bill_amount must be above 0")),
        None => Err(Refusal::invalid("bill_amount is required")),
    }
}

fn admit(sandbox: &Sandbox, headers: &HeaderMap, level: &str) -> Result<Caller, Refusal> {
    let caller = Caller::admit(sandbox, NAME, header_text(headers, "x-api-key"), None)?;
    // A higher level may what a lower one may.
    if !(level == SIMULATES && caller.application.may(MANAGES)) {
        caller.require(level)?;
    }
    Ok(caller)
}

/// Changes the company's one registration, if it has it.
fn change(
    sandbox: &Sandbox,
    company: &str,
    change: impl FnOnce(&mut Registration),
) -> Result<Option<Registration>, Refusal> {
    let now = sandbox.now_text();
    let changed = sandbox.inner.book.change(|list| {
        let mut list = list.iter_mut();
        let known = list.find(|known| known.belongs_to(NAME, company))?;
        change(known);
        known.updated_at = now;
        Some(known.clone())
    });
    Ok(changed?)
}

fn show(known: &Registration) -> Response {
    let shown = json!({
        "name": known.application,
        "email": format!("{}@sandbox.example", known.application),
        "webhook_url": known.url,
        "webhook_key": known.secret(),
    });
    answer(StatusCode::OK, &shown)
}

fn created() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn finish(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> Response {
    let code = match refusal.status {
        StatusCode::BAD_REQUEST => "VAL",
        _ => refusal.code,
    };
    let body = json!({ "code": code, "message": refusal.message });
    answer(refusal.status, &body)
}
