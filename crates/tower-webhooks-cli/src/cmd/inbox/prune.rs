use std::{io::Write, time::Duration};

use serde::Serialize;
use tower_webhooks_inbox::{Inbox, Retention};

use super::PAUSE;
use crate::{args::parse_age, failure::Failure};

/// How many events one transaction drops: few enough that a receiver's
/// acknowledgements wait for milliseconds.
const MAX_STEP_EVENTS: usize = 200;

/// Drop what is finished and old
///
/// In small steps, beside a running receiver, which also prunes by itself. What is unfinished, dead
/// or unusable stays. The file does not shrink; its room is used again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks inbox prune --body-age 7d --key-age 90d")]
pub(super) struct Args {
    /// How old bodies and headers may become; an event without them cannot be replayed
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = parse_age)]
    body_age: Duration,

    /// How old an event's key may become: longer than the provider ever sends an event again, or its
    /// handlers run again
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = parse_age)]
    key_age: Duration,
}

pub(super) async fn run(
    args: &Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let retention = Retention {
        bodies: args.body_age,
        keys: args.key_age,
    };
    let mut dropped = Dropped::default();
    loop {
        let step = inbox
            .prune(&retention, MAX_STEP_EVENTS)
            .await
            .map_err(|error| Failure::chain(&error))?;
        dropped.bodies += step.bodies;
        dropped.keys += step.keys;
        if !step.more {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if json {
        serde_json::to_writer(&mut *out, &dropped)?;
        writeln!(out)?;
    } else {
        let Dropped { bodies, keys } = dropped;
        writeln!(
            out,
            "dropped {bodies} bodies, and {keys} events with their key"
        )?;
    }
    Ok(())
}

#[derive(Default, Serialize)]
struct Dropped {
    bodies: usize,
    /// Events that went with their key.
    keys: usize,
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn the_default_ages_are_the_inboxes() {
        let matches = Args::augment_args(clap::Command::new("prune")).get_matches_from(["prune"]);
        let args = Args::from_arg_matches(&matches).unwrap();
        let Retention { bodies, keys } = Retention::default();
        assert_eq!((args.body_age, args.key_age), (bodies, keys));
    }
}
