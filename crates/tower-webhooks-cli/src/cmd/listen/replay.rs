use std::{io::Write, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use tower_webhooks_core::{Provider, providers};
use tower_webhooks_inbox::StoredEvent;
use tower_webhooks_sandbox::{Draft, EventSigner};

use crate::{
    args::{SecretArgs, load_provider},
    cmd::{
        inbox::{PlaceArg, find},
        send::token,
    },
    failure::Failure,
    post::Poster,
};

/// How long an answer is waited for: as long as most providers do.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What belonged to the connection that an event came on.
const OF_THE_WAY: [HeaderName; 7] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// Send a kept event again: the same bytes under the same id, signed anew
///
/// Dated and signed now, so that no tolerance refuses it. A receiver that has had it takes it for the
/// duplicate that it is. For a provider that signs with a private key, the secret is one of yours, and
/// the receiver needs its public half.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks listen replay 12 --inbox stripe.db --secret-file secret.txt --url http://127.0.0.1:3000/hooks")]
pub(super) struct Args {
    /// Its number in the inbox, as `webhooks inbox list` shows it
    #[arg(value_name = "SEQ")]
    seq: u64,

    #[command(flatten)]
    place: PlaceArg,

    /// Who sent it [default: the preset that its endpoint is named after]
    #[arg(short, long, value_name = "NAME|FILE", value_parser = load_provider)]
    provider: Option<Arc<Provider>>,

    #[command(flatten)]
    secret: SecretArgs,

    /// Where to post it
    #[arg(long)]
    url: String,

    /// The URL that is signed, where the provider signs it [default: where it is posted]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What was sent again, and what came of it.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    event_type: Option<&'a str>,
    id: Option<&'a str>,
    status: u16,
    millis: f64,
    body: &'a str,
}

pub(super) async fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let poster = Poster::new(&args.url, TIMEOUT)?;
    let opened = args.place.parse()?.open().await?;
    let found = find(opened.inbox(), args.seq).await;
    opened.close().await;
    let event = found?.event;
    let provider = match args.provider {
        Some(provider) => provider,
        None => providers::find(&event.endpoint)
            .map(Arc::new)
            .ok_or_else(|| {
                let endpoint = &event.endpoint;
                Failure::usage(format!(
                    "{endpoint} is the name of no preset: give --provider"
                ))
            })?,
    };
    let url = args.public_url.unwrap_or(args.url);
    let request = sign(&provider, &event, args.secret, url)?;
    let token = token(&provider, &request.headers, &request.body);
    let answer = poster
        .post(request.headers, request.body, token.as_deref())
        .await?;
    let (status, line) = (answer.status, &answer.line);
    if args.json {
        let line = Line {
            seq: args.seq,
            event_type: event.event_type.as_deref(),
            id: event.id.as_deref(),
            status,
            millis: answer.took.as_micros() as f64 / 1_000.0,
            body: line,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    } else {
        let colon = if line.is_empty() { "" } else { ": " };
        writeln!(out, "{status}{colon}{line}")?;
    }
    if (200..300).contains(&status) {
        Ok(())
    } else {
        Err(Failure::failed("not answered with 2xx"))
    }
}

/// What is sealed stays sealed: the bytes are those that came.
fn sign(
    provider: &Arc<Provider>,
    event: &StoredEvent,
    secret: SecretArgs,
    url: String,
) -> Result<tower_webhooks_core::SignedRequest, Failure> {
    let Some(body) = &event.body else {
        return Err(Failure::failed("its body was pruned or erased"));
    };
    let as_it_is = Provider::clone(provider).without_encryption();
    let mut draft = Draft::new(&as_it_is, None, body.clone());
    draft.headers.extend(kept_headers(event));
    EventSigner::new(as_it_is, secret.one()?, url)
        .sign(&draft, SystemTime::now())
        .map_err(Failure::usage)
}

fn kept_headers(event: &StoredEvent) -> HeaderMap {
    let kept = event.headers.iter().filter_map(|(name, value)| {
        let name: HeaderName = name.as_str().parse().ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        (!OF_THE_WAY.contains(&name)).then_some((name, value))
    });
    kept.collect()
}
