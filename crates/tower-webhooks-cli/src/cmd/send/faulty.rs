//! Sends with something wrong.

use std::io::Write;

use tower_webhooks_sandbox::{
    Trigger,
    faults::{FaultError, FaultPlayer, Played, Reply, Verdict},
};

use super::{Args, DEFAULT_TIMEOUT};
use crate::failure::Failure;

pub(super) fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let provider = args.provider.provider;
    let Some(event) = args.event else {
        return Err(Failure::usage("--fault makes new events: give --event"));
    };
    let event = Trigger::new(provider.name().clone(), event);
    let timeout = args
        .timeout
        .or_else(|| provider.retries().deadline)
        .unwrap_or(DEFAULT_TIMEOUT);
    let payload_secret = args.payload_secret.one(&provider)?;
    let mut player = FaultPlayer::new(provider, args.secret.one()?, args.url)
        .map_err(Failure::usage)?
        .with_timeout(timeout);
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
    let mut wrong = 0;
    for fault in &args.faults {
        let played = runtime.block_on(player.play(*fault, &event));
        let played = played.map_err(|error| match error {
            FaultError::Event(_) | FaultError::Sign(_) | FaultError::Url => Failure::usage(error),
            _ => Failure::failed(error),
        })?;
        if matches!(played.verdict, Verdict::Wrong(_)) {
            wrong += 1;
        }
        report(&played, args.json, out)?;
    }
    match wrong {
        0 => Ok(()),
        _ => {
            let all = args.faults.len();
            Err(Failure::failed(format!(
                "{wrong} of {all} answered wrongly"
            )))
        }
    }
}

fn report(played: &Played, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, played)?;
        writeln!(out)?;
        return Ok(());
    }
    let fault = played.fault;
    match &played.verdict {
        Verdict::Right => writeln!(out, "{fault}: right")?,
        Verdict::Wrong(expected) => {
            writeln!(out, "{fault}: wrong: a right receiver {expected}")?;
        }
        Verdict::NotApplicable(why) => writeln!(out, "{fault}: does not apply: {why}")?,
        _ => writeln!(out, "{fault}: unknown")?,
    }
    for exchange in &played.exchanges {
        writeln!(out, "  {}: {}", exchange.sent, in_words(exchange.reply))?;
    }
    Ok(())
}

fn in_words(reply: Reply) -> String {
    match reply {
        Reply::Closed => "no answer".to_owned(),
        Reply::NotAwaited => "not waited for".to_owned(),
        Reply::Status(status) => status.to_string(),
        Reply::TimedOut => "no answer in time".to_owned(),
        _ => "unknown".to_owned(),
    }
}
