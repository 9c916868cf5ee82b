//! The whole path in one process: a receiver for MPPCash, and a sender that
//! signs as MPPCash does.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use axum::{Router, body::Body, routing::post};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_webhooks::{
    Endpoint, Event, EventRouter, HandlerError, Job, MemoryInbox, Secrets, Webhooks,
    WebhooksBuilder, ack,
    providers::{
        self,
        mppcash::{BalanceLowThreshold, SessionCapWarning, SessionSettled},
    },
    testing::{Runs, Sender},
};

/// Where the events are posted to.
pub const PATH: &str = "/mppcash/events";

/// The receiver, with its handlers started.
///
/// # Errors
///
/// When something is set up wrongly.
pub async fn app(
    secrets: Secrets,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let events = EventRouter::new()
        // The payload type names its event; a failure is tried again.
        .on_event(settled)
        // Closures do as well.
        .on_event(|event: Event<SessionCapWarning>| async move {
            let (used, cap) = (&event.data.running_total_usdc, &event.data.cap_usdc);
            tracing::warn!("a session used {used} of {cap} USDC");
        })
        .on_event(|event: Event<BalanceLowThreshold>| async move {
            tracing::warn!("{} USDC are left", event.data.balance_usdc);
        })
        // And a pattern, for transfer.settled and transfer.rejected.
        .on("transfer.*", |job: Job| async move {
            tracing::info!("a transfer: {}", job.event_id());
        });
    let endpoint = Endpoint::new("mppcash", providers::mppcash(), secrets).events(events);
    let webhooks = builder.start(MemoryInbox::new(), [endpoint]).await?;
    let app = Router::new().route(PATH, post(ack).layer(webhooks.layer("mppcash")?));
    Ok((app, Arc::new(webhooks)))
}

async fn settled(event: Event<SessionSettled>) -> Result<(), HandlerError> {
    let (session, usdc) = (&event.data.session_id, &event.data.settled_usdc);
    tracing::info!("session {session} settled {usdc} USDC");
    Ok(())
}

/// Signs one event of each type, posts it to `url`, and waits for its handler,
/// which `runs` watches.
///
/// # Errors
///
/// When an event is refused, or a handler gives up on it.
pub async fn send_one_of_each(url: &str, secret: &str, runs: &Runs) -> anyhow::Result<()> {
    let mppcash = providers::mppcash();
    let json = HeaderValue::from_static("application/json");
    let sender = Sender::new(mppcash.clone(), secret)?
        .to(url)
        .header(CONTENT_TYPE, json);
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    for event in &mppcash.events().list {
        let sample = event.sample.as_deref().context("a type without a sample")?;
        let request = sender.request(sample.to_owned())?;
        let (name, status) = (&event.name, client.request(request).await?.status());
        ensure!(
            status == StatusCode::OK,
            "{name} was answered with {status}"
        );
        if let Some(error) = runs.next().await.error {
            bail!("{name} failed: {error}");
        }
    }
    Ok(())
}

/// A command for a shell, that sends another event each time: MPPCash sends no
/// event id, so a body that came before would be a duplicate.
#[must_use]
pub fn command(url: &str, secret: &str) -> String {
    format!(
        r#"body='{{"type":"session.settled","data":{{"session_id":"sess_'$(openssl rand -hex 8)'","settled_usdc":"12.50","tx_signature":"demo","settled_at":"today"}}}}'; curl -i {url} -H "x-mppcash-signature: $(printf %s "$body" | openssl dgst -sha256 -hmac {secret} -r | cut -d' ' -f1)" -H 'content-type: application/json' --data-binary "$body""#
    )
}
