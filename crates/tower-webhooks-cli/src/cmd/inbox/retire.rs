use std::io::Write;

use serde::Serialize;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Inbox, Retire};

use super::{PAUSE, record::roughly};
use crate::failure::Failure;

/// How many jobs one transaction deletes.
const MAX_STEP_JOBS: usize = 200;

/// Take a handler out for good that no program has any more
///
/// After a handler was removed or renamed, the inbox still makes a job for it of every event that its
/// pattern matches, so that no deploy misses one. This ends that: its jobs that are pending, running or
/// dead are deleted, and what was done stays as history. Events that have no job left are unhandled
/// then: `webhooks inbox replay --state unhandled` gives them to the handlers there are.
///
/// Exits with 1 while a worker asks for the handler, which would bring it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox stats
  webhooks inbox retire --endpoint shop --handler ship-by-mail --yes")]
pub(super) struct Args {
    /// The endpoint that had the handler
    #[arg(long, value_name = "NAME")]
    endpoint: String,

    /// The handler's name in the inbox
    #[arg(long, value_name = "NAME")]
    handler: String,

    /// Also if a worker asked for it within the last minute
    #[arg(long)]
    force: bool,

    /// Really: it cannot be undone
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(
    args: Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let named = format!("handler {} of {}", args.handler, args.endpoint);
    if !args.yes {
        return Err(Failure::usage(format!(
            "this deletes the unfinished and dead jobs of {named} and cannot be undone: give --yes too"
        )));
    }
    let what = Retire {
        endpoint: Text::from(args.endpoint),
        handler: Text::from(args.handler),
        force: args.force,
    };
    let (mut report, mut known) = (Report::default(), false);
    loop {
        let step = inbox.retire(&what, MAX_STEP_JOBS).await;
        let step = step.map_err(|error| Failure::chain(&error))?;
        if let Some(asked) = step.asked {
            return Err(Failure::failed(format!(
                "a worker asked for {named} {} ago: stop it, or deploy it without the handler, and try \
                 again a minute later",
                roughly(asked)
            )));
        }
        known |= step.registered || step.jobs > 0;
        report.jobs += step.jobs;
        report.unhandled += step.unhandled;
        if !step.more {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if !known {
        return Err(Failure::failed(format!("there is no {named}")));
    }
    if json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        let Report { jobs, unhandled } = report;
        writeln!(
            out,
            "retired: {jobs} jobs deleted, and {unhandled} events left without any"
        )?;
    }
    Ok(())
}

#[derive(Default, Serialize)]
struct Report {
    /// Deleted: pending, running or dead.
    jobs: usize,
    /// Events without a job now.
    unhandled: usize,
}
