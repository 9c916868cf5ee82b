//! Runs the receiver: settings out of the environment, logs, metrics, shutdown.

use std::{env, io, io::IsTerminal as _};

use anyhow::Context as _;
use mppcash_receiver::{
    Desk, Logged, PATH, app,
    books::{Books, TABLES},
};
use tokio::net::TcpListener;
use tower_webhooks::{
    Amount, DeadJob, Inbox, InboxPlace, PostgresInbox, Role, Secrets, SqliteInbox, Webhooks,
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
    let ((inbox, books), effects, top_up) = (inbox().await?, Logged, enabled.then_some(amount));
    let desk = Desk {
        books,
        effects,
        top_up,
    };
    let gave_up =
        |job: &DeadJob| tracing::error!(handler = %job.handler, error = %job.error, "gave up");
    let builder = Webhooks::builder()
        .with_role(Role::from_env("ROLE")?)
        .on_done(print_handled)
        .on_dead(gave_up);
    let (app, webhooks) = app(secrets, desk, inbox, builder).await?;
    let app = app.merge(health(&webhooks)).route("/metrics", metrics);

    let address = env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await.context("BIND_ADDR")?;
    tracing::info!(address = %listener.local_addr()?, path = PATH, "listening");
    Server::new(listener).serve(app, webhooks).await?;
    Ok(())
}

/// The inbox that `INBOX` names, with the books beside it where it has rows.
async fn inbox() -> anyhow::Result<(Box<dyn Inbox>, Books)> {
    Ok(match InboxPlace::from_env("INBOX")? {
        InboxPlace::File(path) => {
            let file = SqliteInbox::builder(path).with_tables(TABLES);
            (Box::new(file.open().await?), Books::File)
        }
        InboxPlace::Postgres(url) => {
            let server = PostgresInbox::builder(url).with_tables(TABLES);
            (Box::new(server.open().await?), Books::Postgres)
        }
        other => (other.open().await?, Books::Log),
    })
}
