use std::{collections::BTreeMap, io::Write};

use http::HeaderMap;
use serde::Serialize;
use tower_webhooks_core::Signer;

use crate::{
    args::{BodyArgs, HeaderArgs, ProviderArg, SecretArgs, TargetArgs, TimeArg},
    failure::Failure,
};

/// Print the headers that a provider would send with a body
///
/// One `name: value` a line, ready for `curl -H @FILE`. For a provider that sends a shared token and
/// signs nothing, the token is one of them.
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
    body: BodyArgs,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    time: TimeArg,

    /// Print JSON: {"provider":…,"headers":{name:value}}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let provider = args.provider.provider;
    let mut signer =
        Signer::new(provider.clone(), args.secret.one()?).with_method(args.target.method()?);
    if let Some(url) = args.target.url(provider.scheme())? {
        signer = signer.with_url(url);
    }
    for (name, value) in &args.headers.parse_single()? {
        signer = signer.with_header(name.clone(), value.clone());
    }
    let headers = signer
        .sign(&args.body.read()?, args.time.now())
        .map_err(Failure::usage)?;
    let headers = readable(&headers);
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
