//! Measures how fast webhooks are accepted durably, over HTTP, and handled afterwards.
//!
//! `cargo bench -p tower-webhooks-benches --bench durable -- --help`; with `BENCH_QUICK=1` it only
//! shows that it runs.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    thread,
};

use clap::Parser;
use tower_webhooks_benches::durable::{
    measure::{AT_ONCE, Plan},
    receiver::Receiver,
    report::Report,
    sender::BODY_BYTES,
};

/// Measures how fast webhooks are accepted durably, and handled afterwards.
#[derive(Parser)]
struct Arguments {
    /// How many senders wait for answers at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Which receivers are measured; `shared` measures those on PostgreSQL.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Receiver::EMBEDDED)]
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
        beside: vec![Receiver::Bare, Receiver::Naive],
        accepting: Vec::new(),
        backlogs: Vec::new(),
    };
    let plan = Plan {
        program: Path::new(env!("CARGO_BIN_EXE_receiver")),
        receivers: &arguments.receivers,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
    };
    for &connections in &arguments.connections {
        let folder = tempfile::tempdir_in(&arguments.folder)?;
        let place = |receiver| empty_folder(folder.path(), receiver);
        let accepting = plan.accept(&sending, connections, place)?;
        report.accepting.extend(accepting);
    }
    if arguments.backlog > 0 {
        for at_once in AT_ONCE {
            let folder = tempfile::tempdir_in(&arguments.folder)?;
            let place = empty_folder(folder.path(), Receiver::Held)?;
            let backlog = plan.handle_backlog(&sending, &place, arguments.backlog, at_once)?;
            report.backlogs.push(backlog);
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

fn empty_folder(within: &Path, receiver: Receiver) -> anyhow::Result<OsString> {
    let folder = within.join(receiver.name());
    std::fs::create_dir(&folder)?;
    Ok(folder.into())
}
