//! A receiver's process, seen from the one that measures.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;

use super::{receiver::Receiver, serve::Usage};

/// Nothing takes longer to come to rest.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Longer than the inbox waits with tidying up when nothing comes any more.
const AT_REST: Duration = Duration::from_millis(400);

/// Less CPU time than this in [`AT_REST`] is rest.
const IDLE: Duration = Duration::from_millis(4);

/// A running receiver. Ended when it is dropped.
#[derive(Debug)]
pub struct Process {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a receiver in an empty place, with the program of that path.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(
        program: &Path,
        receiver: Receiver,
        place: &OsStr,
        at_once: NonZeroUsize,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .arg(receiver.name())
            .arg(place)
            .arg(at_once.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let input = child.stdin.take().context("its input is piped")?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(Self {
            address: line.trim().parse().context("it did not start")?,
            child,
            input,
            output,
        })
    }

    /// What it has used until now.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        self.ask("usage")
    }

    /// Lets held handlers go on, and tells how long it took until so many jobs were done.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn handle(&mut self, count: u64) -> anyhow::Result<Duration> {
        self.ask(&format!("handle {count}"))
    }

    /// Waits until it has nothing to do any more: jobs are handled, the disk is tidied up.
    ///
    /// # Errors
    ///
    /// It has ended, or does not come to rest.
    pub fn rest(&mut self) -> anyhow::Result<Usage> {
        let started = Instant::now();
        let mut before = self.usage()?;
        loop {
            thread::sleep(AT_REST);
            let now = self.usage()?;
            let used = now.cpu_nanoseconds.saturating_sub(before.cpu_nanoseconds);
            if Duration::from_nanos(used) < IDLE {
                return Ok(now);
            }
            ensure!(started.elapsed() < GIVE_UP, "it does not come to rest");
            before = now;
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &str) -> anyhow::Result<T> {
        writeln!(self.input, "{question}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).context("a receiver has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
