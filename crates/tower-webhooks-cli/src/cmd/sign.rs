use std::{collections::BTreeMap, io::Write, path::PathBuf};

use http::HeaderMap;
use serde::Serialize;
use tower_webhooks_core::Signer;
use tower_webhooks_sandbox::{Draft, EventSigner};

use crate::{
    args::{BodyArgs, HeaderArgs, PayloadSecretArgs, ProviderArg, SecretArgs, TargetArgs, TimeArg},
    cmd::send::sample,
    failure::Failure,
};

/// Print the headers that a provider would send with a body
///
/// One `name: value` a line, ready for `curl -H @FILE`. For a provider that sends a shared token and
/// signs nothing, the token is one of them. For one that signs with a private key, the secret is that
/// key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks sign --provider mppcash --secret-file secret.txt --body-file body.json > headers.txt
  curl -H @headers.txt --data-binary @body.json http://127.0.0.1:3000/mppcash/events")]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArg,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,

    /// Sign an event of this type: its type, id and nonce go into headers where the provider has them
    ///
    /// Without a body, it is the built-in sample.
    #[arg(short, long, value_name = "TYPE")]
    event: Option<String>,

    #[command(flatten)]
    body: BodyArgs,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    time: TimeArg,

    /// Write the body that goes with the headers to this file
    ///
    /// Needed where the provider writes into it: a signature, a time, or an encrypted payload.
    #[arg(long, value_name = "FILE")]
    body_out: Option<PathBuf>,

    /// Print JSON: {"provider":…,"headers":{name:value}}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let provider = args.provider.provider;
    let body = match &args.event {
        Some(event) if !args.body.is_given() => sample(&provider, event)?,
        _ => args.body.read()?,
    };
    let headers = args.headers.parse_single()?;
    let (method, url) = (args.target.method()?, args.target.url(provider.scheme())?);
    let (secret, now) = (args.secret.one()?, args.time.now());
    let payload_secret = args.payload_secret.one(&provider)?;
    let request = if let Some(event) = &args.event {
        let draft = Draft::new(&provider, Some(event), body.clone());
        let mut signer = EventSigner::new(provider.clone(), secret, url.unwrap_or_default());
        signer = signer.with_method(method);
        if let Some(secret) = payload_secret {
            signer = signer.with_payload_secret(secret);
        }
        for (name, value) in &headers {
            signer = signer.with_header(name.clone(), value.clone());
        }
        signer.sign(&draft, now)
    } else {
        let mut signer = Signer::new(provider.clone(), secret).with_method(method);
        signer = signer.with_url(url.unwrap_or_default());
        if let Some(secret) = payload_secret {
            signer = signer.with_payload_secret(secret);
        }
        for (name, value) in &headers {
            signer = signer.with_header(name.clone(), value.clone());
        }
        signer.sign_request(&body, now)
    };
    let request = request.map_err(Failure::usage)?;
    match &args.body_out {
        Some(path) => std::fs::write(path, &request.body).map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}", path.display()))
        })?,
        None if request.body != body => {
            let why = "this provider writes into the body: --body-out FILE keeps what it sends";
            return Err(Failure::usage(why));
        }
        None => {}
    }
    let headers = readable(&request.headers);
    if args.json {
        let signed = Signed {
            provider: provider.name(),
            headers,
        };
        serde_json::to_writer(&mut *out, &signed)?;
        writeln!(out)?;
    } else {
        for (name, value) in headers {
            writeln!(out, "{name}: {value}")?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Signed<'p> {
    provider: &'p str,
    headers: BTreeMap<String, String>,
}

/// In the order of their names, so that the same input prints the same text.
fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}
