//! Receives MPPCash webhooks: logs rejected transfers and alerts unless they
//! were expected, records settlements, warns of a session's cap, and tops an
//! account up when it runs low.
//!
//! What happens then goes through [`books`], [`Alerts`] and [`TopUp`]: put your
//! own in the place of [`Logged`]. A handler may run more than once for one event,
//! after a crash or a failure: alerts and top-ups get a key that is the same each
//! time, and the rows of the books commit together with the job that makes them.

pub mod books;

use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use tower_webhooks::providers::mppcash::{
    BalanceLowThreshold, SessionCapWarning, TransferRejected, TransferSettled,
};
use tower_webhooks::{
    Amount, Endpoint, Event, EventRouter, HandlerError, Inbox, Secrets, Webhooks, WebhooksBuilder,
    ack, providers,
};

use books::Books;

/// Where MPPCash posts to.
pub const PATH: &str = "/mppcash/events";

type Done = Result<(), HandlerError>;

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
    /// Where the books are.
    pub books: Books,
    /// Who does the rest.
    pub effects: E,
    /// How many USDC a low account gets; `None` leaves that to people.
    pub top_up: Option<Amount>,
}

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly, or the inbox is away.
pub async fn app<E: Alerts + TopUp>(
    secrets: Secrets,
    desk: Desk<E>,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let events = EventRouter::new()
        .on_event(settled)
        .on_event(rejected::<E>)
        .on_event(cap_warning)
        .on_event(low::<E>);
    let events = match desk.books {
        Books::File => events.on_event(books::in_file),
        Books::Log => events.on_event(books::in_log),
        Books::Postgres => events.on_event(books::in_postgres),
    };
    let events = events.with_state(desk);
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

async fn cap_warning(event: Event<SessionCapWarning>) {
    tracing::warn!(warning = ?event.data, "a session nears its cap");
}

async fn low<E: Alerts + TopUp>(at: State<Desk<E>>, event: Event<BalanceLowThreshold>) -> Done {
    let (key, low, to) = (event.id(), &event.data, &event.data.usdc_token_account);
    let title = format!("MPPCash balance is low: {}", low.account_id);
    let text = format!("{} USDC are left. Please top up.", low.balance_usdc);
    at.effects.alert(key, &title, &text).await?;
    if let Some(usdc) = &at.top_up {
        at.effects.top_up(key, to, usdc).await?;
    }
    Ok(())
}

/// Logs what would happen. To be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Logged;

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
