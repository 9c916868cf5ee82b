use std::io::Write;

use tower_webhooks_registrar::ManagementApi;

use super::{show::show, wish::SecretFileArg};
use crate::failure::Failure;

/// Replace the secret of a registration
///
/// It signs from the next delivery on. A receiver that is to miss none knows it before, beside the old
/// one: make the file yourself, hand it to the receiver, and then rotate. A file that is not there is
/// made with a new secret, which the receiver does not know yet: what comes before it does is refused.
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
    let mut given = args.secret.for_rotation()?;
    let Some(secret) = given.secret.clone() else {
        return Err(Failure::usage("no secret: give --secret-file"));
    };
    given.write()?;
    let changed = match api.rotate(&args.id, &secret).await {
        Ok(changed) => changed,
        Err(error) => return Err(given.failed(&error)),
    };
    show("rotated", &changed, json, out)
}
