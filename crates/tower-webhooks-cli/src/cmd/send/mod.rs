mod faulty;

use std::{io::Write, sync::Arc, time::Duration, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use tower_webhooks_core::{
    Delivery, Provider, Restored, Signer, Text,
    provider::{Prefix, Scheme},
};
use tower_webhooks_sandbox::{faults::Fault, renew, type_header};

use crate::{
    args::{BodyArgs, HeaderArgs, ProviderArg, SecretArgs, parse_seconds},
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
/// A sample is made a new event each time: it gets a new id, or, where the provider sends no ids, a
/// member `webhooks_send` that tells it from the others. A body of your own is first sent as it is,
/// and then, with --count, made new like a sample.
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

    /// Where to post it
    #[arg(long)]
    url: String,

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
    let mut signer = Signer::new(provider.clone(), args.secret.one()?).with_url(args.url);
    if let Some((name, value)) = args
        .event
        .as_deref()
        .and_then(|event| type_header(&provider, event))
    {
        signer = signer.with_header(name, value);
    }
    for (name, value) in &args.headers.parse_single()? {
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
    let mut refused = 0;
    for index in 0..args.count {
        let is_new = !args.same && (is_sample || index > 0);
        let outgoing = Outgoing::new(&provider, &signer, &body, is_new)?;
        let post = poster.post(
            outgoing.headers.clone(),
            outgoing.body.clone(),
            outgoing.token(&provider),
        );
        let answer = runtime.block_on(post)?;
        if !(200..300).contains(&answer.status) {
            refused += 1;
        }
        report(&provider, outgoing, &answer, args.json, out)?;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{refused} of {} not answered with 2xx",
            args.count
        ))),
    }
}

/// A request that is ready to go.
struct Outgoing {
    headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    fn new(
        provider: &Provider,
        signer: &Signer,
        body: &Bytes,
        is_new: bool,
    ) -> Result<Self, Failure> {
        let mut signer = signer.clone();
        let mut body = body.clone();
        if is_new {
            let renewed = std::str::from_utf8(&body)
                .ok()
                .and_then(|text| renew(provider, text))
                .ok_or_else(|| {
                    Failure::usage("the body cannot be made a new event: --same sends it as it is")
                })?;
            body = renewed.body.into();
            if let Some((name, value)) = renewed.id_header {
                signer = signer.with_header(name, value);
            }
        }
        let headers = signer
            .sign(&body, SystemTime::now())
            .map_err(Failure::usage)?;
        Ok(Self { headers, body })
    }

    /// The token itself, where a token is what is sent.
    fn token(&self, provider: &Provider) -> Option<&str> {
        let Scheme::Token(scheme) = provider.scheme() else {
            return None;
        };
        let value = self
            .headers
            .get(provider.scheme().header()?)?
            .to_str()
            .ok()?;
        match scheme.prefix() {
            Prefix::Required(prefix) => value.strip_prefix(prefix.as_str()),
            _ => Some(value),
        }
    }
}

fn report(
    provider: &Arc<Provider>,
    outgoing: Outgoing,
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
    let mut sent = Restored::new(outgoing.body, SystemTime::now());
    sent.headers = outgoing.headers;
    let delivery = Delivery::insecure_restore(Arc::clone(provider), sent);
    let event = delivery.event().ok();
    let line = Line {
        status: answer.status,
        millis: (millis * 1_000.0).round() / 1_000.0,
        body: &answer.line,
        event_type: event.map(|event| event.event_type().as_str()),
        id: event.and_then(|event| event.id()).map(Text::as_str),
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

fn sample(provider: &Provider, event: &str) -> Result<Bytes, Failure> {
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
