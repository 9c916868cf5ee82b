use std::io::Write;

use serde_json::json;
use tower_webhooks_registrar::{Confidential, Ensure, ManagementApi, Plan, Registration, ensure};

use super::{
    api::Whose,
    failure,
    show::{as_json, in_words},
    wish::{Given, PayloadFile, SecretFileArg, WishArgs},
};
use crate::failure::Failure;

/// Make the registration for a URL match the event types that are handled
///
/// Run again it changes nothing. A secret is not compared, since most providers do not show it:
/// `rotate` changes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks register ensure --provider monterrey --event payment.confirmed \\
    --url https://shop.example/webhooks/monterrey --secret-file secret.txt --dry-run")]
pub(super) struct Args {
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    secret: SecretFileArg,

    /// Say what would be done, and only read
    #[arg(long, conflicts_with = "force_create")]
    dry_run: bool,

    /// Create where the provider documents no call that shows what is there: a second run registers
    /// again
    #[arg(long)]
    force_create: bool,
}

pub(super) async fn run(
    args: Args,
    api: &impl ManagementApi,
    whose: Whose,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let payload_file = match args.dry_run {
        true => None,
        false => Some(args.wish.payload_file()?).filter(PayloadFile::is_new),
    };
    let mut wish = args.wish.wish();
    let how = match (args.dry_run, args.force_create) {
        (true, _) => Ensure::DryRun,
        (_, true) => Ensure::ForceCreate,
        _ => Ensure::Apply,
    };
    let can_create = api.calls().create && (api.calls().list || args.force_create);
    let given = match (can_create, args.dry_run) {
        (true, true) => Some(args.secret.for_dry_run(whose)?),
        (true, false) => Some(args.secret.for_new(whose)?),
        (false, _) => None,
    };
    if let Some(secret) = given.as_ref().and_then(|given| given.secret.clone()) {
        wish = wish.with_secret(secret);
    }
    let ensured = if can_create || api.calls().list {
        ensure(api, &wish, how)
            .await
            .map_err(|error| failure(&error))?
    } else {
        return Err(unsupported(api.calls().create));
    };
    if !args.dry_run && matches!(ensured.plan, Plan::Create | Plan::Replace) {
        keep(given, ensured.registration.as_ref())?;
    }
    if let (Some(file), Some(known)) = (payload_file, &ensured.registration) {
        file.keep(shown(api, known).await?.as_ref())?;
    }
    let done = match ensured.plan {
        Plan::Create => "create",
        Plan::Replace => "replace",
        Plan::Unchanged => "unchanged",
        Plan::Update => "update",
        _ => return Err(unsupported(api.calls().create)),
    };
    if json {
        let shown = json!({
            "plan": done,
            "dry_run": args.dry_run,
            "registration": ensured.registration.as_ref().map(as_json),
            "deleted": ensured.deleted,
            "others": ensured.others,
        });
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    let done = match (args.dry_run, done) {
        (true, _) | (false, "unchanged") => done,
        (false, "create") => "created",
        (false, "replace") => "replaced",
        (false, _) => "updated",
    };
    match &ensured.registration {
        Some(known) => writeln!(out, "{}", in_words(done, known))?,
        None => writeln!(out, "{done}")?,
    }
    for (what, ids) in [
        ("deleted", &ensured.deleted),
        ("left alone, with the same URL", &ensured.others),
    ] {
        for id in ids {
            writeln!(out, "{what}: {id}")?;
        }
    }
    Ok(())
}

/// What encrypts the payloads of a registration: a list need not show it.
async fn shown(
    api: &impl ManagementApi,
    known: &Registration,
) -> Result<Option<Confidential>, Failure> {
    match (&known.payload_secret, &known.id) {
        (None, Some(id)) if api.calls().get => {
            let got = api.get(id).await.map_err(|error| failure(&error))?;
            Ok(got.payload_secret)
        }
        (shown, _) => Ok(shown.clone()),
    }
}

fn keep(given: Option<Given>, made: Option<&Registration>) -> Result<(), Failure> {
    let Some(given) = given else {
        return Ok(());
    };
    given.keep(made.and_then(|made| made.secret.as_ref()))
}

fn unsupported(can_create: bool) -> Failure {
    Failure::failed(if can_create {
        "unsupported: the provider documents no call that shows what is there; --force-create registers without looking"
    } else {
        "unsupported: the provider documents no call to register; use its portal"
    })
}
