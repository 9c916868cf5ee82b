//! Judges any receiver by what it answers.
//!
//! * `judge` says what each answer means, `junit` writes it for other tools.
//! * `observe` counts effects, which no answer shows.
//! * `crash` kills the receiver and starts it again.

mod crash;
mod judge;
mod junit;
mod observe;

use std::{io::Write, path::PathBuf, time::Duration};

use tower_webhooks_sandbox::{
    Trigger,
    faults::{Fault, FaultPlayer, Reply},
};

use self::{
    crash::{Crash, Stage},
    judge::{Judged, Row},
    observe::Observer,
};
use crate::{
    args::{PayloadSecretArgs, ProviderArg, SecretArgs, parse_seconds},
    failure::Failure,
};

/// Play every fault to a receiver, and say which answers were right
///
/// First a right event, which must be accepted. What HTTP alone cannot show, such as a handler that
/// runs twice, is "not observable" without --observe, and never "right". Whether an event that was
/// acknowledged outlives the receiver's process shows with --kill and --start alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks conform --provider monterrey --url http://127.0.0.1:3000/webhooks/monterrey \\
    --observe 'psql -Atc \"select count(*) from orders\"' --junit conform.xml \\
    --kill 'kill -9 $(cat receiver.pid)' --start './receiver & echo $! > receiver.pid'")]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArg,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    payload_secret: PayloadSecretArgs,

    /// The receiver, over http
    #[arg(long)]
    url: String,

    /// The URL that is signed, where the provider signs it [default: the one of --url]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

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

    /// Kill the receiver with this command of the shell, at once and without a word to it
    #[arg(long, value_name = "CMD", requires_all = ["observe", "start"])]
    kill: Option<String>,

    /// Start it again with this one, which may stay or return; it is left running
    #[arg(long, value_name = "CMD", requires = "kill")]
    start: Option<String>,

    /// How long the effects of acknowledged events may take after a start
    ///
    /// At least as long as the receiver takes to notice that a handler died.
    #[arg(
        long,
        default_value = "60",
        value_name = "SECONDS",
        value_parser = parse_seconds,
        requires = "kill"
    )]
    recovery: Duration,

    /// How long to wait for each answer
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Duration,

    /// Write a report in JUnit's XML, however it ends: why judging broke off is an error in it, and
    /// what was never reached is skipped
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let file = args.junit.clone();
    let mut rows = Vec::new();
    let judged = judge_all(args, &mut rows, out);
    if let Some(path) = file {
        let broken = judged.as_ref().err().map(why);
        let written = std::fs::write(&path, junit::report(&rows, broken.as_deref()));
        // Why nothing was judged is worth more than that nobody can read it.
        if let (Err(error), Ok(())) = (written, &judged) {
            let why = format!("{} cannot be written: {error}", path.display());
            return Err(Failure::failed(why));
        }
    }
    judged?;
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

fn why(failure: &Failure) -> String {
    let line = failure.line();
    line.unwrap_or_else(|| "the output was closed".to_owned())
}

/// Plays everything, and keeps each row as soon as it is judged.
fn judge_all(args: Args, rows: &mut Vec<Row>, out: &mut impl Write) -> Result<(), Failure> {
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
    let payload_secret = args.payload_secret.one(&provider)?;
    let mut player = FaultPlayer::new(provider, args.secret.one()?, args.url)
        .map_err(Failure::usage)?
        .with_timeout(args.timeout);
    if let Some(secret) = payload_secret {
        player = player.with_payload_secret(secret);
    }
    if let Some(url) = args.public_url {
        player = player.with_public_url(url);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let observer = args
        .observe
        .map(|command| Observer::new(command, args.settle));
    let crash = args.kill.zip(args.start).map(|(kill, start)| Crash {
        kill,
        start,
        recovery: args.recovery,
    });

    let plain = runtime
        .block_on(player.play_none(&event))
        .map_err(Failure::usage)?;
    if !matches!(plain, Reply::Status(200..300)) {
        let why = "a right event is not accepted, so that no fault shows anything: check --secret and --url";
        return Err(Failure::failed(why));
    }
    for fault in Fault::ALL {
        let before = observer.as_ref().map(Observer::settled).transpose()?;
        // Nothing but what was given can keep a fault from being played.
        let played = runtime.block_on(player.play(fault, &event));
        let played = played.map_err(Failure::usage)?;
        let effects = match (&observer, before, played.effects) {
            (Some(observer), Some(before), Some(expected)) => {
                Some(observer.effects(before, expected)?)
            }
            _ => None,
        };
        for row in judge::rows(&played, effects) {
            report(&row, args.json, out)?;
            rows.push(row);
        }
    }
    let crashed = match (&crash, &observer) {
        (Some(crash), Some(observer)) => crash.play(&Stage {
            runtime: &runtime,
            player: &player,
            event: &event,
            observer,
        })?,
        _ => crash::unseen(),
    };
    for row in crashed {
        report(&row, args.json, out)?;
        rows.push(row);
    }
    Ok(())
}

fn report(row: &Row, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)?;
    } else {
        let why = row.why.as_ref().map(|why| format!(": {why}"));
        let words = row.judged.words();
        writeln!(out, "{}: {words}{}", row.name, why.unwrap_or_default())?;
    }
    out.flush()?;
    Ok(())
}
