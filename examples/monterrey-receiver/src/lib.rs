//! Receives Monterrey webhooks: fulfils an order when its payment is confirmed,
//! releases it when the time to pay is over, and fails it when the payment did.
//!
//! What happens then goes through [`Orders`]: put your own in the place of
//! [`Logged`]. The other types, such as `payment.detecting`, are stored without
//! a handler; one that is registered later can be given them by a replay.

use std::{borrow::Cow, sync::Arc};

use axum::{Router, extract::State};
use tower_webhooks::providers::monterrey::{PaymentConfirmed, PaymentExpired, PaymentFailed};
use tower_webhooks::{
    Endpoint, Event, EventRouter, HandlerError, Inbox, Secrets, Webhooks, WebhooksBuilder,
    providers,
};

/// Where Monterrey posts to.
pub const PATH: &str = "/webhooks/monterrey";

type Done = Result<(), HandlerError>;

/// The shop's orders. A handler may run more than once for one event, after a
/// crash or a failure: what was done already must stay as it is.
pub trait Orders: Clone + Send + Sync + 'static {
    /// The order is paid. Compare amount and currency with what it costs.
    fn fulfil(&self, paid: &PaymentConfirmed) -> impl Future<Output = Done> + Send;

    /// The time to pay the order is over.
    fn expire(&self, order: &str) -> impl Future<Output = Done> + Send;

    /// The order's payment failed: wrong amount, wrong token, or another
    /// reason.
    fn fail(&self, order: &str, reason: &str) -> impl Future<Output = Done> + Send;
}

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<O: Orders>(
    secrets: Secrets,
    orders: O,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let events = EventRouter::new()
        .on_event(confirmed::<O>)
        .on_event(expired::<O>)
        .on_event(failed::<O>)
        .with_state(orders);
    let endpoint = Endpoint::new("monterrey", providers::monterrey(), secrets).events(events);
    let webhooks = builder.start(inbox, [endpoint]).await?;
    // Answers what Monterrey wants: {"received":true}.
    let app = Router::new().route_service(PATH, webhooks.endpoint("monterrey")?);
    Ok((app, Arc::new(webhooks)))
}

async fn confirmed<O: Orders>(State(orders): State<O>, event: Event<PaymentConfirmed>) -> Done {
    orders.fulfil(&event.data).await
}

async fn expired<O: Orders>(State(orders): State<O>, event: Event<PaymentExpired>) -> Done {
    orders.expire(&event.data.merchant_ref).await
}

async fn failed<O: Orders>(State(orders): State<O>, event: Event<PaymentFailed>) -> Done {
    let reason = event.data.failure_reason.as_ref();
    let reason = reason.map_or(Cow::Borrowed("not given"), |reason| reason.to_text());
    orders.fail(&event.data.merchant_ref, &reason).await
}

/// Logs what would happen. To be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

impl Orders for Logged {
    async fn fulfil(&self, paid: &PaymentConfirmed) -> Done {
        let (order, tx) = (&paid.merchant_ref, &paid.tx_hash);
        tracing::info!(order, tx, amount = %paid.amount, currency = paid.currency, "fulfilled");
        Ok(())
    }

    async fn expire(&self, order: &str) -> Done {
        tracing::info!(order, "expired");
        Ok(())
    }

    async fn fail(&self, order: &str, reason: &str) -> Done {
        tracing::warn!(order, reason, "failed");
        Ok(())
    }
}
