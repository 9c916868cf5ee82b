//! How a command ends when it does not end well.

use std::{error::Error, fmt::Display, io, process::ExitCode};

use crate::words::one_line;

/// The exit code of a command that was used wrongly.
pub(crate) const USED_WRONGLY: u8 = 2;

/// The exit code of a request that was refused, or an attempt that failed.
const FAILED: u8 = 1;

/// Why a command does not end with 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was used rightly and did not succeed.
    Failed(String),
    /// The output could not be written.
    Output(io::Error),
    /// It was used wrongly: says what to change.
    Usage(String),
}

impl Failure {
    pub(crate) fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// What failed, and everything that it failed of.
    pub(crate) fn chain(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::Failed(text)
    }

    pub(crate) fn usage(what_to_change: impl Display) -> Self {
        Self::Usage(what_to_change.to_string())
    }

    /// What stderr says of it, if anything.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Failed(text) | Self::Usage(text) => Some(one_line(text)),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => {
                Some(one_line(&format!("the output cannot be written: {error}")))
            }
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => FAILED.into(),
            // A reader that has seen enough, such as `head`, is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(_) => FAILED.into(),
            Self::Usage(_) => USED_WRONGLY.into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
