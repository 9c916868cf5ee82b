//! What `axum::serve` lacks in front of the internet. Feature `serve`.
//!
//! [`Server`] accepts connections for an axum app, within limits, and stops
//! without losing what it acknowledged. [`health`] answers the probes of an
//! orchestrator, and [`print_handled`] tells a script what was handled. With the
//! feature `prometheus`, the function of that name shows the metrics.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use axum::Router;
//! use tokio::net::TcpListener;
//! use tower_webhooks::{
//!     Endpoint, EventRouter, Job, MemoryInbox, Secrets, Webhooks, providers,
//!     serve::{Server, health, print_handled},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let events = EventRouter::new().on("payment.*", |job: Job| async move {
//!     println!("{} moved on", job.event_id());
//! });
//! let shop = Endpoint::new("shop", providers::monterrey(), Secrets::new("whsec_of_the_shop")?);
//! let webhooks = Webhooks::builder()
//!     .on_done(print_handled)
//!     .start(MemoryInbox::new(), [shop.events(events)])
//!     .await?;
//! let app = Router::new().route_service("/webhooks/monterrey", webhooks.endpoint("shop")?);
//!
//! let webhooks = Arc::new(webhooks);
//! let app = app.merge(health(&webhooks));
//! let server = Server::new(TcpListener::bind("127.0.0.1:0").await?);
//! let until = tokio::time::sleep(Duration::from_millis(10)); // `serve` waits for a signal
//! let report = server.serve_until(app, webhooks, until).await;
//! assert_eq!(report.dropped, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | a request's header, from the first moment or from the answer before it | 10 s | the connection is closed: this also ends idle ones |
//! | bytes of a request's header | 32 KiB are taken, 64 KiB never | 431 |
//! | connections | 1,024 | they wait unaccepted, in the system's queue |
//!
//! The body's time and size are the layer's matter. Limits per client belong
//! in the proxy in front: it sees the clients, and this server sees the proxy.
//!
//! It speaks HTTP/1 without TLS: webhooks gain nothing from HTTP/2, whose
//! streams and resets are one more way to make a server work for nothing. A
//! proxy terminates TLS.
//!
//! # Stopping
//!
//! On SIGTERM or SIGINT new deliveries are refused with 503 and `/readyz`
//! turns, while the server still answers; connections that are open finish
//! what they began; then the receiver is drained. All of it takes the grace of
//! 20 s at the most, of which connections get half.

mod connections;
mod handled;
mod health;
#[cfg(feature = "prometheus")]
mod prometheus;
mod server;
mod signal;

pub use handled::print_handled;
pub use health::health;
#[cfg(feature = "prometheus")]
pub use prometheus::{RecorderError, prometheus};
pub use server::Server;
