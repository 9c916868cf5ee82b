//! Receives Devdraft webhooks: follows a payment from pending to completed,
//! failed or refunded.
//!
//! Devdraft does not publish the signature's header and form, the envelope, or
//! the payloads: see [`devdraft`](mod@tower_webhooks::providers::devdraft) for
//! the defaults that stand in for them, and compare them with a real delivery.
//! The header's name is a setting here, and the payload stays as it came.
//!
//! What happens then goes through [`Payments`]: put your own in the place of
//! [`Logged`].

use std::sync::Arc;

use axum::{Router, extract::State};
use http::HeaderName;
use tower_webhooks::{
    Endpoint, Event, EventRouter, HandlerError, Inbox, Provider, Secrets, Webhooks,
    WebhooksBuilder,
    providers::{RawJson, devdraft},
};

/// Where Devdraft posts to.
pub const PATH: &str = "/webhooks/devdraft";

type Done = Result<(), HandlerError>;

/// Follows payments. A handler may run more than once for one event, and
/// events may come in another order than they happened: once a payment is
/// completed, that it is pending is old news.
pub trait Payments: Clone + Send + Sync + 'static {
    /// A payment is being processed.
    fn pending(&self, key: &str, data: &RawJson) -> impl Future<Output = Done> + Send;

    /// The money is there. Look the payment up before you deliver.
    fn completed(&self, key: &str, data: &RawJson) -> impl Future<Output = Done> + Send;

    /// The money will not come.
    fn failed(&self, key: &str, data: &RawJson) -> impl Future<Output = Done> + Send;

    /// The money was given back.
    fn refunded(&self, key: &str, data: &RawJson) -> impl Future<Output = Done> + Send;
}

/// The preset, with the signature in another header where one is named.
///
/// # Errors
///
/// When the text is no header's name.
pub fn provider(signature_header: Option<&str>) -> anyhow::Result<Provider> {
    let provider = devdraft();
    Ok(match signature_header {
        Some(name) => provider.with_signature_header(name.parse::<HeaderName>()?),
        None => provider,
    })
}

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<P: Payments>(
    provider: Provider,
    secrets: Secrets,
    payments: P,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let events = EventRouter::new()
        .on_event(pending::<P>)
        .on_event(completed::<P>)
        .on_event(failed::<P>)
        .on_event(refunded::<P>)
        .with_state(payments);
    let endpoint = Endpoint::new("devdraft", provider, secrets).events(events);
    let webhooks = builder.start(inbox, [endpoint]).await?;
    let app = Router::new().route_service(PATH, webhooks.endpoint("devdraft")?);
    Ok((app, Arc::new(webhooks)))
}

async fn pending<P: Payments>(at: State<P>, event: Event<devdraft::PaymentPending>) -> Done {
    at.pending(event.id(), &event.data).await
}

async fn completed<P: Payments>(at: State<P>, event: Event<devdraft::PaymentCompleted>) -> Done {
    at.completed(event.id(), &event.data).await
}

async fn failed<P: Payments>(at: State<P>, event: Event<devdraft::PaymentFailed>) -> Done {
    at.failed(event.id(), &event.data).await
}

async fn refunded<P: Payments>(at: State<P>, event: Event<devdraft::PaymentRefunded>) -> Done {
    at.refunded(event.id(), &event.data).await
}

/// Logs what would happen. To be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

impl Payments for Logged {
    async fn pending(&self, key: &str, _: &RawJson) -> Done {
        tracing::info!(key, "payment pending");
        Ok(())
    }

    async fn completed(&self, key: &str, _: &RawJson) -> Done {
        tracing::info!(key, "payment completed");
        Ok(())
    }

    async fn failed(&self, key: &str, _: &RawJson) -> Done {
        tracing::warn!(key, "payment failed");
        Ok(())
    }

    async fn refunded(&self, key: &str, _: &RawJson) -> Done {
        tracing::info!(key, "payment refunded");
        Ok(())
    }
}
