use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tower_webhooks::{Endpoint, InboxPlace, Webhooks, ack};
use tower_webhooks_core::{Provider, SecretErrorKind, Secrets, Verifier};

use super::tap::{Tap, keep, look};
use crate::{
    args::{PayloadSecretArgs, SecretArgs, load_provider},
    failure::Failure,
    post::Poster,
    stop::told_to_stop,
};

/// How long an app that a request is passed on to may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long is waited at the end for what is under way: into the inbox, and on to the app.
const DRAIN: Duration = Duration::from_secs(5);

/// What the environment's variable is called.
const HANDSHAKE_VARIABLE: &str = "WEBHOOK_HANDSHAKE_SECRET";

/// How the receiver runs.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Who sends: a preset's name, or a description of your own in TOML or JSON
    #[arg(short, long, value_name = "NAME|FILE", value_parser = load_provider)]
    provider: Option<Arc<Provider>>,

    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,

    /// Where to listen, on every path; the environment's WEBHOOK_HANDSHAKE_SECRET proves handshakes
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The URL that the provider calls, without its query, where it signs that
    /// [default: http://ADDRESS/]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Where events are kept: a file, a postgres:// URL, or memory
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "INBOX",
        hide_env_values = true,
        default_value = "webhooks.db"
    )]
    inbox: PathBuf,

    /// Pass each verified request on to this URL, as it came
    #[arg(long, value_name = "URL")]
    forward: Option<String>,

    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: ServeArgs, out: &mut impl Write) -> Result<(), Failure> {
    let Some(provider) = args.provider else {
        return Err(Failure::usage("who sends? give --provider"));
    };
    let secrets = args.secret.all()?;
    let payload_secrets = args.payload_secret.all(&provider)?;
    let forward = args.forward.as_deref();
    let forward = forward
        .map(|url| Poster::new(url, FORWARD_TIMEOUT))
        .transpose()?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::failed(format!("{} cannot be listened on: {error}", args.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    if forward
        .as_ref()
        .is_some_and(|forward| forward.reaches(address))
    {
        return Err(Failure::usage(format!(
            "--forward is this receiver itself, at {address}: give --listen another port"
        )));
    }
    let public_url = args
        .public_url
        .unwrap_or_else(|| format!("http://{address}/"));

    // What does not fit is told before an inbox is made.
    let fits = Verifier::new(Arc::clone(&provider), &secrets).map_err(Failure::usage)?;
    if let Some(secrets) = &payload_secrets {
        fits.with_payload_secrets(secrets).map_err(Failure::usage)?;
    }
    // The endpoint keeps events under the name that `replay` finds them by.
    let name = provider.name().clone();
    let mut endpoint =
        Endpoint::new(name.clone(), Arc::clone(&provider), secrets).with_public_url(public_url);
    if let Some(secrets) = payload_secrets {
        endpoint = endpoint.with_payload_secrets(secrets);
    }
    match Secrets::from_env(HANDSHAKE_VARIABLE) {
        Ok(secrets) => endpoint = endpoint.with_handshake_secrets(secrets),
        Err(error) if error.kind() == SecretErrorKind::NotSet => {}
        Err(error) => return Err(Failure::usage(error)),
    }
    let place = InboxPlace::new(&args.inbox).map_err(Failure::usage)?;
    let inbox = place.open().await.map_err(|error| Failure::chain(&error))?;
    let webhooks = Webhooks::start(inbox, [endpoint])
        .await
        .map_err(|error| Failure::chain(&error))?;
    let layer = webhooks.layer(&name).map_err(Failure::failed)?;

    let json = args.json;
    let tap = Arc::new(Tap::new(forward, json));
    // The library decides what comes in; outside of it is seen what it answers, and inside
    // what it let in.
    let app = Router::new()
        .fallback(ack)
        .layer(from_fn(keep))
        .layer(layer)
        .layer(from_fn_with_state(Arc::clone(&tap), look));
    let stopped = told_to_stop();
    if !json {
        writeln!(out, "listening on http://{address}/")?;
        out.flush()?;
    }
    let (stop, stopping) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async {
        // Nobody is left to tell only where it has ended already.
        let _ = stopping.await;
    });
    let serving = async move { serving.await };
    let mut serving = Box::pin(serving);
    tokio::select! {
        ended = &mut serving => return ended.map_err(Failure::failed),
        () = stopped => {}
    }
    let _ = stop.send(());
    let finish = async {
        let _ = tokio::join!(serving, webhooks.drain(DRAIN));
        tap.finish().await;
    };
    match timeout(DRAIN, finish).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::failed(
            "what was under way did not end in time; what is not passed on is in the inbox",
        )),
    }
}
