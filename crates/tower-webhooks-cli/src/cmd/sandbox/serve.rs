use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use tokio::net::TcpListener;
use tower_webhooks_core::Provider;
use tower_webhooks_sandbox::{Dispatch, Outcome, Sandbox, SandboxError, Schedule, Source, State};

use crate::{args::load_provider, failure::Failure, stop::told_to_stop, words::one_line};

/// How the server runs.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Divide all waits between attempts by this; 8640 makes a day ten seconds
    ///
    /// Deadlines for an answer and rate limits stay as they are: a receiver's work takes real time.
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    time_scale: f64,

    /// Keep registrations in this file, with their secrets, readable for you alone
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// A provider of your own besides the presets: its description in TOML or JSON; may be repeated
    #[arg(long = "add-provider", value_name = "FILE", value_parser = load_provider)]
    providers: Vec<Arc<Provider>>,

    /// Let the sandbox be called under this host name too, as in a network of containers; may be repeated
    ///
    /// Else it answers to loopback addresses, localhost and the address it listens on alone: a page in
    /// a browser could call it under any name that leads here.
    #[arg(long = "allow-host", value_name = "NAME")]
    allowed_hosts: Vec<String>,

    /// Let deliveries leave this machine: whoever reaches the sandbox can then have it post anywhere
    #[arg(long)]
    insecure_reach_anywhere: bool,

    /// Print a JSON object a line: a dispatch, after each of its attempts
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: ServeArgs, out: &mut impl Write) -> Result<(), Failure> {
    let json = args.json;
    let mut builder = Sandbox::builder()
        .with_time_scale(args.time_scale)
        .on_attempt(move |dispatch| show(dispatch, json));
    if let Some(file) = args.file {
        builder = builder.with_file(file);
    }
    for provider in args.providers {
        builder = builder.add_provider(provider);
    }
    for name in args.allowed_hosts {
        builder = builder.add_host(name);
    }
    if args.insecure_reach_anywhere {
        builder = builder.insecure_reach_anywhere();
    }
    let sandbox = builder.start().map_err(|error| match error {
        SandboxError::Host(_) | SandboxError::TimeScale(_) => Failure::usage(error),
        _ => Failure::failed(error),
    })?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::failed(format!("{} cannot be listened on: {error}", args.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let stopped = told_to_stop();
    if !json {
        introduce(&sandbox, address, out)?;
    }
    tokio::select! {
        ended = sandbox.serve(listener) => ended.map_err(Failure::failed),
        () = stopped => Ok(()),
    }
}

fn introduce(sandbox: &Sandbox, address: SocketAddr, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "listening on http://{address}")?;
    for provider in sandbox.providers() {
        let schedule = Schedule::of(provider);
        let whose = match schedule.delays_from {
            Source::Documented => "as documented",
            Source::Ours => "ours, since none is documented",
        };
        let (name, attempts) = (provider.name(), schedule.delays.len() + 1);
        let path = match keys(name) {
            Some(_) => format!("http://{address}/{name}"),
            None => "no management API: webhooks sandbox register".to_owned(),
        };
        writeln!(out, "{name}: {path}; {attempts} attempts, {whose}")?;
        if let Some(keys) = keys(name) {
            writeln!(out, "  {keys}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What opens a sandbox's management API, and nothing else.
fn keys(provider: &str) -> Option<&'static str> {
    Some(match provider {
        "cryptomate" => "CRYPTOMATE_API_KEY=cm_test_sandbox",
        "devdraft" => "DEVDRAFT_CLIENT_KEY=ck_test_sandbox DEVDRAFT_CLIENT_SECRET=cs_test_sandbox",
        "m2m" => "M2M_API_KEY=m2m_test_sandbox",
        "monterrey" => "MONTERREY_API_KEY=mk_test_sandbox",
        "mppcash" => "MPPCASH_API_KEY=mpp_test_sandbox",
        _ => return None,
    })
}

/// One attempt. Nobody is left to tell if writing fails.
fn show(dispatch: &Dispatch, json: bool) {
    let mut out = io::stdout().lock();
    let line = if json {
        serde_json::to_string(dispatch).unwrap_or_default()
    } else {
        in_words(dispatch)
    };
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// A dispatch with its last attempt.
pub(super) fn in_words(dispatch: &Dispatch) -> String {
    let number = dispatch.attempts.len();
    let outcome = match dispatch.attempts.last().map(|attempt| &attempt.outcome) {
        None => "not yet sent".to_owned(),
        Some(Outcome::Answered { status, .. }) => format!("answered {status}"),
        Some(Outcome::Broken(why)) => format!("broken: {why}"),
        Some(Outcome::NotSent(why)) => format!("not sent: {why}"),
        Some(Outcome::TimedOut) => "timed out".to_owned(),
        Some(_) => "unknown".to_owned(),
    };
    let state = match dispatch.state {
        State::Cancelled => "cancelled",
        State::Delivered => "delivered",
        State::Failed => "failed",
        State::Pending => "pending",
        _ => "unknown",
    };
    let Dispatch {
        id,
        provider,
        event_type,
        url,
        ..
    } = dispatch;
    one_line(&format!(
        "{id} {provider} {event_type} to {url}: attempt {number} {outcome}; {state}"
    ))
}
