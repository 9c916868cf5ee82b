use std::io::Write;

use serde::Serialize;
use tower_webhooks_inbox::{EventSeq, Inbox, Page};

use super::{
    filter::{FilterArgs, State},
    record::{Record, or_dash, table},
};
use crate::failure::Failure;

/// List events, the oldest first
///
/// Without headers and bodies, which `show` has.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox list --since 2h --type 'transfer.*'
  webhooks inbox list --state unusable --json")]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// In this state, or with a job in it
    #[arg(long, help_heading = "Which events")]
    state: Option<State>,

    #[command(flatten)]
    page: PageArgs,
}

/// A piece of a long list.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which piece")]
pub(super) struct PageArgs {
    /// Begin after this event
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,

    /// At most this many events
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl PageArgs {
    pub(super) fn page(&self) -> Page {
        Page {
            after: self.after.map(EventSeq),
            limit: usize::try_from(self.limit).unwrap_or(usize::MAX),
        }
    }
}

pub(super) async fn run(
    args: Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let filter = args.filter.filter(args.state);
    let listing = inbox
        .list(&filter, args.page.page())
        .await
        .map_err(|error| Failure::chain(&error))?;
    let events: Vec<_> = listing.events.iter().map(Record::new).collect();
    let next = listing.next.map(|next| next.0);
    if json {
        serde_json::to_writer(&mut *out, &Listing { events, next })?;
        writeln!(out)?;
        return Ok(());
    }
    let columns = [
        "event", "received", "endpoint", "tenant", "type", "id", "state", "jobs",
    ];
    writeln!(out, "{}", table(columns, events.iter().map(row)))?;
    say_next(next, out)
}

/// Says how to see what follows, if something does.
pub(super) fn say_next(next: Option<u64>, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(next) = next {
        writeln!(out, "more: --after {next}")?;
    }
    Ok(())
}

fn row(event: &Record<'_>) -> [String; 8] {
    let jobs: Vec<_> = event
        .jobs
        .iter()
        .map(|job| format!("{}: {}", job.handler, job.state))
        .collect();
    [
        event.seq.to_string(),
        event.received_at.clone(),
        event.endpoint.to_owned(),
        or_dash(event.tenant),
        or_dash(event.event_type),
        or_dash(event.id),
        event.state.to_owned(),
        if jobs.is_empty() {
            or_dash(None)
        } else {
            jobs.join(", ")
        },
    ]
}

#[derive(Serialize)]
struct Listing<'r> {
    events: Vec<Record<'r>>,
    /// Where the next piece begins, if there is more.
    next: Option<u64>,
}
