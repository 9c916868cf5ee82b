use std::{
    io::Write,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use super::{console::At, dispatches::show};
use crate::{args::BodyArgs, failure::Failure};

/// How often a dispatch is looked at while it is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// Send an event to everybody who registered for it
///
/// The preset's sample of that type, made a new event each time, unless a body is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks sandbox trigger --provider monterrey --event payment.confirmed --wait 5")]
pub(super) struct Args {
    #[command(flatten)]
    at: At,

    /// Who sends: the name of a preset, or of a provider that the sandbox was given
    #[arg(short, long, value_name = "NAME")]
    provider: String,

    /// The event's type
    #[arg(short, long, value_name = "TYPE")]
    event: String,

    #[command(flatten)]
    body: BodyArgs,

    /// Send the body as it is, rather than as a new event
    #[arg(long)]
    same: bool,

    /// M2M: the link that it is about, whose callbackUrl gets it
    #[arg(long, value_name = "ID")]
    link: Option<String>,

    /// Wait until it is delivered; exit with 1 if it is not within that time
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Print the dispatches as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut wanted = json!({
        "provider": args.provider,
        "event_type": args.event,
        "same": args.same,
        "link": args.link,
    });
    if args.body.is_given() {
        let body = args.body.read()?;
        let text = String::from_utf8(body.into())
            .map_err(|_| Failure::usage("the body is no text in UTF-8"))?;
        if let Value::Object(members) = &mut wanted {
            members.insert("body".to_owned(), text.into());
        }
    }
    let answer = args
        .at
        .call(Method::POST, &["trigger"], Some(&wanted))
        .await?;
    let ids = answer["dispatches"].as_array().cloned().unwrap_or_default();
    if ids.is_empty() {
        let (provider, event) = (&args.provider, &args.event);
        let why = format!("nobody registered for {event} of {provider}");
        return Err(Failure::failed(why));
    }
    let patience = args.wait.map(Duration::from_secs).unwrap_or_default();
    let begun = Instant::now();
    let (mut missed, mut pending) = (0, false);
    for id in ids.iter().filter_map(Value::as_str) {
        let dispatch = loop {
            let dispatch = args.at.call(Method::GET, &["dispatches", id], None).await?;
            if dispatch["state"] != "pending" || begun.elapsed() >= patience {
                break dispatch;
            }
            tokio::time::sleep(PAUSE).await;
        };
        if args.wait.is_some() && dispatch["state"] != "delivered" {
            missed += 1;
            pending |= dispatch["state"] == "pending";
        }
        show(&dispatch, args.json, out)?;
    }
    match missed {
        0 => Ok(()),
        _ => {
            let what = match pending {
                true => ": attempts follow, see `webhooks sandbox dispatches`, or raise --wait",
                false => "",
            };
            let all = ids.len();
            Err(Failure::failed(format!(
                "{missed} of {all} not delivered{what}"
            )))
        }
    }
}
