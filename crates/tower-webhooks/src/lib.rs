//! Receive webhooks with axum and tower.
//!
//! A [`WebhookLayer`] lets only authentic deliveries in, an [`Inbox`] keeps
//! them from the 200 on, and an [`EventRouter`] runs typed async handlers for
//! them, each with its own retries. [`Webhooks`] is the three together:
//!
//! ```
//! use axum::{Router, routing::{get, post}};
//! use tower_webhooks::{
//!     Endpoint, Event, EventRouter, EventType, HandlerError, MemoryInbox, Secrets, Webhooks, ack,
//!     providers,
//! };
//!
//! #[derive(serde::Deserialize, EventType)]
//! #[event("transfer.settled")]
//! struct Settled { transfer_id: String }
//!
//! async fn settled(event: Event<Settled>) -> Result<(), HandlerError> {
//!     println!("{} settled ({})", event.data.transfer_id, event.id());
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let events = EventRouter::new().on_event(settled);
//! let secrets = Secrets::new("from-the-environment-rather")?;
//! let webhooks = Webhooks::start(
//!     MemoryInbox::new(),
//!     [Endpoint::new("mppcash", providers::mppcash(), secrets).events(events)],
//! )
//! .await?;
//!
//! let app: Router = Router::new()
//!     .route("/mppcash/events", post(ack).layer(webhooks.layer("mppcash")?))
//!     .route("/healthz", get(|| async { "ok" }));
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to read on
//!
//! * [`layer`]: what is refused, in which order, and what answer leaves when.
//! * [`router`]: which handlers run, what they take and what they return.
//! * [`worker`]: retries, time-outs, dead letters, metrics.
//! * [`providers`]: the presets; [`guide::own_provider`] for one that has none,
//!   and [`provider`] for the parts of its description.
//! * [`testing`]: signed requests, a clock turned by hand, jobs for a handler
//!   alone.
//! * [`guide`]: invalid signatures, tunnels, proxies, tenants, handshakes, rotation.
//!
//! # Features
//!
//! Each brings a dependency and changes no default. A set-up that lacks one says which.
//!
//! | feature | what it is for |
//! |---|---|
//! | `sqlite` (default) | `SqliteInbox`, the embedded inbox |
//! | `postgres` | `PostgresInbox`, the shared inbox |
//! | `sqlx` | that inbox over a pool of sqlx's |
//! | `serve` | a server with the limits that `axum::serve` lacks |
//! | `prometheus` | a route that shows the metrics |
//! | `ed25519` | Ed25519 signatures: Discord, Standard Webhooks with a public key |
//! | `ecdsa` | ECDSA P-256 signatures: SendGrid |
//! | `rsa` | RSA signatures: WeChat Pay |
//! | `encryption` | encrypted payloads and handshakes: Lark, WeChat Pay, Devdraft in a form of ours |
//! | `explain` | why a signature fails, for tests: [`guide::invalid_signature`] |
//! | `inflate` | bodies in gzip or deflate, where the provider declares them |

extern crate self as tower_webhooks;

mod ack;
mod answer;
mod endpoint;
mod extract;
#[cfg(test)]
mod fixtures;
pub mod guide;
mod job;
pub mod layer;
mod outcome;
mod place;
mod pruning;
mod retry;
mod role;
pub mod router;
#[cfg(feature = "serve")]
pub mod serve;
mod source;
pub mod testing;
mod transaction;
mod webhooks;
pub mod worker;

pub use ack::ack;
pub use endpoint::Endpoint;
pub use extract::{Event, EventRejection, FromJob};
pub use job::{Attempt, Job, Lease};
pub use layer::{
    endpoint_service::EndpointService, service::WebhookService, webhook_layer::WebhookLayer,
};
pub use outcome::{Completion, HandlerError, IntoOutcome, Outcome};
pub use place::{InboxPlace, PlaceError};
pub use retry::Retry;
pub use role::{Role, UnknownRole};
pub use router::{
    event_router::EventRouter,
    handler::Handler,
    reply::{Decide, IntoReply},
};
pub use source::{SecretSource, Tenant};
pub use tower_webhooks_core::{
    Amount, AmountError, Clock, Delivery, EventHead, EventType, Head, Item, MAX_SECRETS,
    ManualClock, Provider, Rejection, RejectionKind, Restored, Screened, Secret, SecretError,
    SecretErrorKind, Secrets, SetupError, SignError, Signer, SystemClock, Text, Unusable, Verifier,
    provider, providers,
};
pub use tower_webhooks_inbox::{self as inbox, Inbox, MemoryInbox, Reply};
pub use tower_webhooks_macros::EventType;
#[cfg(feature = "postgres")]
pub use tower_webhooks_postgres::{self as postgres, PostgresInbox};
#[cfg(feature = "sqlite")]
pub use tower_webhooks_sqlite::{self as sqlite, SqliteInbox};
pub use webhooks::{StartError, UnknownEndpoint, Webhooks, WebhooksBuilder};
pub use worker::{
    builder::Worker,
    handle::DrainReport,
    hooks::{DeadJob, DoneJob},
};
