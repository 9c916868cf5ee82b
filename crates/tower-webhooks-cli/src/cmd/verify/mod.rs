mod explain;

use std::{io::Write, time::SystemTime};

use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use tower_webhooks_core::{
    Delivery, EventHead, Head, Rejection, RejectionKind, Text, Unusable, Verifier,
};

use self::explain::{ExplainArgs, Given};
use crate::{
    args::{BodyArgs, HeaderArgs, PayloadSecretArgs, ProviderArg, SecretArgs, TargetArgs, TimeArg},
    failure::Failure,
};

/// Check a request as a receiver would
///
/// Prints which secret matched and what the event is, and exits with 0; or prints
/// `rejected: KIND` and exits with 1. An authentic body that names no event is not rejected.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks verify --provider mppcash --secret-file secret.txt \\
    --header 'x-mppcash-signature: 5f0c…' --body-file body.json

With --explain a request that fails is tried again with what usually goes wrong undone: a line end in
the secret, a body that was written again, another encoding. It prints each cause, how sure that is
(certain, likely or possible), and what to change. Nothing
about the secret or the body is certain unless the signature then matches.")]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArg,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,
    #[command(flatten)]
    body: BodyArgs,
    #[command(flatten)]
    headers: HeaderArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    time: TimeArg,
    #[command(flatten)]
    explain: ExplainArgs,

    /// Print JSON: {"verified":…,"provider":…} with the event, or with "rejection"
    ///
    /// With --explain and a request that fails also "findings", "tried", "complete" and "setup_error".
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let provider = args.provider.provider;
    // That no URL was given is explained too.
    let url = if args.explain.explain {
        args.target.given()?
    } else {
        args.target.url(provider.scheme())?
    };
    let uri: Uri = url
        .unwrap_or("/")
        .parse()
        .map_err(|_| Failure::usage("--url is not a URL"))?;
    let public_url = url.map(|url| url.split_once('?').map_or(url, |(before, _)| before));
    let public_url = public_url.map(Text::from);
    let secrets = args.secret.all()?;
    let (method, headers) = (args.target.method()?, args.headers.parse()?);
    let body = args.body.read()?;
    let now = args.time.now();
    if args.explain.explain {
        let given = Given {
            method: &method,
            uri: &uri,
            public_url: public_url.clone(),
            headers: &headers,
            body: &body,
            now,
        };
        let explanation = args.explain.explain(&provider, &secrets, &given)?;
        if !explanation.findings().is_empty() {
            return Err(explain::report(&provider, &explanation, args.json, out)?);
        }
    }
    let verifier = Verifier::new(provider.clone(), &secrets)
        .map_err(Failure::usage)?
        .with_public_url(public_url);
    let verifier = match args.payload_secret.all(&provider)? {
        Some(secrets) => verifier
            .with_payload_secrets(&secrets)
            .map_err(Failure::usage)?,
        None => verifier,
    };

    let verdict = provider.screen(&headers, now).and_then(|screened| {
        verifier.verify(Head::new(&method, &uri, &headers), &screened, body, now)
    });
    let report = Report::new(provider.name(), &verdict);
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        report.write(out)?;
    }
    verdict
        .map(|_| ())
        .map_err(|rejection| Failure::failed(what_to_change(rejection.kind())))
}

/// What is said of a request.
#[derive(Serialize)]
struct Report<'r> {
    verified: bool,
    provider: &'r str,
    #[serde(flatten)]
    verdict: Verdict<'r>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Verdict<'r> {
    Accepted {
        /// The label of the secret that matched.
        secret: Option<&'r str>,
        /// The label of the secret that opened the payload.
        #[serde(skip_serializing_if = "Option::is_none")]
        payload_secret: Option<&'r str>,
        /// When it was signed, in RFC 3339.
        signed_at: Option<String>,
        #[serde(flatten)]
        events: Events<'r>,
    },
    Rejected {
        rejection: &'static str,
    },
}

/// What a body holds.
#[derive(Serialize)]
#[serde(untagged)]
enum Events<'r> {
    One(Event<'r>),
    Several { events: Vec<Event<'r>> },
}

#[derive(Serialize)]
struct Event<'r> {
    event_type: Option<&'r str>,
    id: Option<&'r str>,
    /// When it happened, in RFC 3339.
    time: Option<String>,
    /// Why the body names no event.
    unusable: Option<&'static str>,
}

