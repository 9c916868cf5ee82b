//! Prints what receiving one webhook costs in each mode: instructions, allocations and CPU time.
//!
//! `cargo bench -p tower-webhooks-benches`; with `BENCH_QUICK=1` it only shows that it runs.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use tower_webhooks_benches::{
    load::{Load, SIZES},
    mode::Mode,
};

/// How much is measured. Ratios need rounds; instructions and allocations hardly vary.
struct Effort {
    rounds: usize,
    /// Received in each round, by each mode, bodies of 1 KiB or less; a quarter of it above.
    requests: usize,
}

const FULL: Effort = Effort {
    rounds: 41,
    requests: 400,
};

const QUICK: Effort = Effort {
    rounds: 2,
    requests: 8,
};

/// How many requests are made ready at once: few enough that they are still in the processor's
/// cache when they are received, as they are when a server has just parsed them.
const IN_CACHE: usize = 16;

/// What one mode costs, each per request.
struct Cost {
    /// None where valgrind is not installed.
    instructions: Option<f64>,
    allocations: f64,
    allocated_bytes: f64,
    cpu: Cpu,
}

/// The medians over all rounds.
struct Cpu {
    nanoseconds: f64,
    /// To [`Mode::Hand`] in the same round.
    ratio: f64,
}

fn main() -> anyhow::Result<()> {
    let quick = std::env::var_os("BENCH_QUICK").is_some_and(|value| value != "0");
    let effort = if quick { QUICK } else { FULL };
    for body_bytes in SIZES {
        let requests = if body_bytes > 1024 {
            effort.requests / 4
        } else {
            effort.requests
        };
        let costs = measure(body_bytes, effort.rounds, requests)?;
        println!("{}", table(body_bytes, &costs)?);
    }
    Ok(())
}

fn measure(body_bytes: usize, rounds: usize, requests: usize) -> anyhow::Result<Vec<Cost>> {
    let cpu = cpu(body_bytes, rounds, requests)?;
    Mode::ALL
        .into_iter()
        .zip(cpu)
        .map(|(mode, cpu)| {
            let (allocations, allocated_bytes) = allocations(mode, body_bytes, requests)?;
            Ok(Cost {
                instructions: instructions(mode, body_bytes, requests)?,
                allocations,
                allocated_bytes,
                cpu,
            })
        })
        .collect()
}

/// CPU time of this thread, on which everything runs. All modes take turns, so that what else the
/// machine does falls on all of them.
fn cpu(body_bytes: usize, rounds: usize, requests: usize) -> anyhow::Result<Vec<Cpu>> {
    let mut loads = Mode::ALL
        .into_iter()
        .map(|mode| Load::start(mode, body_bytes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut spent: Vec<Vec<f64>> = vec![Vec::new(); loads.len()];
    // The first round warms up and does not count.
    for round in 0..=rounds {
        for (load, spent) in loads.iter_mut().zip(&mut spent) {
            let mut served = 0;
            let mut cpu = Duration::ZERO;
            while served < requests {
                let batch = load.requests(IN_CACHE)?;
                let start = thread_cpu();
                load.serve(batch)?;
                cpu += thread_cpu().saturating_sub(start);
                served += IN_CACHE;
            }
            if round > 0 {
                spent.push(cpu.as_secs_f64() * 1e9 / served as f64);
            }
        }
    }
    let hand = Mode::ALL.iter().position(|mode| *mode == Mode::Hand);
    let hand = hand
        .and_then(|hand| spent.get(hand))
        .context("no mode to compare with")?;
    Ok(spent
        .iter()
        .map(|spent| Cpu {
            nanoseconds: median(spent.iter().copied()),
            ratio: median(spent.iter().zip(hand).map(|(spent, hand)| spent / hand)),
        })
        .collect())
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The kernel's nanoseconds are below a second, and its seconds are not negative.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How often, and how many bytes.
fn allocations(mode: Mode, body_bytes: usize, requests: usize) -> anyhow::Result<(f64, f64)> {
    let output = Command::new(env!("CARGO_BIN_EXE_allocations"))
        .args([mode.name(), &body_bytes.to_string(), &requests.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned()
    );
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || {
        numbers
            .next()
            .context("two numbers are printed")?
            .map_err(anyhow::Error::from)
    };
    Ok((next()? / requests as f64, next()? / requests as f64))
}

/// Counted by callgrind between entering and leaving the one measured call.
fn instructions(mode: Mode, body_bytes: usize, requests: usize) -> anyhow::Result<Option<f64>> {
    const COLLECTED: &str = "Collected : ";

    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([
            "--collect-atstart=no",
            "--toggle-collect=requests::measured*",
        ])
        .arg(Path::new(env!("CARGO_BIN_EXE_requests")))
        .args([mode.name(), &body_bytes.to_string(), &requests.to_string()])
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output?,
    };
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), text.into_owned());
    let collected: f64 = text
        .lines()
        .find_map(|line| line.split_once(COLLECTED))
        .context("callgrind says what it collected")?
        .1
        .trim()
        .parse()?;
    ensure!(collected > 0.0, "the measured function was not found");
    Ok(Some(collected / requests as f64))
}

fn table(body_bytes: usize, costs: &[Cost]) -> anyhow::Result<String> {
    let hand = Mode::ALL.iter().position(|mode| *mode == Mode::Hand);
    let hand = hand
        .and_then(|hand| costs.get(hand))
        .context("no mode to compare with")?;
    let mut lines = vec![
        format!("### body of {body_bytes} B"),
        String::new(),
        "| receiver | instructions | to (b) | allocations | to (b) | bytes allocated | to (b) | CPU ns | to (b) |"
            .to_owned(),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for (mode, cost) in Mode::ALL.into_iter().zip(costs) {
        let (instructions, ratio) = match (cost.instructions, hand.instructions) {
            (Some(counted), Some(hand)) => {
                (format!("{counted:.0}"), format!("{:.3}", counted / hand))
            }
            _ => ("no valgrind".to_owned(), String::new()),
        };
        lines.push(format!(
            "| {} | {instructions} | {ratio} | {:.1} | {:.3} | {:.0} | {:.3} | {:.0} | {:.3} |",
            mode.title(),
            cost.allocations,
            cost.allocations / hand.allocations,
            cost.allocated_bytes,
            cost.allocated_bytes / hand.allocated_bytes,
            cost.cpu.nanoseconds,
            cost.cpu.ratio,
        ));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}
