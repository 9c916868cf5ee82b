//! A ready receiver for any preset.
//!
//! * `serve` receives and keeps, by the library; `tap` sees what it lets in and answers, and passes
//!   it on; `report` says what came.
//! * `replay` sends what was kept again, signed anew.

mod replay;
mod report;
mod serve;
mod tap;

use std::io::Write;

use crate::failure::Failure;

/// Be a receiver: print each verified event, keep it, and pass it on
///
/// Verifies as the library does, answers as the provider wants, handshakes too, and keeps every event
/// in an inbox, for `webhooks inbox` and for `replay`. What is refused is printed with the reason, which
/// the sender is not told. With --forward each verified request goes on as it came, to an app of yours,
/// whose answer is printed when it is there; while 32 wait for that, others are only kept. Told to stop, it
/// finishes what is under way, for at most 5 s.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  webhooks listen --provider stripe --secret-file secret.txt --inbox stripe.db
  webhooks listen --provider github --secret-file secret.txt --json --forward http://127.0.0.1:3000/hooks
  webhooks listen replay 12 --inbox stripe.db --secret-file secret.txt --url http://127.0.0.1:3000/hooks"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: serve::ServeArgs,
}

/// One command on what was kept.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Replay(replay::Args),
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        match args.command {
            None => serve::run(args.serve, out).await,
            Some(Command::Replay(args)) => replay::run(args, out).await,
        }
    })
}
