//! Runs the receiver: settings out of the environment, logs, metrics, shutdown.

use std::{env, io, io::IsTerminal as _};

use anyhow::{Context as _, bail};
use mppcash_receiver::{Desk, Logged, PATH, app};
use tokio::net::TcpListener;
use tower_webhooks::{
    Amount, MemoryInbox, Secrets, Webhooks,
    serve::{Server, health, print_handled, prometheus},
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let levels = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(levels.from_env_lossy())
        .init();
    // Before the receiver, which looks its metrics up once.
    let metrics = prometheus()?;

    let secrets = Secrets::from_env("WEBHOOK_SECRET")?;
    let enabled = env::var("AUTO_TOPUP_ENABLED").is_ok_and(|value| value == "true");
    let amount = env::var("TOP_UP_AMOUNT_USDC").unwrap_or_else(|_| "50".to_owned());
    let amount: Amount = amount.parse().context("TOP_UP_AMOUNT_USDC")?;
    let (effects, top_up) = (Logged, enabled.then_some(amount));
    let desk = Desk { effects, top_up };
    let builder = Webhooks::builder().on_done(print_handled);
    let (app, webhooks) = app(secrets, desk, inbox()?, builder).await?;
    let app = app.merge(health(&webhooks)).route("/metrics", metrics);

    let address = env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("BIND_ADDR={address} cannot be listened on"))?;
    tracing::info!(address = %listener.local_addr()?, path = PATH, "listening");
    Server::new(listener).serve(app, webhooks).await?;
    Ok(())
}

/// The inbox that `INBOX` names. There is none yet but `memory`.
fn inbox() -> anyhow::Result<MemoryInbox> {
    // A URL would hold a password: the error does not show it.
    if env::var_os("INBOX").is_some_and(|inbox| inbox != "memory") {
        bail!("INBOX names an inbox that there is not yet: only `memory` can be used so far");
    }
    Ok(MemoryInbox::new())
}
