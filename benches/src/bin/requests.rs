//! `requests MODE BODY_BYTES COUNT`: receives that many requests, for a profiler to look at.

use anyhow::Context as _;
use tower_webhooks_benches::{load::Load, mode::Mode};

/// What is looked up or allocated once must not count.
const WARM_UP: usize = 16;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("usage: requests MODE BODY_BYTES COUNT")
    };
    let mode = Mode::named(&next()?)?;
    let body_bytes = next()?.parse()?;
    let count = next()?.parse()?;

    let mut load = Load::start(mode, body_bytes)?;
    let warm_up = load.requests(WARM_UP)?;
    load.serve(warm_up)?;
    let requests = load.requests(count)?;
    measured(&mut load, requests)
}

/// The function that the profiler is told to look at.
#[inline(never)]
fn measured(load: &mut Load, requests: Vec<http::Request<axum::body::Body>>) -> anyhow::Result<()> {
    load.serve(requests)
}
