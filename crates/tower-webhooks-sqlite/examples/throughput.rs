//! How fast this disk is: durable inserts through the committer, and claims with
//! completions. In release, on a quiet machine:
//!
//!     cargo run --release -p tower-webhooks-sqlite --example throughput -- [events] [folder]

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tower_webhooks_inbox::{
    Batch, Claim, Committer, CommitterOptions, Inbox, JobState, NewEvent, Ordering, Pattern,
    Registration, Settle, Settlement, Want,
};
use tower_webhooks_sqlite::SqliteInbox;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let events: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let folder = arguments
        .next()
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let path = folder.path().join("webhooks.db");
    let inbox = Arc::new(SqliteInbox::open(&path).await?);
    println!("{}", inbox.check().await?.description);
    let registration = Registration {
        endpoint: "shop".into(),
        handler: "ship".into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    committer.register(vec![registration])?.await?;
    for producers in [1, 16, 64, 256] {
        // One producer waits for every commit alone.
        let share = if producers == 1 { events / 20 } else { events };
        insert(&committer, share, producers).await?;
    }
    size(&path)?;
    drain(&committer).await?;
    drain_in_batches(&inbox, &committer, events).await?;
    size(&path)?;
    recover(&inbox, &committer, &path, events).await
}

/// How long it takes to open what a receiver left that was killed with so much
/// leased and pending.
async fn recover(
    inbox: &SqliteInbox,
    committer: &Committer,
    path: &std::path::Path,
    events: usize,
) -> Result<(), Failed> {
    insert(committer, events, 254).await?;
    committer.close().await;
    memory();
    inbox.close().await;
    let started = Instant::now();
    let inbox = SqliteInbox::open(path).await?;
    let opened = started.elapsed();
    let batch = Batch {
        claim: Some(claim()),
        ..Batch::default()
    };
    let claimed = inbox.apply(batch).await?.claimed.len();
    let stats = inbox.stats().await?;
    println!(
        "opened in {opened:.1?}, {claimed} claimed after {:.1?}, {} pending",
        started.elapsed(),
        stats.jobs(JobState::Pending),
    );
    Ok(())
}

/// What the process takes, as far as the platform tells.
fn memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS")) {
        println!("{line}");
    }
}

async fn insert(committer: &Committer, events: usize, producers: usize) -> Result<(), Failed> {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for producer in 0..producers {
        let committer = committer.clone();
        let share = events / producers;
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::with_capacity(share);
            for number in 0..share {
                let started = Instant::now();
                let mut event = NewEvent::new("shop", vec![b'x'; BODY_BYTES], SystemTime::now());
                event.id = Some(format!("evt_{producers}_{producer}_{number}").into());
                event.event_type = Some("order.paid".into());
                committer.insert(event, ())?.await?;
                took.push(started.elapsed());
            }
            Ok::<_, Failed>(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    report(
        &format!("insert, {producers} producers"),
        started,
        &mut took,
    );
    Ok(())
}

/// As a worker does: settles what is done and claims as many anew, in one commit.
async fn drain(committer: &Committer) -> Result<(), Failed> {
    let started = Instant::now();
    let mut took = Vec::new();
    let mut settles = Vec::new();
    loop {
        let step = Instant::now();
        let worked = committer.work(settles, Vec::new(), Some(claim()))?.await?;
        if worked.claimed.is_empty() {
            break;
        }
        took.extend(worked.claimed.iter().map(|_| step.elapsed()));
        settles = worked
            .claimed
            .iter()
            .map(|job| Settle {
                key: job.key(),
                token: job.token,
                outcome: Settlement::Done,
                work: None,
            })
            .collect();
    }
    report("claim and complete", started, &mut took);
    Ok(())
}

/// The claim alone, while history grows.
async fn drain_in_batches(
    inbox: &SqliteInbox,
    committer: &Committer,
    events: usize,
) -> Result<(), Failed> {
    insert(committer, events / 10, 255).await?;
    let mut took = Vec::new();
    let started = Instant::now();
    loop {
        let batch = Batch {
            claim: Some(claim()),
            ..Batch::default()
        };
        let step = Instant::now();
        let claimed = inbox.apply(batch).await?.claimed;
        if claimed.is_empty() {
            break;
        }
        took.push(step.elapsed());
    }
    report("claims of 256", started, &mut took);
    Ok(())
}

fn claim() -> Claim {
    Claim {
        worker: "throughput".into(),
        wants: vec![Want {
            endpoint: "shop".into(),
            handler: "ship".into(),
            free: 256,
        }],
        lease: Duration::from_secs(600),
    }
}

fn report(what: &str, started: Instant, took: &mut [Duration]) {
    let elapsed = started.elapsed();
    took.sort_unstable();
    let at = |part: usize| {
        took.get(took.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what:24} {:>8.0}/s   p50 {:>9.2?}   p99 {:>9.2?}   p99.9 {:>9.2?}",
        took.len() as f64 / elapsed.as_secs_f64(),
        at(500),
        at(990),
        at(999),
    );
}

fn size(path: &std::path::Path) -> Result<(), Failed> {
    let bytes = |suffix: &str| -> Result<u64, std::io::Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        Ok(std::fs::metadata(name)?.len())
    };
    println!(
        "database {} MB, log {} MB",
        bytes("")? >> 20,
        bytes("-wal")? >> 20
    );
    Ok(())
}

const BODY_BYTES: usize = 600;
