//! Runs the receiver: settings out of the environment, logs, metrics, shutdown.

use std::{env, io, io::IsTerminal as _};

use anyhow::Context as _;
use several_providers::app;
use tokio::net::TcpListener;
use tower_webhooks::{
    InboxPlace, Secrets, Webhooks,
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

    // One SQLite file for all of them, `webhooks.db` unless another is named.
    let inbox = InboxPlace::from_env("INBOX")?.open().await?;
    let builder = Webhooks::builder().on_done(print_handled);
    let (app, webhooks) = app(Secrets::from_env, inbox, builder).await?;
    let app = app.merge(health(&webhooks)).route("/metrics", metrics);

    let address = env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("BIND_ADDR={address} cannot be listened on"))?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Server::new(listener).serve(app, webhooks).await?;
    Ok(())
}
