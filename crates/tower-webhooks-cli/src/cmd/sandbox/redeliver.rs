use std::io::Write;

use http::Method;

use super::{console::At, dispatches::show};
use crate::failure::Failure;

/// Make one more attempt, now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks sandbox redeliver dsp_0123")]
pub(super) struct Args {
    #[command(flatten)]
    at: At,

    /// The dispatch's id, as `dispatches` shows it
    id: String,

    /// Print the dispatch as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let path = ["dispatches", args.id.as_str(), "redeliver"];
    let dispatch = args.at.call(Method::POST, &path, None).await?;
    show(&dispatch, args.json, out)?;
    if dispatch["state"] == "delivered" {
        Ok(())
    } else {
        Err(Failure::failed("it was not accepted"))
    }
}