impl<'r> Events<'r> {
    fn of(delivery: &'r Delivery) -> Self {
        match (delivery.items(), delivery.event()) {
            (Some(items), Err(Unusable::Batch)) => Self::Several {
                events: items.iter().map(|item| Event::of(item.event())).collect(),
            },
            (_, event) => Self::One(Event::of(event)),
        }
    }
}

impl<'r> Event<'r> {
    fn of(event: Result<&'r EventHead, Unusable>) -> Self {
        let head = event.ok();
        Self {
            event_type: head.map(|head| head.event_type().as_str()),
            id: head.and_then(EventHead::id).map(Text::as_str),
            time: head.and_then(EventHead::occurred_at).and_then(rfc_3339),
            unusable: event.err().map(Unusable::as_str),
        }
    }

    fn named(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("type", self.event_type),
            ("id", self.id),
            ("time", self.time.as_deref()),
            ("unusable", self.unusable),
        ]
    }

    /// One of several, in one line.
    fn words(&self) -> String {
        let words = self.named().into_iter().filter_map(|(name, value)| {
            let value = value?;
            Some(match name {
                "unusable" => format!("unusable: {value}"),
                _ => value.to_owned(),
            })
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

impl<'r> Report<'r> {
    fn new(provider: &'r str, verdict: &'r Result<Delivery, Rejection>) -> Self {
        let (verified, verdict) = match verdict {
            Ok(delivery) => {
                let accepted = Verdict::Accepted {
                    secret: delivery.secret_label().map(Text::as_str),
                    payload_secret: delivery.payload_label().map(Text::as_str),
                    signed_at: delivery.signed_at().and_then(rfc_3339),
                    events: Events::of(delivery),
                };
                (true, accepted)
            }
            Err(rejection) => {
                let rejected = Verdict::Rejected {
                    rejection: rejection.kind().as_str(),
                };
                (false, rejected)
            }
        };
        Self {
            verified,
            provider,
            verdict,
        }
    }

    fn write(&self, out: &mut impl Write) -> Result<(), Failure> {
        match &self.verdict {
            Verdict::Accepted {
                secret,
                payload_secret,
                signed_at,
                events,
            } => {
                writeln!(out, "verified: {}", self.provider)?;
                let mut lines = vec![("secret", *secret), ("payload secret", *payload_secret)];
                let count;
                match events {
                    Events::One(event) => lines.extend(event.named()),
                    Events::Several { events } => {
                        count = events.len().to_string();
                        lines.push(("events", Some(&count)));
                    }
                }
                // Before the reason why it names no event.
                let last = lines.pop_if(|(name, _)| *name == "unusable");
                lines.push(("signed", signed_at.as_deref()));
                for (name, value) in lines.into_iter().chain(last) {
                    if let Some(value) = value {
                        writeln!(out, "{name}: {value}")?;
                    }
                }
                if let Events::Several { events } = events {
                    for (number, event) in (1..).zip(events) {
                        writeln!(out, "event {number}: {}", event.words())?;
                    }
                }
            }
            Verdict::Rejected { rejection } => writeln!(out, "rejected: {rejection}")?,
        }
        Ok(())
    }
}

fn rfc_3339(at: SystemTime) -> Option<String> {
    Timestamp::try_from(at).ok().map(|at| at.to_string())
}

/// What to look at first.
const fn what_to_change(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::SignatureMalformed => {
            "the header has not the form of this provider's signature; see `webhooks providers NAME`"
        }
        RejectionKind::SignatureMismatch => {
            "another secret was used, or other bytes: the body must be exactly as it was sent; \
             --explain tries to find out"
        }
        RejectionKind::SignatureMissing => {
            "a header that is needed was not given; see `webhooks providers NAME`"
        }
        RejectionKind::SignatureRepeated => "a header that must stand there once is given twice",
        RejectionKind::TimestampFuture | RejectionKind::TimestampStale => {
            "the signed time is too far from now; --now checks an older request as of its own time"
        }
        RejectionKind::TimestampMalformed | RejectionKind::TimestampMissing => {
            "the signed time is absent or not in this provider's form; see `webhooks providers NAME`"
        }
        _ => "see `webhooks providers NAME` for what this provider sends",
    }
}
