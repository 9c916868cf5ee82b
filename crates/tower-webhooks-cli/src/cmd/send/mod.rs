mod faulty;

use std::{io::Write, sync::Arc, time::Duration, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use tower_webhooks_core::{
    Provider, SignedRequest, Text,
    provider::{Prefix, Scheme},
};
use tower_webhooks_sandbox::{Draft, EventSigner, faults::Fault};

use crate::{
    args::{BodyArgs, HeaderArgs, PayloadSecretArgs, ProviderArg, SecretArgs, parse_seconds},
    failure::Failure,
    post::{Answer, Poster},
    words::nearest,
};

/// How long an answer is waited for where the provider does not say how long it waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sign and post a webhook
///
/// Prints status, time and the first line of each answer; exits with 1 if one was not 2xx.
///
/// A sample is made a new event each time: it gets a new id, and, where none is sent that the
/// signature binds to the body, a member `webhooks_send` that tells it from the others. A body of
/// your own is first sent as it is, and then, with --count, made new like a sample.
///
/// For a provider that signs with a private key, the secret is that key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks send --provider mppcash --event transfer.settled --secret-file secret.txt \\
    --url http://127.0.0.1:3000/mppcash/events
  webhooks send --provider m2m --event link.opened --fault duplicate --fault stale-timestamp \\
    --url http://127.0.0.1:3000/webhooks/m2m")]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArg,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,

    /// Where to post it
    #[arg(long)]
    url: String,

    /// The URL that is signed, where the provider signs it [default: where it is posted]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Send the built-in sample of this event type; `webhooks providers NAME` lists them
    #[arg(short, long, value_name = "TYPE", conflicts_with = "BodyArgs")]
    event: Option<String>,

    #[command(flatten)]
    body: BodyArgs,
    #[command(flatten)]
    headers: HeaderArgs,

    /// How many to send, one after another
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// Send the body as it is, every time: the same event again
    #[arg(long)]
    same: bool,

    /// How long to wait for each answer [default: as long as the provider does, or 30]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,

    /// Send it with something wrong, and judge the answers; may be repeated
    ///
    /// Exits with 1 if an answer was not what is right for that fault. Played over http, and always
    /// with new events.
    #[arg(
        long = "fault",
        value_name = "FAULT",
        value_parser = fault,
        conflicts_with_all = ["count", "same", "headers"]
    )]
    faults: Vec<Fault>,

    /// Print a JSON object a line: {"status":…,"millis":…,"body":…,"event_type":…,"id":…}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    if !args.faults.is_empty() {
        return faulty::run(args, out);
    }
    let provider = args.provider.provider;
    let timeout = args
        .timeout
        .or_else(|| provider.retries().deadline)
        .unwrap_or(DEFAULT_TIMEOUT);
    let poster = Poster::new(&args.url, timeout)?;
    let headers = args.headers.parse_single()?;
    let url = args.public_url.unwrap_or(args.url);
    let mut signer = EventSigner::new(provider.clone(), args.secret.one()?, url);
    if let Some(secret) = args.payload_secret.one(&provider)? {
        signer = signer.with_payload_secret(secret);
    }
    for (name, value) in &headers {
        signer = signer.with_header(name.clone(), value.clone());
    }
    let (body, is_sample) = match &args.event {
        Some(event) => (sample(&provider, event)?, true),
        None if args.body.is_given() => (args.body.read()?, false),
        None => {
            let known = known_events(&provider);
            let advice = format!("nothing to send: give --event ({known}) or --data");
            return Err(Failure::usage(advice));
        }
    };

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let first = Draft::new(&provider, args.event.as_deref(), body);
    let mut refused = 0;
    for index in 0..args.count {
        let draft = if !args.same && (is_sample || index > 0) {
            first.renewed(&provider).ok_or_else(|| {
                Failure::usage("the body cannot be made a new event: --same sends it as it is")
            })?
        } else {
            first.clone()
        };
        let request = signer
            .sign(&draft, SystemTime::now())
            .map_err(Failure::usage)?;
        let SignedRequest {
            headers: sent,
            body,
            ..
        } = request;
        let token = token(&provider, &sent, &body);
        let answer = runtime.block_on(poster.post(sent, body, token.as_deref()))?;
        if !(200..300).contains(&answer.status) {
            refused += 1;
        }
        report(&provider, draft, &headers, &answer, args.json, out)?;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{refused} of {} not answered with 2xx",
            args.count
        ))),
    }
}

/// The token itself, where a token is what is sent.
pub(super) fn token(provider: &Provider, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let Scheme::Token(scheme) = provider.scheme() else {
        return None;
    };
    let value = match (provider.scheme().header(), provider.scheme().field()) {
        (Some(header), _) => headers.get(header)?.to_str().ok()?.to_owned(),
        (None, pointer) => {
            let whole: serde_json::Value = serde_json::from_slice(body).ok()?;
            let value = whole.pointer(&pointer?.replace('*', "0"))?;
            value.as_str()?.to_owned()
        }
    };
    match scheme.prefix() {
        Prefix::Required(prefix) => value.strip_prefix(prefix.as_str()).map(str::to_owned),
        _ => Some(value),
    }
}

fn report(
    provider: &Arc<Provider>,
    mut draft: Draft,
    headers: &HeaderMap,
    answer: &Answer,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let millis = answer.took.as_secs_f64() * 1_000.0;
    if !json {
        let (status, line) = (answer.status, &answer.line);
        let colon = if line.is_empty() { "" } else { ": " };
        writeln!(out, "{status} in {millis:.1} ms{colon}{line}")?;
        return Ok(());
    }
    draft.headers.extend(headers.clone());
    let event = draft.head(provider).ok();
    let line = Line {
        status: answer.status,
        millis: (millis * 1_000.0).round() / 1_000.0,
        body: &answer.line,
        event_type: event.as_ref().map(|event| event.event_type().as_str()),
        id: event
            .as_ref()
            .and_then(|event| event.id())
            .map(Text::as_str),
    };
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)?;
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    status: u16,
    millis: f64,
    body: &'a str,
    event_type: Option<&'a str>,
    id: Option<&'a str>,
}

pub(crate) fn sample(provider: &Provider, event: &str) -> Result<Bytes, Failure> {
    let names = || {
        provider
            .events()
            .list
            .iter()
            .map(|event| event.name.as_str())
    };
    let Some(known) = provider.events().find(event) else {
        return Err(Failure::usage(match nearest(event, names()) {
            Some(near) => format!("no sample of {event} is known; did you mean {near}?"),
            None => {
                let known = known_events(provider);
                format!("no sample of {event} is known: use one of {known}, or give --data")
            }
        }));
    };
    match &known.sample {
        Some(sample) => Ok(sample.as_str().to_owned().into()),
        None => Err(Failure::usage(format!(
            "the description has no sample of {event}: give --data"
        ))),
    }
}

fn known_events(provider: &Provider) -> String {
    let names: Vec<_> = provider
        .events()
        .list
        .iter()
        .map(|event| event.name.as_str())
        .collect();
    if names.is_empty() {
        "the description lists none".to_owned()
    } else {
        names.join(", ")
    }
}

fn fault(name: &str) -> Result<Fault, String> {
    name.parse().map_err(|_| {
        let names = || Fault::ALL.into_iter().map(Fault::name);
        match nearest(name, names()) {
            Some(near) => format!("there is no such fault; did you mean {near}?"),
            None => {
                let names: Vec<_> = names().collect();
                format!("there is no such fault: use one of {}", names.join(", "))
            }
        }
    })
}
