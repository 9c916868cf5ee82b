//! The provider's side, one file a command: the server, and what asks it.

mod console;
mod dispatches;
mod redeliver;
mod register;
mod serve;
mod trigger;

use std::io::Write;

use crate::failure::Failure;

/// Be the provider: registers endpoints, signs, delivers, retries
///
/// Without a command it serves the management APIs of MPPCash, CryptoMate, Monterrey, M2M and
/// Devdraft, each under its own path, and delivers what is triggered, of every preset and as it would
/// be: signed, timed out, tried again. Nothing leaves this machine.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  webhooks sandbox --time-scale 60
  webhooks sandbox trigger --provider monterrey --event payment.confirmed --wait 5
  webhooks sandbox dispatches --json"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: serve::ServeArgs,
}

/// One command on a sandbox that runs.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Trigger(trigger::Args),
    Register(register::Args),
    Dispatches(dispatches::Args),
    Redeliver(redeliver::Args),
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        match args.command {
            None => serve::run(args.serve, out).await,
            Some(Command::Trigger(args)) => trigger::run(args, out).await,
            Some(Command::Register(args)) => register::run(args, out).await,
            Some(Command::Dispatches(args)) => dispatches::run(args, out).await,
            Some(Command::Redeliver(args)) => redeliver::run(args, out).await,
        }
    })
}
