//! `webhooks`: shows the providers that are known, signs and verifies requests
//! as they do, sends signed ones, plays the provider's side and the receiver's,
//! registers endpoints, and operates the inbox that keeps what came.
//!
//! Exits with 0 when all is well, 1 when a request was refused or an attempt
//! failed, and 2 when the command was used wrongly. What went wrong stands on
//! stderr in one line, and no secret ever does.

mod args;
mod cmd;
mod failure;
mod post;
mod provider_text;
mod stop;
mod words;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;

use crate::failure::Failure;

/// Shows webhook providers, signs and verifies requests as they do, sends signed
/// ones, plays the provider's side, registers endpoints, and operates an inbox.
#[derive(Debug, Parser)]
#[command(
    name = "webhooks",
    version,
    after_help = "Exits with 0 if all is well, 1 if refused or failed, 2 if used wrongly."
)]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    match cli.command.run(&mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(line) = failure.line() {
                complain(&line);
            }
            failure.exit_code()
        }
    }
}

/// What clap found: a request for help, or a mistake, of which one line is
/// enough.
fn misused(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;

    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever asked for help and closed the pipe has seen enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            failure::USED_WRONGLY.into()
        }
        _ => {
            let text = error.render().to_string();
            let lines: Vec<_> = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:"))
                .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
                .collect();
            let line = lines.join(" ");
            let failure = Failure::usage(line.strip_prefix("error: ").unwrap_or(&line));
            complain(&failure.line().unwrap_or_default());
            failure.exit_code()
        }
    }
}

/// Says on stderr what went wrong. Nobody is left to tell if that fails.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "error: {line}");
}
