//! The providers' management APIs, one file each, with the same headings in
//! the same order: the calls, what is documented, and what is ours.
//!
//! Each is mounted under the provider's name: `/monterrey/v1/webhooks`. Every
//! one has an application with all grants, so that a sandbox can be used at
//! once; the keys open nothing but a sandbox:
//!
//! | provider | credentials |
//! |---|---|
//! | CryptoMate | `X-API-KEY: cm_test_sandbox` |
//! | Devdraft | `x-client-key: ck_test_sandbox`, `x-client-secret: cs_test_sandbox` |
//! | M2M | `X-API-Key: m2m_test_sandbox` |
//! | Monterrey | `X-API-Key: mk_test_sandbox` |
//! | MPPCash | `Authorization: Bearer mpp_test_sandbox` |

pub mod cryptomate;
pub mod devdraft;
mod fields;
pub mod m2m;
pub mod monterrey;
pub mod mppcash;

use std::{io, time::UNIX_EPOCH};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::{Application, Sandbox, limit::Standing};

/// One application for each provider that has a management API.
pub(crate) fn applications() -> Vec<Application> {
    vec![
        cryptomate::application(),
        devdraft::application(),
        m2m::application(),
        monterrey::application(),
        mppcash::application(),
    ]
}

/// All management APIs, each under its provider's name.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .nest("/cryptomate", cryptomate::router())
        .nest("/devdraft", devdraft::router())
        .nest("/m2m", m2m::router())
        .nest("/monterrey", monterrey::router())
        .nest("/mppcash", mppcash::router())
}

/// Why a call is refused, before its provider's words for it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    /// The provider's code, where it has codes.
    code: &'static str,
    message: String,
    standing: Option<Standing>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            standing: None,
        }
    }

    /// A field that is not as it must be.
    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// How long the caller has to wait, in whole seconds.
    fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.standing?.retry_after?;
        Some(
            wait.as_secs()
                .saturating_add(u64::from(wait.subsec_nanos() > 0)),
        )
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let message = format!("the sandbox cannot keep it: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }
}

/// Who calls.
#[derive(Debug)]
struct Caller {
    application: Application,
    standing: Option<Standing>,
}

impl Caller {
    /// The application with these credentials, unless it calls too often.
    fn admit(
        sandbox: &Sandbox,
        provider: &str,
        key: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Self, Refusal> {
        let unknown = || {
            Refusal::new(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "the API key is missing or wrong",
            )
        };
        let application = sandbox
            .inner
            .applications
            .iter()
            .filter(|known| known.provider == provider)
            .find(|known| Some(known.key.as_str()) == key && known.secret.as_deref() == secret)
            .cloned()
            .ok_or_else(unknown)?;
        let name = format!("{provider}/{}", application.name);
        let now = sandbox.inner.clock.now();
        let standing = sandbox.inner.limiter.take(&name, &application.limits, now);
        if standing.is_some_and(|standing| standing.retry_after.is_some()) {
            return Err(Refusal {
                standing,
                ..Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "too many requests",
                )
            });
        }
        Ok(Self {
            application,
            standing,
        })
    }

    fn require(&self, grant: &str) -> Result<(), Refusal> {
        if self.application.may(grant) {
            return Ok(());
        }
        let message = format!("the API key lacks {grant}");
        Err(Refusal::new(StatusCode::FORBIDDEN, "FORBIDDEN", message))
    }
}

/// A JSON answer.
fn json(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// Says how many requests are left: `X-RateLimit-*` as Monterrey and Devdraft
/// document them.
fn add_standing(response: &mut Response, standing: Option<Standing>) {
    let Some(standing) = standing else {
        return;
    };
    let resets_at = standing.resets_at.duration_since(UNIX_EPOCH);
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-ratelimit-limit", u64::from(standing.limit)),
        ("x-ratelimit-remaining", u64::from(standing.remaining)),
        ("x-ratelimit-reset", resets_at.unwrap_or_default().as_secs()),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// A header as text, if it is there once.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
