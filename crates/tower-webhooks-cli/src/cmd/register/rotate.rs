use std::io::Write;

use tower_webhooks_registrar::ManagementApi;

use super::{failure, show::show, wish::SecretFileArg};
use crate::failure::Failure;

/// Replace the secret of a registration
///
/// It signs from the next delivery on: let the receiver know it before, beside the old one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks register rotate wh_123 --provider devdraft --secret-file new-secret.txt")]
pub(super) struct Args {
    /// The registration's id; CryptoMate has one a company and needs none
    #[arg(default_value = "")]
    id: String,

    #[command(flatten)]
    secret: SecretFileArg,
}

pub(super) async fn run(
    args: Args,
    api: &impl ManagementApi,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if !api.calls().rotate {
        let why = "the provider documents no call to rotate";
        return Err(Failure::failed(why));
    }
    let given = args.secret.for_rotation()?;
    let Some(secret) = given.secret.clone() else {
        return Err(Failure::usage("no secret: give --secret-file"));
    };
    let changed = api
        .rotate(&args.id, &secret)
        .await
        .map_err(|error| failure(&error))?;
    given.keep(None)?;
    show("rotated", &changed, json, out)
}
