//! Measures the inbox in PostgreSQL: accepting over HTTP, claiming and completing, growth, and
//! claims beside a long history.
//!
//! `cargo bench -p tower-webhooks-benches --bench shared -- --help`; with `BENCH_QUICK=1` it only
//! shows that it runs. Without a server it does nothing.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "printing is what it is for"
)]

use std::{path::Path, thread};

use clap::Parser;
use tokio::runtime::Runtime;
use tower_webhooks::Inbox as _;
use tower_webhooks_benches::{
    durable::{measure::Plan, receiver::Receiver, report::Report, sender::BODY_BYTES},
    shared::{claims, database::Database, growth, history, report::SharedReport},
};

/// Measures the inbox in PostgreSQL.
#[derive(Parser)]
struct Arguments {
    /// The server, whose role may make schemas; they are dropped again.
    #[arg(long, env = "TOWER_WEBHOOKS_POSTGRES", hide_env_values = true)]
    url: Option<String>,
    /// How many senders wait for answers at once, and how many jobs run at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// How often each receiver has its turn; 0 leaves accepting out.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each turn is.
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// How many jobs are claimed and completed in a round; 0 leaves that out.
    #[arg(long, default_value_t = 20_000)]
    jobs: u64,
    /// How often they are.
    #[arg(long, default_value_t = 3)]
    job_rounds: usize,
    /// After how many jobs the tables' size is looked at; 0 leaves that out.
    #[arg(long, default_value_t = 1_000_000)]
    growth: u64,
    /// Beside how many events claims are measured, ascending; 0 leaves that out.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000, 5_000_000])]
    history: Vec<u64>,
    /// Prints JSON, with the figures of every round.
    #[arg(long)]
    json: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    let Some(url) = arguments.url.take() else {
        eprintln!("no server: eval \"$(scripts/postgres start)\", or --url");
        return Ok(());
    };
    if std::env::var_os("BENCH_QUICK").is_some_and(|value| value != "0") {
        arguments.connections = vec![4];
        arguments.rounds = 1;
        arguments.seconds = 0.2;
        arguments.jobs = 200;
        arguments.job_rounds = 1;
        arguments.growth = 2_000;
        arguments.history = vec![1_000];
    }
    let runtime = Runtime::new()?;
    let server = runtime.block_on(async {
        let database = Database::empty(&url, "server").await?;
        let checked = database.inbox().await?.check().await?;
        database.clear().await?;
        anyhow::Ok(checked.description.to_string())
    })?;
    let mut report = SharedReport {
        server,
        accepting: accept(&arguments, &url, &runtime)?,
        claims: Vec::new(),
        growth: None,
        history: Vec::new(),
    };
    runtime.block_on(async {
        if arguments.jobs > 0 {
            for &at_once in &arguments.connections {
                eprintln!("{} jobs, {at_once} at once", arguments.jobs);
                let (rounds, jobs) = (arguments.job_rounds, arguments.jobs);
                let claims = claims::measure(&url, rounds, jobs, at_once).await?;
                report.claims.push(claims);
            }
        }
        if arguments.growth > 0 {
            eprintln!("{} jobs, for the tables' size", arguments.growth);
            report.growth = Some(growth::measure(&url, arguments.growth).await?);
        }
        arguments.history.retain(|size| *size > 0);
        if !arguments.history.is_empty() {
            report.history = history::measure(&url, &arguments.history).await?;
        }
        anyhow::Ok(())
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn accept(arguments: &Arguments, url: &str, runtime: &Runtime) -> anyhow::Result<Report> {
    let mut report = Report {
        processors: thread::available_parallelism()?.get(),
        body_bytes: BODY_BYTES,
        round_seconds: arguments.seconds,
        beside: vec![Receiver::SharedNaive],
        accepting: Vec::new(),
        backlogs: Vec::new(),
    };
    if arguments.rounds == 0 {
        return Ok(report);
    }
    let sending = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let plan = Plan {
        program: Path::new(env!("CARGO_BIN_EXE_receiver")),
        receivers: &Receiver::SHARED,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
    };
    for &connections in &arguments.connections {
        let mut databases = Vec::new();
        let accepting = plan.accept(&sending, connections, |receiver| {
            let name = receiver.name().replace('-', "_");
            let database = runtime.block_on(Database::empty(url, &name))?;
            let place = database.place(receiver);
            databases.push(database);
            Ok(place)
        })?;
        report.accepting.extend(accepting);
        for database in databases {
            runtime.block_on(database.clear())?;
        }
    }
    Ok(report)
}
