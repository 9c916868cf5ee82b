//! Receives MPPCash webhooks: logs rejected transfers and alerts unless they
//! were expected, records settlements, warns of a session's cap, and tops an
//! account up when it runs low. An event whose handler gave up alerts too.
//!
//! What happens then goes through [`Billing`], [`Alerts`] and [`TopUp`]: put
//! your own in the place of [`Logged`]. A handler may run more than once for
//! one event, after a crash or a failure; every effect gets a key that is the
//! same each time.

use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use tower_webhooks::providers::mppcash::{
    BalanceLowThreshold, SessionCapWarning, SessionSettled, TransferRejected, TransferSettled,
};
use tower_webhooks::{
    Amount, DeadJob, Endpoint, Event, EventRouter, HandlerError, Inbox, Secrets, Webhooks,
    WebhooksBuilder, ack, providers,
};

/// Where MPPCash posts to.
pub const PATH: &str = "/mppcash/events";

type Done = Result<(), HandlerError>;

/// Keeps the books.
pub trait Billing: Clone + Send + Sync + 'static {
    /// Records a settlement, once per `key`.
    fn record(&self, key: &str, settled: &SessionSettled) -> impl Future<Output = Done> + Send;
}

/// Wakes people.
pub trait Alerts: Clone + Send + Sync + 'static {
    /// Tells the team, once per `key`.
    fn alert(&self, key: &str, title: &str, text: &str) -> impl Future<Output = Done> + Send;

    /// Whether a rejected transfer needs nobody's attention.
    fn is_expected(&self, _rejected: &TransferRejected) -> bool {
        false
    }
}

/// Moves money.
pub trait TopUp: Clone + Send + Sync + 'static {
    /// Sends USDC to a token account, once per `key`: hand it on as the
    /// idempotency key of whoever moves the money.
    fn top_up(&self, key: &str, to: &str, usdc: &Amount) -> impl Future<Output = Done> + Send;
}

/// What the handlers have in common.
#[derive(Debug, Clone)]
pub struct Desk<E> {
    /// Who does it.
    pub effects: E,
    /// How many USDC a low account gets; `None` leaves that to people.
    pub top_up: Option<Amount>,
}

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<E: Billing + Alerts + TopUp>(
    secrets: Secrets,
    desk: Desk<E>,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let alerts = desk.effects.clone();
    // A hook is told and not waited for: the alert goes its own way.
    let builder = builder.on_dead(move |job| {
        tokio::spawn(gave_up(alerts.clone(), job.clone()));
    });
    let events = EventRouter::new()
        .on_event(settled)
        .on_event(rejected::<E>)
        .on_event(session::<E>)
        .on_event(cap_warning)
        .on_event(low_balance::<E>)
        .with_state(desk);
    let endpoint = Endpoint::new("mppcash", providers::mppcash(), secrets).events(events);
    let webhooks = builder.start(inbox, [endpoint]).await?;
    let app = Router::new().route(PATH, post(ack).layer(webhooks.layer("mppcash")?));
    Ok((app, Arc::new(webhooks)))
}

async fn settled(event: Event<TransferSettled>) {
    tracing::info!(id = %event.id(), "transfer settled");
}

async fn rejected<E: Alerts>(State(desk): State<Desk<E>>, event: Event<TransferRejected>) -> Done {
    let (account, reason) = (&event.data.account_id, &event.data.rejection_reason);
    tracing::error!(account, reason, "policy violation");
    if desk.effects.is_expected(&event.data) {
        return Ok(());
    }
    let title = format!("MPPCash policy violation: {account}");
    desk.effects.alert(event.id(), &title, reason).await
}

async fn session<E: Billing>(State(desk): State<Desk<E>>, event: Event<SessionSettled>) -> Done {
    // The authoritative amount. A session settles once: its id is the key.
    let settled = &event.data;
    desk.effects.record(&settled.session_id, settled).await
}

async fn cap_warning(event: Event<SessionCapWarning>) {
    tracing::warn!(warning = ?event.data, "a session nears its cap");
}

async fn low_balance<E: Alerts + TopUp>(
    State(desk): State<Desk<E>>,
    event: Event<BalanceLowThreshold>,
) -> Done {
    let low = &event.data;
    let title = format!("MPPCash balance is low: {}", low.account_id);
    let text = format!("{} USDC are left. Please top up.", low.balance_usdc);
    desk.effects.alert(event.id(), &title, &text).await?;
    if let Some(usdc) = &desk.top_up {
        let to = &low.usdc_token_account;
        desk.effects.top_up(event.id(), to, usdc).await?;
    }
    Ok(())
}

async fn gave_up(alerts: impl Alerts, job: DeadJob) {
    let title = format!("MPPCash: {} gave up on {}", job.handler, job.event_id);
    let alerted = alerts.alert(&title, &title, &job.error).await;
    alerted.unwrap_or_else(|error| tracing::error!(%error, title, "nobody was told"));
}

/// Logs what would happen. To be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

impl Billing for Logged {
    async fn record(&self, key: &str, settled: &SessionSettled) -> Done {
        tracing::info!(key, usdc = %settled.settled_usdc, tx = settled.tx_signature, "settled");
        Ok(())
    }
}

impl Alerts for Logged {
    async fn alert(&self, key: &str, title: &str, text: &str) -> Done {
        tracing::warn!(key, title, text, "alert");
        Ok(())
    }
}

impl TopUp for Logged {
    async fn top_up(&self, key: &str, to: &str, usdc: &Amount) -> Done {
        tracing::warn!(key, to, %usdc, "top-up");
        Ok(())
    }
}
