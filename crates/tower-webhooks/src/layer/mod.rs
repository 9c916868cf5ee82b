//! The tower layer: lets only authentic deliveries in, and answers only what
//! is durable.
//!
//! * [`WebhookLayer`](crate::WebhookLayer) goes around an axum route or any other tower service.
//!   The inner service sees the verified request, with the
//!   [`Delivery`](crate::Delivery) in its extensions, and proposes the answer.
//!   A 2xx is released only after the event is stored; anything else is passed
//!   on, and nothing is stored.
//! * [`EndpointService`](crate::EndpointService) is the same without an inner service: it answers what
//!   the provider's preset says.
//! * [`WebhookLayer::verify`](crate::WebhookLayer::verify) only verifies.
//!
//! A request by which the provider makes sure that the receiver is there, a
//! handshake, is answered here in either form: the inner service does not see
//! it, and nothing is stored.
//!
//! The order of the checks is fixed, cheapest first: method; signature header
//! and timestamp; tenant; framing and declared size; then the body, frame by
//! frame; then the signature. What is refused before the body leaves the body
//! unread.
//!
//! A body that came compressed is inflated after its signature was checked, or before
//! where the provider signs the plain one: within a limit in either case. What is
//! stored, and what the inner service sees, are the bytes as they came. Where a delivery
//! holds several events, the inner service sees the whole, and each event is stored by
//! itself. See [payloads](crate::guide::payloads).
//!
//! `Router::layer` guards every path and the fallback of that router; put the
//! layer on the one route (`post(ack).layer(…)`) unless that is meant.
//!
//! ```
//! use axum::{Router, body::Body, routing::post};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt as _;
//! use tower_webhooks::{Delivery, Secrets, WebhookLayer, providers, testing};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verify = WebhookLayer::verify(providers::mppcash(), Secrets::new("a-shared-secret")?)?;
//! let app: Router = Router::new().route(
//!     "/mppcash/events",
//!     post(|axum::Extension(delivery): axum::Extension<Delivery>| async move {
//!         delivery.event().map(|event| event.event_type().to_string()).unwrap_or_default()
//!     })
//!     .layer(verify),
//! );
//!
//! let signed = testing::Sender::new(providers::mppcash(), "a-shared-secret")?
//!     .to("/mppcash/events")
//!     .request(r#"{"type":"transfer.settled","data":{}}"#)?;
//! assert_eq!(app.clone().oneshot(signed).await?.status(), StatusCode::OK);
//!
//! let unsigned = Request::post("/mppcash/events").body(Body::from("{}"))?;
//! assert_eq!(app.oneshot(unsigned).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```

pub(crate) mod budget;
mod decide;
pub(crate) mod endpoint_service;
mod future;
pub(crate) mod gate;
pub(crate) mod intake;
pub(crate) mod keys;
pub(crate) mod meter;
mod receive;
pub(crate) mod service;
pub(crate) mod webhook_layer;

pub use endpoint_service::EndpointFuture;
pub use future::ResponseFuture;
