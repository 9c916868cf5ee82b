use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Filter, Inbox, InboxError, Page};

use super::inbox::{
    place::PlaceArg,
    record::{rfc_3339, roughly, table},
};
use crate::{args::parse_moment, failure::Failure};

/// See which secrets events were signed with, and payloads opened with, before one is taken away
///
/// From the events in an inbox, by the secrets' labels: without labels of their own the first is
/// `current` and the one before it `previous`. Reads no secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks secret list --since 7d
  webhooks secret unused previous --endpoint mppcash --since 3d && echo 'take it away'
  webhooks secret unused previous --payload --endpoint pay --since 30d")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    place: PlaceArg,

    /// Of this endpoint
    #[arg(long, value_name = "NAME", global = true)]
    endpoint: Option<String>,

    /// Received then or later: RFC 3339, or how long ago. The default is longer than what most
    /// providers try again in
    #[arg(long, value_name = "TIME", value_parser = parse_moment, default_value = "3d", global = true)]
    since: SystemTime,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List each endpoint's secrets, with when they last matched and how often
    List,
    /// Fail unless a secret has matched before, not since --since, and another one has afterwards
    ///
    /// Only then has the provider changed to the other one. What is `previous` now was `current` before
    /// the change, so it is in use as long as no event has come as `previous`. A secret that opens
    /// payloads opens also what the inbox keeps: what it opened cannot be run again without it.
    Unused {
        /// The secret's label
        label: String,

        /// One of those that open encrypted payloads
        #[arg(long)]
        payload: bool,
    },
}

/// What a secret is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Signature,
    Payload,
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let uses = runtime.block_on(async {
        let opened = args.place.clone().parse()?.open().await?;
        let filter = Filter {
            endpoint: args.endpoint.clone().map(Text::from),
            // Whether one was replaced is told by what came before, too.
            received_from: matches!(args.command, Command::List).then_some(args.since),
            ..Filter::default()
        };
        let uses = uses(opened.inbox(), &filter).await;
        opened.close().await;
        uses.map_err(|error| Failure::chain(&error))
    })?;
    let now = SystemTime::now();
    let mut shown: Vec<_> = uses
        .iter()
        .map(|(name, one)| Shown::new(name, one, now))
        .collect();
    let refused = match &args.command {
        Command::List => None,
        Command::Unused { label, payload } => {
            let kind = match payload {
                true => Kind::Payload,
                false => Kind::Signature,
            };
            let refused = why_not(label, kind, args.since, &uses, now);
            shown.retain(|one| one.secret == label && one.kind == kind);
            refused
        }
    };
    if args.json {
        serde_json::to_writer(&mut *out, &shown)?;
        writeln!(out)?;
    } else if matches!(args.command, Command::List) {
        let columns = ["endpoint", "secret", "events", "last matched", "ago"];
        writeln!(out, "{}", table(columns, shown.iter().map(Shown::row)))?;
    }
    refused.map_or(Ok(()), |why| Err(Failure::failed(why)))
}

/// Why the secret must not be taken away.
fn why_not(
    label: &str,
    kind: Kind,
    since: SystemTime,
    uses: &Uses,
    now: SystemTime,
) -> Option<String> {
    let ago = |at| roughly(now.duration_since(at).unwrap_or_default());
    let (without, by) = match kind {
        Kind::Signature => ("refused", "signed with"),
        Kind::Payload => ("unusable", "opened by"),
    };
    let mut is_known = false;
    let of_kind = || uses.iter().filter(|((_, of, _), _)| *of == kind);
    for ((endpoint, ..), one) in of_kind().filter(|((.., of), _)| of == label) {
        is_known = true;
        let events = one.events;
        if one.last >= since {
            return Some(format!(
                "{label} is in use, so without it events would be {without}: {endpoint} has \
                 {events} of its events, the last {} ago",
                ago(one.last)
            ));
        }
        let mut others = of_kind().filter(|((at, _, of), _)| at == endpoint && of != label);
        if !others.any(|(_, other)| other.last > one.last) {
            return Some(format!(
                "no other secret of {endpoint} has matched since {label} last did, {} ago: nothing \
                 tells that one took its place",
                ago(one.last)
            ));
        }
    }
    // A label moves from secret to secret, so what `previous` is now may have come as `current`.
    (!is_known).then(|| {
        format!("no event was {by} {label}: nothing tells that the provider stopped using it")
    })
}

/// How often one secret matched, and when it last did.
struct Use {
    events: u64,
    last: SystemTime,
}

/// By endpoint, kind and label.
type Uses = BTreeMap<(Text, Kind, Text), Use>;

/// What the events tell. Redeliveries of a known one leave no trace.
async fn uses(inbox: &dyn Inbox, filter: &Filter) -> Result<Uses, InboxError> {
    let mut uses = BTreeMap::new();
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let listing = inbox.list(filter, page).await?;
        for record in listing.events {
            let event = &record.event;
            for (kind, label) in [
                (Kind::Signature, &event.secret_label),
                (Kind::Payload, &event.payload_label),
            ] {
                let Some(label) = label else {
                    continue;
                };
                let name = (event.endpoint.clone(), kind, label.clone());
                let found: &mut Use = uses.entry(name).or_insert(Use {
                    events: 0,
                    last: event.received_at,
                });
                found.events = found.events.saturating_add(1);
                found.last = found.last.max(event.received_at);
            }
        }
        page.after = listing.next;
        if page.after.is_none() {
            return Ok(uses);
        }
    }
}

/// Few enough to be read at once beside a busy receiver.
const PAGE: usize = 1_000;

#[derive(Serialize)]
struct Shown<'u> {
    endpoint: &'u str,
    kind: Kind,
    secret: &'u str,
    events: u64,
    /// In RFC 3339.
    last_matched: String,
    seconds_ago: u64,
}

impl<'u> Shown<'u> {
    fn new((endpoint, kind, secret): &'u (Text, Kind, Text), one: &Use, now: SystemTime) -> Self {
        let ago = now.duration_since(one.last).unwrap_or_default();
        Self {
            endpoint,
            kind: *kind,
            secret,
            events: one.events,
            last_matched: rfc_3339(one.last),
            seconds_ago: ago.as_secs(),
        }
    }

    fn ago(&self) -> String {
        roughly(Duration::from_secs(self.seconds_ago))
    }

    fn row(&self) -> [String; 5] {
        [
            self.endpoint.to_owned(),
            match self.kind {
                Kind::Signature => self.secret.to_owned(),
                Kind::Payload => format!("{} (payload)", self.secret),
            },
            self.events.to_string(),
            self.last_matched.clone(),
            self.ago(),
        ]
    }
}
