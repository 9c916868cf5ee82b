//! Whether claims stay fast as history grows: fills an inbox with finished events
//! and measures claims of a few jobs at each size. In release:
//!
//!     cargo run --release -p tower-webhooks-sqlite --example history -- [folder] [sizes…]

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use tower_webhooks_inbox::{
    Batch, Claim, Inbox, Leased, NewEvent, Ordering, Pattern, Registration, Settle, Settlement,
    Want,
};
use tower_webhooks_sqlite::SqliteInbox;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut sizes = arguments
        .map(|text| text.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = vec![1_000, 100_000, 1_000_000, 5_000_000];
    }
    let folder = tempfile::tempdir_in(folder)?;
    let inbox = SqliteInbox::open(folder.path().join("webhooks.db")).await?;
    let registration = Registration {
        endpoint: "shop".into(),
        handler: "ship".into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    let batch = Batch {
        registers: vec![registration],
        ..Batch::default()
    };
    inbox.apply(batch).await?;

    let mut stored = 0;
    for size in sizes {
        while stored < size {
            let count = STEP.min(size - stored);
            insert(&inbox, stored, count).await?;
            stored += count;
            drain(&inbox).await?;
        }
        measure(&inbox, size, &mut stored).await?;
    }
    Ok(())
}

async fn insert(inbox: &SqliteInbox, from: usize, count: usize) -> Result<(), Box<dyn Error>> {
    let inserts = (from..from + count).map(|number| {
        let mut event = NewEvent::new("shop", vec![b'x'; BODY_BYTES], SystemTime::now());
        // Spread as random ids are, so that the index of keys grows as it does in earnest.
        let spread = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        event.id = Some(format!("evt_{spread:016x}").into());
        event.event_type = Some("order.paid".into());
        event
    });
    let batch = Batch {
        inserts: inserts.collect(),
        ..Batch::default()
    };
    inbox.apply(batch).await?;
    Ok(())
}

async fn drain(inbox: &SqliteInbox) -> Result<(), Box<dyn Error>> {
    let mut settles = Vec::new();
    loop {
        let batch = Batch {
            settles,
            claim: Some(claim(STEP)),
            ..Batch::default()
        };
        let claimed = inbox.apply(batch).await?.claimed;
        if claimed.is_empty() {
            return Ok(());
        }
        settles = claimed.iter().map(done).collect();
    }
}

/// Claims eight jobs at a time of many that wait.
async fn measure(
    inbox: &SqliteInbox,
    size: usize,
    stored: &mut usize,
) -> Result<(), Box<dyn Error>> {
    const WAITING: usize = 16_000;
    for _ in 0..WAITING / STEP {
        insert(inbox, *stored, STEP).await?;
        *stored += STEP;
    }
    let mut took = Vec::new();
    let mut next_due = Vec::new();
    for _ in 0..WAITING / 8 {
        let started = Instant::now();
        inbox.next_due(&claim(8).wants).await?;
        next_due.push(started.elapsed());
        let batch = Batch {
            claim: Some(claim(8)),
            ..Batch::default()
        };
        let started = Instant::now();
        let claimed = inbox.apply(batch).await?.claimed;
        took.push(started.elapsed());
        let batch = Batch {
            settles: claimed.iter().map(done).collect(),
            ..Batch::default()
        };
        inbox.apply(batch).await?;
    }
    let started = Instant::now();
    inbox.stats().await?;
    let stats = started.elapsed();
    took.sort_unstable();
    next_due.sort_unstable();
    let at = |took: &[Duration], part: usize| took[took.len() * part / 1000];
    println!(
        "{size:>9} events: claim of 8 p50 {:>9.1?} p99 {:>9.1?}, next due p50 {:>8.1?} p99 {:>8.1?}, stats {stats:.1?}",
        at(&took, 500),
        at(&took, 990),
        at(&next_due, 500),
        at(&next_due, 990),
    );
    Ok(())
}

fn done(job: &Leased) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome: Settlement::Done,
        work: None,
    }
}

fn claim(free: usize) -> Claim {
    Claim {
        worker: "history".into(),
        wants: vec![Want {
            endpoint: "shop".into(),
            handler: "ship".into(),
            free,
        }],
        lease: Duration::from_secs(600),
    }
}

const STEP: usize = 1_000;
const BODY_BYTES: usize = 600;
