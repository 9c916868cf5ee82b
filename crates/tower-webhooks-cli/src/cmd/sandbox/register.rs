use std::{
    io::Write,
    path::{Path, PathBuf},
};

use http::Method;
use serde_json::{Value, json};
use tower_webhooks_core::providers;
use tower_webhooks_registrar::{Confidential, SecretFile};

use super::console::At;
use crate::failure::Failure;

/// Register an endpoint as on the page of a provider's portal
///
/// For providers without a management API. The secret that the sandbox makes up goes to a file; with
/// WEBHOOK_SECRET or WEBHOOK_SECRET_FILE set it is that one. Of a provider that signs with a private
/// key, the file gets the public half.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks sandbox register --provider m2m --url http://127.0.0.1:3000/webhooks/m2m \\
    --secret-file secret.txt")]
pub(super) struct Args {
    #[command(flatten)]
    at: At,

    /// Who is to send
    #[arg(short, long, value_name = "NAME")]
    provider: String,

    /// Where deliveries go
    #[arg(long)]
    url: String,

    /// An event type that is wanted; may be repeated [default: all]
    #[arg(short, long = "event", value_name = "TYPE")]
    events: Vec<String>,

    /// A new file for the secret, readable for you alone
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// A new file for the secret that payloads are encrypted with, where the provider has one for that
    #[arg(long, value_name = "FILE")]
    payload_secret_file: Option<PathBuf>,

    /// Let the secret go to a sandbox on another machine, where whoever is on the way can read it
    #[arg(long)]
    insecure_remote: bool,

    /// Print the registration as JSON, without its secret
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    if !args.insecure_remote && !args.at.is_here()? {
        let why = "--at is another machine, where the secret would go in clear text: give --insecure-remote";
        return Err(Failure::usage(why));
    }
    let chosen = crate::cmd::register::chosen_secret()?;
    let payload_file = match &args.payload_secret_file {
        Some(path) => Some(prepare(path)?),
        None if encrypts(&args.provider) => {
            let why = "the secret for payloads has no place to go: give --payload-secret-file";
            return Err(Failure::usage(why));
        }
        None => None,
    };
    let file = match (&chosen, &args.secret_file) {
        (_, Some(path)) => Some(prepare(path)?),
        (Some(_), None) => None,
        (None, None) => {
            let why = "the secret has no place to go: give --secret-file, or set WEBHOOK_SECRET";
            return Err(Failure::usage(why));
        }
    };
    let wanted = json!({
        "provider": args.provider,
        "url": args.url,
        "events": if args.events.is_empty() { Value::Null } else { args.events.into() },
        "secret": chosen.as_ref().map(Confidential::expose),
    });
    let mut made = args
        .at
        .call(Method::POST, &["registrations"], Some(&wanted))
        .await?;
    for (file, name) in [(file, "secret"), (payload_file, "payload_secret")] {
        let secret = made.as_object_mut().and_then(|made| made.remove(name));
        if let (Some(file), Some(secret)) = (file, secret.as_ref().and_then(Value::as_str)) {
            file.keep(&Confidential::new(secret))
                .map_err(|error| Failure::failed(format!("the secret cannot be kept: {error}")))?;
        }
    }
    if args.json {
        writeln!(out, "{made}")?;
    } else {
        let id = made["id"].as_str().unwrap_or_default();
        writeln!(out, "created {id} for {}", args.url)?;
    }
    Ok(())
}

fn prepare(path: &Path) -> Result<SecretFile, Failure> {
    SecretFile::prepare(path)
        .map_err(|error| Failure::usage(format!("{} cannot be made: {error}", path.display())))
}

fn encrypts(provider: &str) -> bool {
    providers::find(provider).is_some_and(|provider| provider.needs_payload_secrets())
}
