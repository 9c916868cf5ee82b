//! Runs the receiver: settings out of the environment, logs, metrics, shutdown.

use std::{env, io, io::IsTerminal as _};

use anyhow::{Context as _, bail};
use mppcash_receiver::{Billing, Desk, Logged, PATH, TABLES, app, logged, rows};
use tokio::net::TcpListener;
use tower_webhooks::{
    Amount, DeadJob, Inbox, MemoryInbox, Secrets, SqliteInbox, Webhooks,
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
    let ((inbox, billing), effects, top_up) = (inbox().await?, Logged, enabled.then_some(amount));
    let desk = Desk {
        billing,
        effects,
        top_up,
    };
    let gave_up =
        |job: &DeadJob| tracing::error!(handler = %job.handler, error = %job.error, "gave up");
    let builder = Webhooks::builder().on_done(print_handled).on_dead(gave_up);
    let (app, webhooks) = app(secrets, desk, inbox, builder).await?;
    let app = app.merge(health(&webhooks)).route("/metrics", metrics);

    let address = env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await.context("BIND_ADDR")?;
    tracing::info!(address = %listener.local_addr()?, path = PATH, "listening");
    Server::new(listener).serve(app, webhooks).await?;
    Ok(())
}

/// The inbox that `INBOX` names, and who keeps the books with it: a file has
/// rows for them, `memory` loses what a crash interrupts.
async fn inbox() -> anyhow::Result<(Box<dyn Inbox>, Billing)> {
    let name = env::var_os("INBOX").unwrap_or_else(|| "webhooks.db".into());
    let file = SqliteInbox::builder(&name).with_tables(TABLES);
    match name.to_str() {
        Some("memory") => Ok((Box::new(MemoryInbox::new()), logged)),
        // It would hold a password: the error does not show it.
        Some(url) if url.contains("://") => bail!("INBOX: no servers yet, but files and `memory`"),
        _ => Ok((Box::new(file.open().await?), rows)),
    }
}
