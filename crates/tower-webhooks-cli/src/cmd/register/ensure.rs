use std::io::Write;

use serde_json::json;
use tower_webhooks_registrar::{
    Confidential, Ensure, Ensured, ManagementApi, Plan, Registration, Wish, ensure,
};

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
/// `rotate` changes it. A --secret-file that is not there stays so, with exit code 1, where a URL is
/// registered already and the provider does not show its secret.
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
    let mut given = match (can_create, args.dry_run) {
        (true, true) => Some(args.secret.for_dry_run(whose)?),
        (true, false) => Some(args.secret.for_new(whose)?),
        (false, _) => None,
    };
    if let Some(secret) = given.as_ref().and_then(|given| given.secret.clone()) {
        wish = wish.with_secret(secret);
    }
    if !can_create && !api.calls().list {
        return Err(unsupported(api.calls().create));
    }
    if let Some(given) = given.as_mut().filter(|given| given.is_made_here()) {
        // Only what is created takes the secret.
        if creates(api, &wish, how).await? {
            given.write()?;
        }
    }
    let ensured = match (ensure(api, &wish, how).await, given.take()) {
        (Ok(ensured), known) => {
            given = known;
            ensured
        }
        (Err(error), Some(given)) => return Err(given.failed(&error)),
        (Err(error), None) => return Err(failure(&error)),
    };
    if let Some(given) = given.filter(|_| !args.dry_run) {
        keep(given, api, &ensured).await?;
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

/// Whether making it so creates one.
async fn creates(api: &impl ManagementApi, wish: &Wish, how: Ensure) -> Result<bool, Failure> {
    if how == Ensure::ForceCreate && !api.calls().list {
        return match api.check(wish) {
            Ok(_) => Ok(true),
            Err(error) => Err(failure(&error)),
        };
    }
    let planned = ensure(api, wish, Ensure::DryRun)
        .await
        .map_err(|error| failure(&error))?;
    Ok(is_new(planned.plan))
}

const fn is_new(plan: Plan) -> bool {
    matches!(plan, Plan::Create | Plan::Replace)
}

/// Keeps the secret that is in use now, and none that is not.
async fn keep(given: Given, api: &impl ManagementApi, ensured: &Ensured) -> Result<(), Failure> {
    let known = ensured.registration.as_ref();
    let shown = known.and_then(|known| known.secret.clone());
    if is_new(ensured.plan) {
        return given.keep(shown.as_ref());
    }
    if !given.has_file() {
        // Somebody else registered between looking and doing.
        return given.forget();
    }
    let id = known.and_then(|known| known.id.as_deref());
    let shown = match (shown, id) {
        (None, Some(id)) if api.calls().get => {
            let got = api.get(id).await.map_err(|error| failure(&error))?;
            got.secret
        }
        (shown, _) => shown,
    };
    match shown {
        Some(secret) => given.keep(Some(&secret)),
        None => Err(Failure::failed(
            "registered already; its secret is not shown: rotate or delete",
        )),
    }
}

fn unsupported(can_create: bool) -> Failure {
    Failure::failed(if can_create {
        "unsupported: the provider documents no call that shows what is there; --force-create registers without looking"
    } else {
        "unsupported: the provider documents no call to register; use its portal"
    })
}
