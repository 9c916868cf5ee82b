//! The receiver's own process, so that CPU time and memory are its alone.
//!
//! It answers lines on its standard input with lines of JSON, and ends with it.

use std::{
    ffi::OsStr,
    io::{BufRead, Write},
    num::NonZeroUsize,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::receiver::{Mounted, Receiver};

/// How often it is looked whether the last job is done.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What the process has used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of all threads, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Resident memory now, in bytes; 0 where the system does not say.
    pub resident_bytes: u64,
    /// How many jobs are done.
    pub handled: u64,
}

/// Serves until the input ends.
///
/// # Errors
///
/// The receiver cannot start, or somebody asks for something else than `usage` or `handle COUNT`.
pub fn serve(
    receiver: Receiver,
    place: &OsStr,
    at_once: NonZeroUsize,
    input: impl BufRead,
    mut output: impl Write,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mounted = runtime.block_on(Mounted::start(receiver, place, at_once))?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    writeln!(output, "{}", listener.local_addr()?)?;
    let server = axum::serve(listener, mounted.router.clone());
    runtime.spawn(server.into_future());
    for line in input.lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["usage"] => serde_json::to_string(&usage(&mounted))?,
            ["handle", count] => serde_json::to_string(&handle(&mounted, count.parse()?))?,
            _ => bail!("nobody knows {line:?}"),
        };
        writeln!(output, "{answer}")?;
    }
    Ok(())
}

fn usage(mounted: &Mounted) -> Usage {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel's nanoseconds are below a second, and its seconds are not negative.
    let cpu = Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    );
    Usage {
        cpu_nanoseconds: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
        resident_bytes: resident_bytes().unwrap_or_default(),
        handled: mounted.handled.load(Ordering::Relaxed),
    }
}

/// Lets the handlers go on, and waits until so many jobs are done.
fn handle(mounted: &Mounted, count: u64) -> Duration {
    let started = Instant::now();
    mounted.release.send_replace(true);
    while mounted.handled.load(Ordering::Relaxed) < count {
        thread::sleep(LOOK_AGAIN);
    }
    started.elapsed()
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
