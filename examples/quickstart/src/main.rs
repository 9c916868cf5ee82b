//! Starts a receiver with a fresh secret, sends itself one event of each type
//! over HTTP, and keeps listening; with `--once` it ends after the round.
#![expect(clippy::print_stdout, reason = "a demonstration talks to who runs it")]

use std::{env, io, io::IsTerminal as _, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, bail};
use quickstart::{PATH, app, command, send_one_of_each};
use tokio::{net::TcpListener, time::timeout};
use tower_webhooks::{
    Secrets, Webhooks,
    serve::{Server, health, print_handled, prometheus},
    testing::Runs,
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Far more than a handler needs that only logs.
const ROUND: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let once = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--once" => true,
        _ => bail!("usage: quickstart [--once]"),
    };
    let levels = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(levels.from_env_lossy())
        .init();
    // Before the receiver, which looks its metrics up once.
    let metrics = prometheus()?;

    // 256 bits. It is shown below: fine for a demonstration, and only there.
    let [high, low] = rand::random::<[u128; 2]>();
    let secret = format!("{high:032x}{low:032x}");
    let runs = Runs::new();
    let builder = runs.watch(Webhooks::builder().on_done(print_handled));
    let (app, webhooks) = app(Secrets::new(secret.clone())?, builder).await?;
    let app = app.merge(health(&webhooks)).route("/metrics", metrics);

    // A round alone needs no known port.
    let port = if once { 0 } else { 3000 };
    let address = env::var("BIND_ADDR").unwrap_or_else(|_| format!("127.0.0.1:{port}"));
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("BIND_ADDR={address} cannot be listened on"))?;
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let url = format!("http://{address}{PATH}");

    let server = Server::new(listener);
    let round = async {
        let round = timeout(ROUND, send_one_of_each(&url, &secret, &runs));
        round.await.context("a handler did not run within 10 s")?
    };
    if once {
        let mut outcome = Ok(());
        server
            .serve_until(app, webhooks, async { outcome = round.await })
            .await;
        return outcome;
    }
    let talk = async {
        round.await?;
        println!(
            "\nListening on {url}. Send another:\n\n{}\n",
            command(&url, &secret)
        );
        Ok(())
    };
    let serve = async {
        server
            .serve(app, webhooks)
            .await
            .map_err(anyhow::Error::from)
    };
    tokio::try_join!(serve, talk)?;
    Ok(())
}
