//! Claims while finished events pile up.

use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;
use tower_webhooks::inbox::{Batch, Inbox};

use super::{database::Database, jobs};

/// How many wait while claims are measured.
const WAITING: u64 = 8_000;

/// How many a claim takes.
const FEW: usize = 8;

/// Claims of a few of many that wait, beside so many events.
#[derive(Debug, Clone, Serialize)]
pub struct Claimed {
    /// How many events are stored, nearly all of them finished.
    pub events: u64,
    /// Whether the jobs were vacuumed since, as autovacuum does within a minute or two.
    pub vacuumed: bool,
    /// Half of the claims took no longer.
    pub p50_milliseconds: f64,
    /// All but a hundredth of them took no longer.
    pub p99_milliseconds: f64,
    /// The same of the question when a job is due.
    pub next_due_p99_milliseconds: f64,
}

/// Fills an inbox to each of these sizes, and claims there.
///
/// # Errors
///
/// The server is away.
#[expect(clippy::print_stderr, reason = "it takes long, and says how far it is")]
pub async fn measure(url: &str, sizes: &[u64]) -> anyhow::Result<Vec<Claimed>> {
    let database = Database::empty(url, "history").await?;
    let inbox = database.inbox().await?;
    jobs::register(&inbox).await?;
    let (mut stored, mut all) = (0, Vec::new());
    for &size in sizes {
        eprintln!("up to {size} events");
        while stored < size {
            let step = (4 * jobs::STEP).min(size - stored);
            jobs::fill(&inbox, stored, step).await?;
            jobs::drain(&inbox, 1_000).await?;
            stored += step;
        }
        for vacuumed in [false, true] {
            if vacuumed {
                database.shell().await?.batch_execute("VACUUM job").await?;
            }
            jobs::fill(&inbox, stored, WAITING).await?;
            stored += WAITING;
            all.push(claim(&inbox, size, vacuumed).await?);
        }
    }
    database.clear().await?;
    Ok(all)
}

async fn claim(inbox: &dyn Inbox, events: u64, vacuumed: bool) -> anyhow::Result<Claimed> {
    let mut claims = Histogram::<u64>::new(3)?;
    let mut next_dues = Histogram::<u64>::new(3)?;
    loop {
        let claim = jobs::claim(FEW);
        let asked = Instant::now();
        inbox.next_due(&claim.wants).await?;
        next_dues.record(u64::try_from(asked.elapsed().as_micros())?)?;
        let batch = Batch {
            claim: Some(claim),
            ..Batch::default()
        };
        let asked = Instant::now();
        let claimed = inbox.apply(batch).await?.claimed;
        if claimed.is_empty() {
            break;
        }
        claims.record(u64::try_from(asked.elapsed().as_micros())?)?;
        let batch = Batch {
            settles: claimed.iter().map(jobs::done).collect(),
            ..Batch::default()
        };
        inbox.apply(batch).await?;
    }
    let milliseconds = |of: &Histogram<u64>, part| of.value_at_quantile(part) as f64 / 1e3;
    Ok(Claimed {
        events,
        vacuumed,
        p50_milliseconds: milliseconds(&claims, 0.5),
        p99_milliseconds: milliseconds(&claims, 0.99),
        next_due_p99_milliseconds: milliseconds(&next_dues, 0.99),
    })
}
