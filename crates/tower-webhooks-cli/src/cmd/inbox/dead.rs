use std::io::Write;

use serde::Serialize;
use tower_webhooks_inbox::{EventRecord, Inbox, JobRecord};

use super::{
    filter::{FilterArgs, State},
    list::{PageArgs, say_next},
    record::{Job, or_dash, rfc_3339, table},
};
use crate::failure::Failure;

/// List the jobs that will not run again by themselves, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks inbox dead --handler ship --since 2h")]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(
    args: Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let filter = args.filter.filter(Some(State::Dead));
    let listing = inbox
        .list(&filter, args.page.page())
        .await
        .map_err(|error| Failure::chain(&error))?;
    let dead: Vec<_> = listing
        .events
        .iter()
        .flat_map(|record| {
            let jobs = record.jobs.iter();
            jobs.filter(|job| filter.matches_job(&job.handler, job.state))
                .map(move |job| Dead::new(record, job))
        })
        .collect();
    let next = listing.next.map(|next| next.0);
    if json {
        serde_json::to_writer(&mut *out, &Listing { dead, next })?;
        writeln!(out)?;
        return Ok(());
    }
    let columns = [
        "event", "received", "endpoint", "handler", "type", "id", "attempts", "error",
    ];
    writeln!(out, "{}", table(columns, dead.iter().map(Dead::row)))?;
    say_next(next, out)
}

#[derive(Serialize)]
struct Listing<'r> {
    dead: Vec<Dead<'r>>,
    /// Where the next piece begins, if there is more.
    next: Option<u64>,
}

/// A dead job and its event.
#[derive(Serialize)]
struct Dead<'r> {
    seq: u64,
    endpoint: &'r str,
    tenant: Option<&'r str>,
    id: Option<&'r str>,
    event_type: Option<&'r str>,
    /// In RFC 3339.
    received_at: String,
    #[serde(flatten)]
    job: Job<'r>,
}

impl<'r> Dead<'r> {
    fn new(record: &'r EventRecord, job: &'r JobRecord) -> Self {
        let event = &*record.event;
        Self {
            seq: event.seq.0,
            endpoint: &event.endpoint,
            tenant: event.tenant.as_deref(),
            id: event.id.as_deref(),
            event_type: event.event_type.as_deref(),
            received_at: rfc_3339(event.received_at),
            job: Job::new(job),
        }
    }

    fn row(&self) -> [String; 8] {
        [
            self.seq.to_string(),
            self.received_at.clone(),
            self.endpoint.to_owned(),
            self.job.handler.to_owned(),
            or_dash(self.event_type),
            or_dash(self.id),
            self.job.attempts.to_string(),
            or_dash(self.job.last_error),
        ]
    }
}
