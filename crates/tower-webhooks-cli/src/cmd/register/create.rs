use std::io::Write;

use tower_webhooks_registrar::ManagementApi;

use super::{
    api::Whose,
    failure,
    show::show,
    wish::{SecretFileArg, WishArgs},
};
use crate::failure::Failure;

/// Register a URL, whatever is registered already
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks register create --provider mppcash --event transfer.settled \\
    --url https://shop.example/mppcash/events --secret-file secret.txt")]
pub(super) struct Args {
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    secret: SecretFileArg,
}

pub(super) async fn run(
    args: Args,
    api: &impl ManagementApi,
    whose: Whose,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut given = args.secret.for_new(whose)?;
    let payload_file = args.wish.payload_file()?;
    let mut wish = args.wish.wish();
    if let Some(secret) = &given.secret {
        wish = wish.with_secret(secret.clone());
    }
    // A wish that does not fit is told before a file is made for it.
    api.check(&wish).map_err(|error| failure(&error))?;
    given.write()?;
    let made = match api.create(&wish).await {
        Ok(made) => made,
        Err(error) => return Err(given.failed(&error)),
    };
    given.keep(made.secret.as_ref())?;
    payload_file.keep(made.payload_secret.as_ref())?;
    show("created", &made, json, out)
}
