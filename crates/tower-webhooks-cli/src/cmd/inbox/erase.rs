use std::io::Write;

use serde::Serialize;
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{Erase, EventSeq, Inbox};

use super::show::find;
use crate::failure::Failure;

/// Erase an event, or all of a tenant, on request
///
/// Wipes body, headers and errors for good, and ends unfinished jobs. The key and a recorded reply
/// stay, so that an event that is sent again is still recognised. Backups keep what they have.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webhooks inbox erase --event 12 --yes
  webhooks inbox erase --endpoint shop --tenant acme --yes")]
pub(super) struct Args {
    /// This event, by its number in the inbox
    #[arg(
        long,
        value_name = "SEQ",
        required_unless_present = "tenant",
        conflicts_with = "tenant"
    )]
    event: Option<u64>,

    /// Everything of this tenant
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    tenant: Option<String>,

    /// The endpoint whose tenant it is: tenants of two endpoints are not the same
    #[arg(long, value_name = "NAME", conflicts_with = "event")]
    endpoint: Option<String>,

    /// Really: it cannot be undone
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(
    args: Args,
    inbox: &dyn Inbox,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (what, named) = match (args.event, args.tenant, args.endpoint) {
        (Some(seq), _, _) => {
            find(inbox, seq).await?;
            (Erase::Event(EventSeq(seq)), format!("event {seq}"))
        }
        (None, Some(tenant), Some(endpoint)) => {
            let named = format!("everything of tenant {tenant} of {endpoint}");
            let (endpoint, tenant) = (Text::from(endpoint), Text::from(tenant));
            (Erase::Tenant { endpoint, tenant }, named)
        }
        _ => return Err(Failure::usage("give --event, or --tenant and --endpoint")),
    };
    if !args.yes {
        return Err(Failure::usage(format!(
            "this erases {named} and cannot be undone: give --yes too"
        )));
    }
    let erased = inbox
        .erase(&what)
        .await
        .map_err(|error| Failure::chain(&error))?;
    if json {
        serde_json::to_writer(&mut *out, &Erased { erased })?;
        writeln!(out)?;
    } else {
        writeln!(out, "erased: {erased}")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Erased {
    /// How many events were erased now, and not before.
    erased: u64,
}
