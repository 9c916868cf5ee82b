//! GitHub, Stripe, Slack, Shopify and a small payment company in one app: a
//! closure for what each one's events do, a line where it is described, and a
//! line where it is mounted.
//!
//! | provider | posts to | its secret |
//! |---|---|---|
//! | GitHub | `/webhooks/github`, as `application/json` | `GITHUB_WEBHOOK_SECRET` |
//! | Stripe | `/webhooks/stripe` | `STRIPE_WEBHOOK_SECRET`: the endpoint's, `whsec_…` |
//! | Slack | `/webhooks/slack` | `SLACK_WEBHOOK_SECRET`: the app's signing secret |
//! | Shopify | `/webhooks/shopify` | `SHOPIFY_WEBHOOK_SECRET`: the app's client secret |
//! | Monterrey | `/webhooks/monterrey` | `MONTERREY_WEBHOOK_SECRET` |
//!
//! Slack asks once whether somebody is there, by `url_verification`: its preset
//! answers that, and no handler sees it. Types without a handler are stored, and one
//! that is written later can be given them by a replay. The presets of the four have no
//! payload types: write down the fields that you use.

use std::sync::Arc;

use axum::Router;
use serde::Deserialize;
use tower_webhooks::providers::{self, monterrey::PaymentConfirmed};
use tower_webhooks::{
    Amount, Endpoint, Event, EventRouter, Inbox, Provider, SecretError, Secrets, Webhooks,
    WebhooksBuilder,
};

/// The receiver, with its handlers started. `secrets` finds the secrets that a
/// variable names: [`Secrets::from_env`].
///
/// # Errors
///
/// When a secret is missing, something is set up wrongly, or the inbox is away.
pub async fn app(
    secrets: impl Fn(&str) -> Result<Secrets, SecretError>,
    inbox: impl Inbox,
    builder: WebhooksBuilder,
) -> anyhow::Result<(Router, Arc<Webhooks>)> {
    let pushes = EventRouter::new().on("push", async |event: Event<Push>| {
        let Push { branch, repository } = &event.data;
        tracing::info!(branch, repository = repository.full_name, "pushed");
    });
    let payments = EventRouter::new().on("payment_intent.succeeded", async |event: Event<Paid>| {
        let PaymentIntent { id, amount } = &event.data.object;
        tracing::info!(id, amount, "paid by Stripe");
    });
    let mentions = EventRouter::new().on("app_mention", async |event: Event<Mention>| {
        let Mention { user, channel } = &event.data;
        tracing::info!(user, channel, "mentioned");
    });
    let orders = EventRouter::new().on("orders/create", async |event: Event<Order>| {
        let Order { id, total_price } = &event.data;
        tracing::info!(id, %total_price, "ordered");
    });
    let transfers = EventRouter::new().on_event(async |event: Event<PaymentConfirmed>| {
        let order = &event.data.merchant_ref;
        tracing::info!(order, amount = %event.data.amount, "paid by Monterrey");
    });

    let endpoint = |name: &'static str, provider: Provider, events: EventRouter| {
        let secrets = secrets(&format!("{}_WEBHOOK_SECRET", name.to_uppercase()))?;
        Ok::<_, SecretError>(Endpoint::new(name, provider, secrets).events(events))
    };
    let endpoints = [
        endpoint("github", providers::github(), pushes)?,
        endpoint("stripe", providers::stripe(), payments)?,
        endpoint("slack", providers::slack(), mentions)?,
        endpoint("shopify", providers::shopify(), orders)?,
        endpoint("monterrey", providers::monterrey(), transfers)?,
    ];
    let webhooks = builder.start(inbox, endpoints).await?;
    let app = Router::new()
        .route_service("/webhooks/github", webhooks.endpoint("github")?)
        .route_service("/webhooks/stripe", webhooks.endpoint("stripe")?)
        .route_service("/webhooks/slack", webhooks.endpoint("slack")?)
        .route_service("/webhooks/shopify", webhooks.endpoint("shopify")?)
        .route_service("/webhooks/monterrey", webhooks.endpoint("monterrey")?);
    Ok((app, Arc::new(webhooks)))
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    branch: String,
    repository: Repository,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct Paid {
    object: PaymentIntent,
}

#[derive(Deserialize)]
struct PaymentIntent {
    id: String,
    /// In the currency's smallest unit.
    amount: u64,
}

#[derive(Deserialize)]
struct Mention {
    user: String,
    channel: String,
}

#[derive(Deserialize)]
struct Order {
    id: u64,
    total_price: Amount,
}
