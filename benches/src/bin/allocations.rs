//! `allocations MODE BODY_BYTES COUNT`: prints how often and how many bytes receiving that many
//! requests allocates. A program of its own, because counting slows every allocation down.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use anyhow::Context as _;
use tower_webhooks_benches::{load::Load, mode::Mode};

/// What is allocated once must not count.
const WARM_UP: usize = 16;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("usage: allocations MODE BODY_BYTES COUNT")
    };
    let mode = Mode::named(&next()?)?;
    let body_bytes = next()?.parse()?;
    let count = next()?.parse()?;

    let mut load = Load::start(mode, body_bytes)?;
    let warm_up = load.requests(WARM_UP)?;
    load.serve(warm_up)?;
    let requests = load.requests(count)?;
    let mut served = Ok(());
    let counted = allocation_counter::measure(|| served = load.serve(requests));
    served?;
    println!("{} {}", counted.count_total, counted.bytes_total);
    Ok(())
}
