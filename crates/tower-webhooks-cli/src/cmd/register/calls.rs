//! The calls that carry no signing secret.

use std::io::Write;

use serde_json::{Value, json};
use tower_webhooks_registrar::ManagementApi;

use super::{
    failure,
    show::{as_json, in_words, show},
    wish::WishArgs,
};
use crate::failure::Failure;

/// Show every registration of the key
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {}

/// Show one registration
#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// Its id
    id: String,
}

/// Change a registration
///
/// What is not given stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct UpdateArgs {
    /// Its id
    id: String,

    #[command(flatten)]
    wish: WishArgs,

    /// Devdraft: send to it again
    #[arg(long, conflicts_with = "inactive")]
    active: bool,

    /// Devdraft: send bodies in clear again
    #[arg(long, conflicts_with = "encrypted")]
    unencrypted: bool,
}

/// Delete a registration
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// Its id
    id: String,
}

pub(super) async fn list(
    api: &impl ManagementApi,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let known = api.list().await.map_err(|error| failure(&error))?;
    if json {
        let known: Vec<Value> = known.iter().map(as_json).collect();
        writeln!(out, "{}", Value::Array(known))?;
        return Ok(());
    }
    for known in &known {
        writeln!(out, "{}", in_words("-", known))?;
    }
    Ok(())
}

pub(super) async fn get(
    args: &GetArgs,
    api: &impl ManagementApi,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let known = api.get(&args.id).await.map_err(|error| failure(&error))?;
    show("-", &known, json, out)
}

pub(super) async fn update(
    args: UpdateArgs,
    api: &impl ManagementApi,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let payload_file = args.wish.payload_file()?;
    let mut wish = args.wish.wish();
    if args.active {
        wish = wish.active();
    }
    if args.unencrypted {
        wish = wish.unencrypted();
    }
    let changed = api
        .update(&args.id, &wish)
        .await
        .map_err(|error| failure(&error))?;
    payload_file.keep(changed.payload_secret.as_ref())?;
    show("updated", &changed, json, out)
}

pub(super) async fn delete(
    args: &DeleteArgs,
    api: &impl ManagementApi,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    api.delete(&args.id)
        .await
        .map_err(|error| failure(&error))?;
    if json {
        writeln!(out, "{}", json!({ "deleted": args.id }))?;
    } else {
        writeln!(out, "deleted {}", args.id)?;
    }
    Ok(())
}
