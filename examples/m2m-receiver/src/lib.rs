//! Receives M2M webhooks: stores a link, answers a data request, records an
//! operation and tells the team, and reverses what is held for one that was
//! cancelled.
//!
//! What happens then goes through [`Records`] and [`Replies`]: put your own in
//! the place of [`Logged`]. A handler may run more than once for one event,
//! after a crash or a failure: what was done already must stay as it is.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State};
use serde_json::{Value, json};
use tower_webhooks::providers::m2m::{
    DataRequest, LinkCreated, LinkOpened, OperationCancelled, OperationCreated,
};
use tower_webhooks::{
    Endpoint, Event, EventRouter, HandlerError, Inbox, Job, Secrets, Webhooks, WebhooksBuilder,
    providers,
};

/// Where M2M posts to.
pub const PATH: &str = "/webhooks/m2m";

type Done = Result<(), HandlerError>;

/// What is kept of links and operations.
pub trait Records: Clone + Send + Sync + 'static {
    /// Stores a link, once per link.
    fn store(&self, link: &LinkCreated) -> impl Future<Output = Done> + Send;

    /// Records an operation and tells the team, once per operation.
    fn record(&self, operation: &OperationCreated) -> impl Future<Output = Done> + Send;

    /// Reverses what is held for an operation, if anything is.
    fn reverse_holds(&self, operation_id: &str) -> impl Future<Output = Done> + Send;
}

/// Answers data requests.
pub trait Replies: Clone + Send + Sync + 'static {
    /// What is known of the fields that are wanted, if anything is. Without
    /// it the user is asked in the widget.
    fn user_data(&self, request: &DataRequest) -> impl Future<Output = Option<Value>> + Send;

    /// Sends a PUT with this JSON, and with your API key in `X-API-Key`.
    fn put(&self, url: &str, body: &Value) -> impl Future<Output = Done> + Send;
}

/// What the handlers have in common.
#[derive(Debug, Clone)]
pub struct Partner<E> {
    /// Who does it.
    pub effects: E,
    /// The only host that a data request is answered to: the answer carries
    /// the API key.
    pub api_host: String,
}

/// The receiver, with its handlers started. `tolerance` is how old, or how far
/// ahead, a delivery's timestamp may be.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<E: Records + Replies>(
    secrets: Secrets,
    tolerance: Duration,
    partner: Partner<E>,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let events = EventRouter::new()
        .on_event(link_created::<E>)
        .on_event(link_opened)
        .on_event(data_request::<E>)
        .on_event(created::<E>)
        .on_event(cancelled::<E>)
        .fallback(unknown)
        .with_state(partner);
    let m2m = providers::m2m().with_tolerance(tolerance);
    let endpoint = Endpoint::new("m2m", m2m, secrets).events(events);
    let webhooks = builder.start(inbox, [endpoint]).await?;
    let app = Router::new().route_service(PATH, webhooks.endpoint("m2m")?);
    Ok((app, Arc::new(webhooks)))
}

async fn link_created<E: Records>(at: State<Partner<E>>, event: Event<LinkCreated>) -> Done {
    at.effects.store(&event.data).await
}

async fn link_opened(event: Event<LinkOpened>) {
    tracing::info!(
        link = event.data.link_id,
        user = event.data.reference_id,
        "link opened"
    );
}

async fn data_request<E: Replies>(at: State<Partner<E>>, event: Event<DataRequest>) -> Done {
    let Some(url) = event.data.reply_endpoint_on(&at.api_host) else {
        return Err(HandlerError::permanent(
            "replyEndpoint is not on the configured host",
        ));
    };
    let Some(user_data) = at.effects.user_data(&event.data).await else {
        return Ok(());
    };
    let body = json!({ "referenceId": event.data.reference_id, "userData": user_data });
    at.effects.put(url, &body).await
}

async fn created<E: Records>(at: State<Partner<E>>, event: Event<OperationCreated>) -> Done {
    at.effects.record(&event.data).await
}

async fn cancelled<E: Records>(at: State<Partner<E>>, event: Event<OperationCancelled>) -> Done {
    at.effects.reverse_holds(&event.data.operation_id).await
}

async fn unknown(job: Job) {
    tracing::warn!(id = %job.event_id(), "an event of unknown type");
}

/// Logs what would happen, and knows nothing of any user. To be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

impl Records for Logged {
    async fn store(&self, link: &LinkCreated) -> Done {
        tracing::info!(link = link.link_id, user = link.reference_id, "link stored");
        Ok(())
    }

    async fn record(&self, operation: &OperationCreated) -> Done {
        tracing::info!(id = operation.operation_id, send = %operation.amount.send, "recorded");
        Ok(())
    }

    async fn reverse_holds(&self, operation_id: &str) -> Done {
        tracing::info!(operation_id, "holds reversed");
        Ok(())
    }
}

impl Replies for Logged {
    async fn user_data(&self, request: &DataRequest) -> Option<Value> {
        tracing::info!(id = request.data_request_id, fields = ?request.required_fields, "asked");
        None
    }

    async fn put(&self, url: &str, _: &Value) -> Done {
        tracing::info!(url, "put");
        Ok(())
    }
}
