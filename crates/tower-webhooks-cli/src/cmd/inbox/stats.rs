use std::{io::Write, time::Duration};

use serde::{Serialize, Serializer};
use tower_webhooks_inbox::{EventState, HandlerStats, Inbox, JobState, Stats};

use super::{
    condition::Condition,
    record::{or_dash, roughly, table},
};
use crate::failure::Failure;

/// Count events and jobs, and fail if a condition holds
///
/// Events are conflict, routed, unhandled or unusable; jobs are dead, done, pending or running.
/// Orphaned are those of the pending that nobody will run: no worker has asked for their handler's
/// jobs in the last 60 seconds. Undecided are replies that were reserved and not recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Counts:
  conflict, routed, unhandled, unusable             events
  pending, running, done, dead                      jobs
  orphaned                                          pending jobs of handlers that no worker has
  oldest_pending_seconds                            since the oldest pending job's event came, retries included
  undecided                                         replies
  held_bytes                                        of bodies and headers

Example, which exits with 1 if a job is dead or waits for nobody, or an event for over 5 minutes:
  webhooks inbox stats --fail-if 'dead>0' --fail-if 'orphaned>0' \\
    --fail-if 'oldest_pending_seconds>300'")]
pub(super) struct Args {
    /// Exit with 1 if this holds of one of the counts: =, !=, <, <=, > or >=; may be repeated
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    fail_if: Vec<Condition>,
}

pub(super) async fn run(
    args: &Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let stats = inbox
        .stats()
        .await
        .map_err(|error| Failure::chain(&error))?;
    let counts = Counts::new(&stats);
    let handlers: Vec<_> = stats.handlers.iter().map(Handler::new).collect();
    if json {
        let report = Report {
            counts: &counts,
            handlers,
        };
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        for (name, count) in &counts.0 {
            writeln!(out, "{name}: {count}")?;
        }
        if !handlers.is_empty() {
            let columns = [
                "endpoint", "handler", "pending", "running", "done", "dead", "orphaned", "asked",
            ];
            writeln!(out, "\n{}", table(columns, handlers.iter().map(row)))?;
        }
    }
    let complaints: Vec<_> = args
        .fail_if
        .iter()
        .filter_map(|condition| condition.complaint(&counts))
        .collect();
    match complaints.as_slice() {
        [] => Ok(()),
        complaints => Err(Failure::failed(complaints.join("; "))),
    }
}

/// The numbers, by the names that conditions use.
pub(super) struct Counts([(&'static str, u64); 12]);

impl Counts {
    pub(super) const NAMES: [&'static str; 12] = [
        "conflict",
        "routed",
        "unhandled",
        "unusable",
        "pending",
        "running",
        "done",
        "dead",
        "orphaned",
        "oldest_pending_seconds",
        "undecided",
        "held_bytes",
    ];

    pub(super) fn new(stats: &Stats) -> Self {
        let events = |state| stats.events.get(&state).copied().unwrap_or(0);
        let counts = [
            events(EventState::Conflict),
            events(EventState::Routed),
            events(EventState::Unhandled),
            events(EventState::Unusable),
            stats.jobs(JobState::Pending),
            stats.jobs(JobState::Running),
            stats.jobs(JobState::Done),
            stats.jobs(JobState::Dead),
            stats.orphaned(),
            stats.oldest_pending.as_ref().map_or(0, Duration::as_secs),
            stats.undecided,
            stats.held_bytes,
        ];
        let mut names = Self::NAMES.into_iter();
        Self(counts.map(|count| (names.next().unwrap_or_default(), count)))
    }

    pub(super) fn named(&self, name: &str) -> Option<u64> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, count)| *count)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

#[derive(Serialize)]
struct Report<'r> {
    #[serde(flatten)]
    counts: &'r Counts,
    handlers: Vec<Handler<'r>>,
}

#[derive(Serialize)]
struct Handler<'r> {
    endpoint: &'r str,
    handler: &'r str,
    pending: u64,
    running: u64,
    done: u64,
    dead: u64,
    /// Those of the pending that no worker has asked for in a minute.
    orphaned: u64,
    /// How long since a worker last asked for its jobs.
    unasked_seconds: Option<u64>,
}

impl<'r> Handler<'r> {
    fn new(stats: &'r HandlerStats) -> Self {
        Self {
            endpoint: &stats.endpoint,
            handler: &stats.handler,
            pending: stats.pending,
            running: stats.running,
            done: stats.done,
            dead: stats.dead,
            orphaned: stats.orphaned(),
            unasked_seconds: stats.unasked.as_ref().map(Duration::as_secs),
        }
    }
}

fn row(handler: &Handler<'_>) -> [String; 8] {
    let asked = handler
        .unasked_seconds
        .map(|seconds| format!("{} ago", roughly(Duration::from_secs(seconds))));
    [
        handler.endpoint.to_owned(),
        handler.handler.to_owned(),
        handler.pending.to_string(),
        handler.running.to_string(),
        handler.done.to_string(),
        handler.dead.to_string(),
        handler.orphaned.to_string(),
        or_dash(asked.as_deref()),
    ]
}
