//! A provider's management API, one file a command.
//!
//! * `api` says which one, and with which key.
//! * `wish` is what is to be registered, with its secret.
//! * `show` is a registration in words and as JSON.

mod api;
mod calls;
mod create;
mod ensure;
mod rotate;
mod show;
mod wish;

use std::io::Write;

use tower_webhooks_registrar::{Error, ErrorKind};

pub(super) use wish::chosen_secret;

use crate::failure::Failure;

/// Register an endpoint with its provider, through the API that it documents
///
/// `ensure` makes the registration match the event types that are handled, and does nothing where it
/// does. Keys come from the environment: CRYPTOMATE_API_KEY, DEVDRAFT_CLIENT_KEY with
/// DEVDRAFT_CLIENT_SECRET, M2M_API_KEY, MONTERREY_API_KEY, MPPCASH_API_KEY, or each with _FILE. They
/// are never printed, and neither are secrets.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks register ensure --provider monterrey --event 'payment.*' --secret-file secret.txt \\
    --url https://shop.example/webhooks/monterrey --dry-run
  webhooks register list --provider devdraft --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    api: api::ApiArgs,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// One command on a management API.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Ensure(ensure::Args),
    Create(create::Args),
    List(calls::ListArgs),
    Get(calls::GetArgs),
    Update(calls::UpdateArgs),
    Delete(calls::DeleteArgs),
    Rotate(rotate::Args),
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(args.api.run(args.command, args.json, out))
}

/// A field that was given wrongly is wrong use; everything else failed.
fn failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Invalid { .. } => Failure::usage(error),
        _ => Failure::failed(error),
    }
}
