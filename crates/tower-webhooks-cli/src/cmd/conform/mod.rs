//! Judges any receiver by what it answers.
//!
//! * `observe` counts effects, which no answer shows.
//! * `junit` is the report that other tools read.

mod junit;
mod observe;

use std::{io::Write, path::PathBuf, time::Duration};

use serde::Serialize;
use tower_webhooks_sandbox::{
    Trigger,
    faults::{Fault, FaultError, FaultPlayer, Played, Reply, Verdict},
};

use crate::{
    args::{ProviderArg, SecretArgs, parse_seconds},
    failure::Failure,
};

/// Play every fault to a receiver, and say which answers were right
///
/// First a right event, which must be accepted. What HTTP alone cannot show, such as a handler that
/// runs twice, is "not observable" without --observe, and never "right".
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks conform --provider monterrey --url http://127.0.0.1:3000/webhooks/monterrey \\
    --observe 'psql -Atc \"select count(*) from orders\"' --junit conform.xml")]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArg,
    #[command(flatten)]
    secret: SecretArgs,

    /// The receiver, over http
    #[arg(long)]
    url: String,

    /// The event that is sent, of whose type the preset has a sample [default: its first]
    #[arg(short, long, value_name = "TYPE")]
    event: Option<String>,

    /// Count effects with this command of the shell, which prints a number
    #[arg(long, value_name = "CMD")]
    observe: Option<String>,

    /// How long effects may take to come, and how long is waited for those that must not
    #[arg(
        long,
        default_value = "2",
        value_name = "SECONDS",
        value_parser = parse_seconds,
        requires = "observe"
    )]
    settle: Duration,

    /// How long to wait for each answer
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Duration,

    /// Write a report in JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// One judged row.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    judged: Judged,
    /// What was wrong, or why it was not judged.
    why: Option<String>,
    /// What came back, in order.
    replies: Vec<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Judged {
    NotApplicable,
    NotObservable,
    Right,
    Wrong,
}

impl Judged {
    const fn words(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::NotObservable => "not observable",
            Self::Right => "right",
            Self::Wrong => "WRONG",
        }
    }
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let provider = args.provider.provider;
    let event = match &args.event {
        Some(event) => event.clone(),
        None => match provider.events().list.first() {
            Some(event) => event.name.to_string(),
            None => {
                return Err(Failure::usage(
                    "the description has no events: give --event",
                ));
            }
        },
    };
    let event = Trigger::new(provider.name().clone(), event);
    let player = FaultPlayer::new(provider, args.secret.one()?, args.url)
        .map_err(Failure::usage)?
        .with_timeout(args.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let observer = args
        .observe
        .map(|command| observe::Observer::new(command, args.settle));

    let plain = runtime
        .block_on(player.play_none(&event))
        .map_err(|error| failure(&error))?;
    if !matches!(plain, Reply::Status(200..300)) {
        let why = "a right event is not accepted, so that no fault shows anything: check --secret and --url";
        return Err(Failure::failed(why));
    }
    let mut rows = Vec::new();
    for fault in Fault::ALL {
        let before = observer
            .as_ref()
            .filter(|_| fault.effects().is_some())
            .map(observe::Observer::settled)
            .transpose()?;
        let played = runtime.block_on(player.play(fault, &event));
        let played = played.map_err(|error| failure(&error))?;
        let effects = match (&observer, before, fault.effects()) {
            (Some(observer), Some(before), Some(expected)) => {
                Some(observer.effects(before, expected)?)
            }
            _ => None,
        };
        for row in judge(&played, effects) {
            if args.json {
                serde_json::to_writer(&mut *out, &row)?;
                writeln!(out)?;
            } else {
                let why = row.why.as_ref().map(|why| format!(": {why}"));
                let words = row.judged.words();
                writeln!(out, "{}: {words}{}", row.name, why.unwrap_or_default())?;
            }
            out.flush()?;
            rows.push(row);
        }
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::report(&rows)).map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    match rows
        .iter()
        .filter(|row| row.judged == Judged::Wrong)
        .count()
    {
        0 => Ok(()),
        wrong => Err(Failure::failed(format!(
            "{wrong} of {} are wrong",
            rows.len()
        ))),
    }
}

/// A row for the answers, and one for the effects where there are to be so
/// many.
fn judge(played: &Played, effects: Option<u64>) -> Vec<Row> {
    let replies: Vec<Reply> = played.exchanges.iter().map(|one| one.reply).collect();
    let name = played.fault.name().to_owned();
    let answers = match &played.verdict {
        Verdict::Right => (Judged::Right, None),
        Verdict::Wrong(expected) => {
            let got: Vec<String> = replies.iter().map(in_words).collect();
            let why = format!(
                "a right receiver {expected}; it answered {}",
                got.join(", ")
            );
            (Judged::Wrong, Some(why))
        }
        Verdict::NotApplicable(why) => (Judged::NotApplicable, Some((*why).to_owned())),
        _ => (Judged::NotObservable, None),
    };
    let (judged, why) = answers;
    let mut rows = vec![Row {
        name,
        judged,
        why,
        replies,
    }];
    if judged == Judged::NotApplicable {
        return rows;
    }
    if let Some(expected) = played.fault.effects() {
        let (judged, why) = match effects {
            None => (
                Judged::NotObservable,
                Some("effects need --observe".to_owned()),
            ),
            Some(effects) if effects == u64::from(expected) => (Judged::Right, None),
            Some(effects) => {
                let why = format!("{expected} effects are right; there were {effects}");
                (Judged::Wrong, Some(why))
            }
        };
        rows.push(Row {
            name: format!("{}, effects", played.fault),
            judged,
            why,
            replies: Vec::new(),
        });
    }
    rows
}

fn in_words(reply: &Reply) -> String {
    match reply {
        Reply::Closed => "nothing".to_owned(),
        Reply::NotAwaited => "(not waited for)".to_owned(),
        Reply::Status(status) => status.to_string(),
        _ => "nothing in time".to_owned(),
    }
}

/// Nothing but what was given can keep a fault from being played.
fn failure(error: &FaultError) -> Failure {
    Failure::usage(error)
}
