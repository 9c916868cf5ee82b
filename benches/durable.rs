//! Measures how fast webhooks are accepted durably, over HTTP, and handled afterwards.
//!
//! `cargo bench -p tower-webhooks-benches --bench durable -- --help`; with `BENCH_QUICK=1` it only
//! shows that it runs.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "printing is what it is for"
)]

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Parser;
use tokio::runtime::Runtime;
use tower_webhooks_benches::durable::{
    process::Process,
    receiver::Receiver,
    report::{Accepting, Backlog, Report, Round},
    sender::{BODY_BYTES, Senders, Until},
};

/// How many handlers of one kind the library runs at once by default, and how many all together.
const AT_ONCE: [NonZeroUsize; 2] = [
    NonZeroUsize::new(16).unwrap(),
    NonZeroUsize::new(256).unwrap(),
];

/// Enough to keep the committer busy while a backlog is made.
const BACKLOG_CONNECTIONS: usize = 64;

/// Measures how fast webhooks are accepted durably, and handled afterwards.
#[derive(Parser)]
struct Arguments {
    /// How many senders wait for answers at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Which receivers are measured.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Receiver::ALL)]
    receivers: Vec<Receiver>,
    /// How often each receiver has its turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each turn is.
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// How many jobs wait before they are handled; 0 leaves that out.
    #[arg(long, default_value_t = 100_000)]
    backlog: u64,
    /// Where the receivers store: the disk that is measured. By default cargo's target folder.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Prints JSON, with the figures of every round.
    #[arg(long)]
    json: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if std::env::var_os("BENCH_QUICK").is_some_and(|value| value != "0") {
        arguments.connections = vec![4];
        arguments.rounds = 1;
        arguments.seconds = 0.2;
        arguments.backlog = 200;
    }
    let sending = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = Report {
        processors: thread::available_parallelism()?.get(),
        body_bytes: BODY_BYTES,
        round_seconds: arguments.seconds,
        accepting: Vec::new(),
        backlogs: Vec::new(),
    };
    for &connections in &arguments.connections {
        report
            .accepting
            .extend(accept(&arguments, &sending, connections)?);
    }
    if arguments.backlog > 0 {
        for at_once in AT_ONCE {
            report
                .backlogs
                .push(handle_backlog(&arguments, &sending, at_once)?);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

/// A receiver that is sent to.
struct Turn {
    process: Process,
    senders: Senders,
    measured: Accepting,
}

/// All receivers take turns, so that what else the machine does falls on all of them. Each starts
/// with an empty store.
fn accept(
    arguments: &Arguments,
    sending: &Runtime,
    connections: usize,
) -> anyhow::Result<Vec<Accepting>> {
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let mut turns = Vec::new();
    for &receiver in &arguments.receivers {
        let (process, senders) = start(folder.path(), sending, receiver, connections, AT_ONCE[0])?;
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
    for round in 1..=arguments.rounds {
        eprintln!(
            "{connections} connections, round {round} of {}",
            arguments.rounds
        );
        for turn in &mut turns {
            let round = turn.take(arguments.seconds, sending)?;
            turn.measured.rounds.push(round);
        }
    }
    Ok(turns.into_iter().map(|turn| turn.measured).collect())
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

/// Lets jobs wait until there are many, looks at the memory, and lets them run.
fn handle_backlog(
    arguments: &Arguments,
    sending: &Runtime,
    at_once: NonZeroUsize,
) -> anyhow::Result<Backlog> {
    let jobs = arguments.backlog;
    eprintln!("{jobs} jobs wait, {at_once} run at once");
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let (mut process, mut senders) = start(
        folder.path(),
        sending,
        Receiver::Held,
        BACKLOG_CONNECTIONS,
        at_once,
    )?;
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
    folder: &Path,
    sending: &Runtime,
    receiver: Receiver,
    connections: usize,
    at_once: NonZeroUsize,
) -> anyhow::Result<(Process, Senders)> {
    let folder = folder.join(receiver.name());
    std::fs::create_dir(&folder)?;
    let program = Path::new(env!("CARGO_BIN_EXE_receiver"));
    let process = Process::start(program, receiver, &folder, at_once)?;
    let senders = sending.block_on(Senders::connect(process.address, connections))?;
    Ok((process, senders))
}
