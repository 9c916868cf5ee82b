//! Receive webhooks with axum and tower.

extern crate self as tower_webhooks;

mod ack;
mod answer;
mod endpoint;
mod extract;
#[cfg(test)]
mod fixtures;
mod job;
pub mod layer;
mod outcome;
mod retry;
pub mod router;
mod source;
pub mod testing;
mod webhooks;
pub mod worker;

pub use ack::ack;
pub use endpoint::Endpoint;
pub use extract::{Event, EventRejection, FromJob};
pub use job::{Attempt, Job};
pub use layer::{EndpointService, WebhookLayer, WebhookService};
pub use outcome::{Completion, HandlerError, IntoOutcome, Outcome};
pub use retry::Retry;
pub use router::{
    event_router::EventRouter,
    handler::Handler,
    reply::{Decide, IntoReply},
};
pub use source::{SecretSource, Tenant};
pub use tower_webhooks_core::{
    Algorithm, AlsoSent, Answer, Answers, Clock, Delivery, Encoding, Envelope, EventHead,
    EventInfo, EventType, Events, Head, HmacScheme, KeyEncoding, KeyForm, Layout, Locator,
    LocatorPart, ManualClock, Part, Place, Prefix, Provider, ProviderError, Rejection,
    RejectionKind, ReplyRule, Resigned, Retries, Scheme, Secret, SecretError, SecretErrorKind,
    Secrets, SentValue, SetupError, SignError, SignedTimestamp, Signer, SystemClock, Text,
    TimeUnit, TimestampPlace, TokenScheme, Unusable, Verifier, providers,
};
pub use tower_webhooks_inbox::{Inbox, MemoryInbox, Reply, conformance};
pub use tower_webhooks_macros::EventType;
pub use webhooks::{StartError, UnknownEndpoint, Webhooks, WebhooksBuilder};
pub use worker::{DeadJob, DoneJob, DrainReport, Worker};
