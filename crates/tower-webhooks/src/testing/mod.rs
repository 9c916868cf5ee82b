//! Tests of your own app: signed requests, a clock turned by hand, and a way
//! to wait until a handler has run. [`TestJob`] is for a handler alone. With the
//! feature `explain` a failed test says why a signature does not match:
//! [`guide::invalid_signature`](crate::guide::invalid_signature).
//!
//! ```
//! use std::time::Duration;
//! use axum::Router;
//! use http::StatusCode;
//! use tower::ServiceExt as _;
//! use tower_webhooks::{
//!     Endpoint, Event, EventRouter, ManualClock, MemoryInbox, Secrets, Webhooks, providers,
//!     testing::{Runs, Sender},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::at(std::time::SystemTime::now());
//! let runs = Runs::new();
//! let events = EventRouter::new().on("operation.created", |_: Event<serde_json::Value>| async {});
//! let webhooks = runs
//!     .watch(Webhooks::builder().with_clock(clock.clone()))
//!     .start(MemoryInbox::new(), [
//!         Endpoint::new("m2m", providers::m2m(), Secrets::new("a-shared-secret")?).events(events),
//!     ])
//!     .await?;
//! let app: Router = Router::new().route_service("/hooks", webhooks.endpoint("m2m")?);
//!
//! // A signed request in two lines, and the handler has run.
//! let sender = Sender::new(providers::m2m(), "a-shared-secret")?.to("/hooks").at(&clock);
//! let request = sender.request(r#"{"event":"operation.created","data":{}}"#)?;
//! assert_eq!(app.clone().oneshot(request).await?.status(), StatusCode::OK);
//! let run = runs.next().await;
//! assert_eq!((run.handler.as_str(), run.attempt), ("operation.created", 1));
//!
//! // The same, five minutes and a second too late.
//! let late = sender.request(r#"{"event":"operation.created","data":{}}"#)?;
//! clock.advance(Duration::from_secs(301));
//! assert_eq!(app.oneshot(late).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "explain")]
mod explain;
mod job;
mod runs;
mod sender;

#[cfg(feature = "explain")]
pub use explain::{assert_verifies, explain};
pub use job::TestJob;
pub use runs::{Run, Runs};
pub use sender::Sender;
#[cfg(feature = "explain")]
pub use tower_webhooks_core::explain::{
    Cause, Confidence, Explainer, Explanation, Finding, Subject, Tried,
};
