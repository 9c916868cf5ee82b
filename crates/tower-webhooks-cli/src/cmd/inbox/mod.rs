//! What people do with an inbox, one file each.
//!
//! * `place` says which inbox; `filter` which events of it.
//! * `record` is an event in words and as JSON.
//! * The rest are the commands. All but `migrate` know an inbox only by its
//!   trait, and run beside its receiver.

mod condition;
mod dead;
mod erase;
mod filter;
mod list;
mod migrate;
pub(super) mod place;
mod prune;
mod readings;
pub(super) mod record;
mod replay;
mod retire;
mod show;
mod stats;

use std::{io::Write, time::Duration};

use tower_webhooks_inbox::Inbox;

pub(super) use self::{place::PlaceArg, show::find};
use crate::failure::Failure;

/// What a receiver that waits for its turn gets between two transactions.
const PAUSE: Duration = Duration::from_millis(5);

/// Look into an inbox, and replay, prune or erase what it keeps
///
/// Works beside a running receiver, which notices within a second, and without one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox dead --since 2h
  webhooks inbox replay --handler ship --state dead --dry-run
  webhooks inbox stats --json --fail-if 'dead>0'")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    place: PlaceArg,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// One command on an inbox with its arguments.
#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Dead(dead::Args),
    Replay(replay::Args),
    Stats(stats::Args),
    Prune(prune::Args),
    Erase(erase::Args),
    Retire(retire::Args),
    Migrate(migrate::Args),
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        let place = args.place.parse()?;
        if let Command::Migrate(command) = args.command {
            return migrate::run(&command, &place, args.json, out).await;
        }
        let opened = place.open().await?;
        let ended = args.command.run(opened.inbox(), args.json, out).await;
        opened.close().await;
        ended
    })
}

impl Command {
    async fn run(self, inbox: &dyn Inbox, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Self::List(args) => list::run(args, inbox, json, out).await,
            Self::Show(args) => show::run(&args, inbox, json, out).await,
            Self::Dead(args) => dead::run(args, inbox, json, out).await,
            Self::Replay(args) => replay::run(args, inbox, json, out).await,
            Self::Stats(args) => stats::run(&args, inbox, json, out).await,
            Self::Prune(args) => prune::run(&args, inbox, json, out).await,
            Self::Erase(args) => erase::run(args, inbox, json, out).await,
            Self::Retire(args) => retire::run(args, inbox, json, out).await,
            // It goes before there is an inbox to open.
            Self::Migrate(_) => Ok(()),
        }
    }
}
