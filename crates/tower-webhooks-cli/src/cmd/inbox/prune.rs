use std::{io::Write, time::Duration};

use serde::Serialize;
use tower_webhooks_inbox::{Inbox, Retention};

use super::{PAUSE, record::roughly};
use crate::{args::parse_age, failure::Failure};

/// How many events one transaction drops: few enough that a receiver's
/// acknowledgements wait for milliseconds.
const MAX_STEP_EVENTS: usize = 200;

/// Drop what is finished and old
///
/// In small steps, beside a running receiver, which also prunes by itself. What is unfinished, dead
/// or unusable stays. The file does not shrink; its room is used again.
///
/// Exits with 1 where even the newest event is older than --key-age and a day: that is how an inbox
/// looks by a clock that is ahead, and whose key is gone runs again.
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

    /// Also if the newest event is that old: nothing came for so long
    #[arg(long)]
    force: bool,
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
    if !args.force {
        let stats = inbox.stats().await;
        let stats = stats.map_err(|error| Failure::chain(&error))?;
        beware_of_the_clock(stats.newest_event, args.key_age)?;
    }
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

/// A receiver sees its clock being set; a command that has just begun can only see what
/// that would do.
fn beware_of_the_clock(newest: Option<Duration>, key_age: Duration) -> Result<(), Failure> {
    match newest {
        Some(newest) if newest > key_age.max(DAY) => Err(Failure::failed(format!(
            "even the newest event was stored {} ago, by the inbox's clock, so every key would go: \
             if that is right, give --force",
            roughly(newest)
        ))),
        Some(_) | None => Ok(()),
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default, Serialize)]
struct Dropped {
    bodies: usize,
    /// Events that went with their key.
    keys: usize,
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use clap::{Args as _, FromArgMatches as _};
    use tower_webhooks_core::ManualClock;
    use tower_webhooks_inbox::{Batch, MemoryInbox, NewEvent};

    use super::*;

    #[test]
    fn what_is_all_too_old_is_left_alone_and_what_was_just_stored_is_not_asked_about() {
        let refused = |newest, key_age| {
            let refused = beware_of_the_clock(newest, key_age).err();
            refused.and_then(|failure| failure.line())
        };
        let line = refused(Some(DAY * 91), DAY * 90).unwrap();
        assert!(line.contains("stored 91d ago"), "{line}");
        assert_eq!(refused(Some(DAY * 90), DAY * 90), None);
        assert_eq!(refused(Some(DAY), Duration::ZERO), None, "a quiet day");
        assert!(refused(Some(DAY * 2), Duration::ZERO).is_some());
        assert_eq!(refused(None, Duration::ZERO), None);
    }

    #[tokio::test]
    async fn nothing_is_dropped_by_a_clock_that_is_ahead_unless_it_is_forced() {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
        let inbox = MemoryInbox::new().with_clock(clock.clone());
        let event = NewEvent::new("shop", "{}", SystemTime::UNIX_EPOCH);
        let batch = Batch {
            inserts: vec![event],
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap();
        clock.advance(DAY * 365);
        let prune = async |arguments: &[&str]| {
            let command = Args::augment_args(clap::Command::new("prune"));
            let matches = command.get_matches_from([&["prune"], arguments].concat());
            let args = Args::from_arg_matches(&matches).unwrap();
            run(&args, &inbox, false, &mut Vec::new()).await
        };
        let events = async || inbox.stats().await.unwrap().events.values().sum::<u64>();
        assert!(prune(&[]).await.is_err());
        assert_eq!(events().await, 1);
        prune(&["--force"]).await.unwrap();
        assert_eq!(events().await, 0);
    }

    #[test]
    fn the_default_ages_are_the_inboxes() {
        let matches = Args::augment_args(clap::Command::new("prune")).get_matches_from(["prune"]);
        let args = Args::from_arg_matches(&matches).unwrap();
        let Retention { bodies, keys } = Retention::default();
        assert_eq!((args.body_age, args.key_age), (bodies, keys));
    }
}
