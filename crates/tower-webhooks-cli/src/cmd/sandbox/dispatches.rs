use std::io::Write;

use http::Method;
use serde_json::Value;

use super::console::At;
use crate::{failure::Failure, words::one_line};

/// Show what was sent, with every attempt
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  webhooks sandbox dispatches")]
pub(super) struct Args {
    #[command(flatten)]
    at: At,

    /// Print them as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut impl Write) -> Result<(), Failure> {
    let answer = args.at.call(Method::GET, &["dispatches"], None).await?;
    for dispatch in answer["dispatches"].as_array().into_iter().flatten() {
        show(dispatch, args.json, out)?;
    }
    Ok(())
}

/// One dispatch as the sandbox tells of it.
pub(super) fn show(dispatch: &Value, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        writeln!(out, "{dispatch}")?;
        return Ok(());
    }
    let text = |name: &str| dispatch[name].as_str().unwrap_or_default().to_owned();
    let attempts = dispatch["attempts"].as_array().map(Vec::as_slice);
    let line = format!(
        "{} {} {} to {}: {}",
        text("id"),
        text("provider"),
        text("event_type"),
        text("url"),
        text("state"),
    );
    writeln!(out, "{}", one_line(&line))?;
    for attempt in attempts.unwrap_or_default() {
        let seconds = attempt["after_ms"].as_f64().unwrap_or_default() / 1_000.0;
        let line = format!("  after {seconds:.1} s: {}", outcome(&attempt["outcome"]));
        writeln!(out, "{}", one_line(&line))?;
    }
    Ok(())
}

fn outcome(outcome: &Value) -> String {
    if let Some(status) = outcome.pointer("/answered/status") {
        return format!("answered {status}");
    }
    match outcome
        .as_object()
        .and_then(|members| members.iter().next())
    {
        Some((what, why)) => {
            let what = what.replace('-', " ");
            format!("{what}: {}", why.as_str().unwrap_or_default())
        }
        None => outcome.as_str().unwrap_or_default().replace('-', " "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_outcome_has_its_words() {
        for (value, expected) in [
            (
                json!({ "answered": { "status": 503, "body": "" } }),
                "answered 503",
            ),
            (json!({ "not-sent": "why" }), "not sent: why"),
            (json!({ "broken": "why" }), "broken: why"),
            (json!("timed-out"), "timed out"),
        ] {
            assert_eq!(outcome(&value), expected);
        }
    }
}
