//! Counts effects with a command of the user's.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::failure::Failure;

/// How often the command runs while effects are waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts effects.
#[derive(Debug)]
pub(super) struct Observer {
    command: String,
    settle: Duration,
}

impl Observer {
    pub(super) const fn new(command: String, settle: Duration) -> Self {
        Self { command, settle }
    }

    /// The count once it has stayed the same for the time of settling: what
    /// came before must not be taken for what comes now.
    pub(super) fn settled(&self) -> Result<u64, Failure> {
        let mut count = self.count()?;
        let mut since = Instant::now();
        let begun = Instant::now();
        while since.elapsed() < self.settle / 2 {
            sleep(PAUSE);
            let now = self.count()?;
            if now != count {
                (count, since) = (now, Instant::now());
            }
            if begun.elapsed() > self.settle * 10 {
                let why = "--observe never settles: nobody else may send to the receiver";
                return Err(Failure::failed(why));
            }
        }
        Ok(count)
    }

    /// How many effects there are more than before. Waits the whole time of
    /// settling, since one too many comes last.
    pub(super) fn effects(&self, before: u64, expected: u32) -> Result<u64, Failure> {
        let begun = Instant::now();
        loop {
            let effects = self.count()?.saturating_sub(before);
            let is_too_many = effects > u64::from(expected);
            if is_too_many || begun.elapsed() >= self.settle {
                return Ok(effects);
            }
            sleep(PAUSE);
        }
    }

    /// How many effects there are more than before, as soon as they are so many
    /// or the time is over.
    pub(super) fn reached(
        &self,
        before: u64,
        expected: u64,
        patience: Duration,
    ) -> Result<u64, Failure> {
        let begun = Instant::now();
        loop {
            let effects = self.count()?.saturating_sub(before);
            if effects >= expected || begun.elapsed() >= patience {
                return Ok(effects);
            }
            sleep(PAUSE);
        }
    }

    pub(super) fn count(&self) -> Result<u64, Failure> {
        let output = Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::failed(format!("--observe cannot run: {error}")))?;
        if !output.status.success() {
            return Err(Failure::failed("--observe failed"));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse()
            .map_err(|_| Failure::usage("--observe is to print a number, and nothing else"))
    }
}
