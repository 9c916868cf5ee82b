//! Receivers take turns, and jobs that wait are let go.

use std::{
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    path::Path,
    time::Duration,
};

use tokio::runtime::Runtime;

use super::{
    process::Process,
    receiver::Receiver,
    report::{Accepting, Backlog, Round},
    sender::{Senders, Until},
};

/// How many handlers of one kind the library runs at once by default, and how many all together.
pub const AT_ONCE: [NonZeroUsize; 2] = [
    NonZeroUsize::new(16).unwrap(),
    NonZeroUsize::new(256).unwrap(),
];

/// Enough to keep the committer busy while a backlog is made.
const BACKLOG_CONNECTIONS: usize = 64;

/// Who is measured, and for how long.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The receivers' program.
    pub program: &'a Path,
    /// Which receivers.
    pub receivers: &'a [Receiver],
    /// How often each has its turn.
    pub rounds: usize,
    /// How long each turn is.
    pub seconds: f64,
}

/// A receiver that is sent to.
struct Turn {
    process: Process,
    senders: Senders,
    measured: Accepting,
}

impl Plan<'_> {
    /// All receivers take turns, so that what else the machine does falls on all of them. Each
    /// starts with the empty store that `place` makes for it.
    ///
    /// # Errors
    ///
    /// A receiver does not start, or refuses what it is sent.
    #[expect(clippy::print_stderr, reason = "it takes long, and says how far it is")]
    pub fn accept(
        &self,
        sending: &Runtime,
        connections: usize,
        mut place: impl FnMut(Receiver) -> anyhow::Result<OsString>,
    ) -> anyhow::Result<Vec<Accepting>> {
        let mut turns = Vec::new();
        for &receiver in self.receivers {
            let place = place(receiver)?;
            let (process, senders) =
                self.start(sending, receiver, &place, connections, AT_ONCE[0])?;
            let measured = Accepting {
                connections,
                receiver,
                rounds: Vec::new(),
                resident_bytes: 0,
            };
            turns.push(Turn {
                process,
                senders,
                measured,
            });
        }
        for round in 1..=self.rounds {
            eprintln!(
                "{connections} connections, round {round} of {}",
                self.rounds
            );
            for turn in &mut turns {
                let round = turn.take(self.seconds, sending)?;
                turn.measured.rounds.push(round);
            }
        }
        Ok(turns.into_iter().map(|turn| turn.measured).collect())
    }

    /// Lets jobs wait in the library's inbox until there are many, looks at the memory, and lets
    /// them run.
    ///
    /// # Errors
    ///
    /// The receiver does not start, or refuses what it is sent.
    #[expect(clippy::print_stderr, reason = "it takes long, and says how far it is")]
    pub fn handle_backlog(
        &self,
        sending: &Runtime,
        place: &OsStr,
        jobs: u64,
        at_once: NonZeroUsize,
    ) -> anyhow::Result<Backlog> {
        eprintln!("{jobs} jobs wait, {at_once} run at once");
        let held = Receiver::Held;
        let (mut process, mut senders) =
            self.start(sending, held, place, BACKLOG_CONNECTIONS, at_once)?;
        let sent = sending.block_on(senders.send(Until::Count(jobs)))?;
        anyhow::ensure!(sent.events == jobs, "{} were sent", sent.events);
        let waiting = process.rest()?;
        anyhow::ensure!(waiting.handled == 0, "jobs were handled too early");
        let took = process.handle(jobs)?;
        let used = process.usage()?.cpu_nanoseconds;
        let cpu = used.saturating_sub(waiting.cpu_nanoseconds);
        Ok(Backlog {
            jobs,
            resident_bytes: waiting.resident_bytes,
            at_once: at_once.get(),
            jobs_per_second: jobs as f64 / took.as_secs_f64(),
            cpu_microseconds_per_job: cpu as f64 / 1e3 / jobs as f64,
        })
    }

    fn start(
        &self,
        sending: &Runtime,
        receiver: Receiver,
        place: &OsStr,
        connections: usize,
        at_once: NonZeroUsize,
    ) -> anyhow::Result<(Process, Senders)> {
        let process = Process::start(self.program, receiver, place, at_once)?;
        let senders = sending.block_on(Senders::connect(process.address, connections))?;
        Ok((process, senders))
    }
}

impl Turn {
    fn take(&mut self, seconds: f64, sending: &Runtime) -> anyhow::Result<Round> {
        let before = self.process.usage()?;
        let until = Until::Time {
            warm_up: Duration::from_secs_f64(seconds / 5.0),
            measured: Duration::from_secs_f64(seconds),
        };
        let sent = sending.block_on(self.senders.send(until))?;
        let after = self.process.rest()?;
        self.measured.resident_bytes = after.resident_bytes;
        let cpu = after.cpu_nanoseconds.saturating_sub(before.cpu_nanoseconds);
        let milliseconds = |part| sent.latencies.value_at_quantile(part) as f64 / 1e3;
        Ok(Round {
            events_per_second: sent.counted as f64 / seconds,
            p50_milliseconds: milliseconds(0.5),
            p99_milliseconds: milliseconds(0.99),
            cpu_microseconds_per_event: cpu as f64 / 1e3 / sent.events as f64,
        })
    }
}
