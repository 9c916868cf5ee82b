//! How fast this server is: durable inserts through the committer, with an insert
//! for each event beside it, into one table and of the same rows, and claims with completions. In release, on a quiet
//! machine:
//!
//!     eval "$(scripts/postgres start)"
//!     cargo run --release -p tower-webhooks-postgres --example postgres_throughput -- [events]
//!
//! Makes schemas `throughput` and `by_hand`, and drops them again.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use deadpool_postgres::{Manager, Pool};
use tokio_postgres::NoTls;
use tower_webhooks_inbox::{
    Batch, Claim, Committer, CommitterOptions, Inbox, NewEvent, Ordering, Pattern, Registration,
    Settle, Settlement, Want,
};
use tower_webhooks_postgres::{PostgresInbox, deadpool_postgres, tokio_postgres};

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let events: usize = std::env::args()
        .nth(1)
        .map_or(Ok(50_000), |text| text.parse())?;
    let url = std::env::var("TOWER_WEBHOOKS_POSTGRES")?;
    let config: tokio_postgres::Config = url.parse()?;
    let pool = Pool::builder(Manager::new(config, NoTls))
        .max_size(16)
        .build()?;
    let clean = "DROP SCHEMA IF EXISTS by_hand CASCADE; DROP SCHEMA IF EXISTS throughput CASCADE";
    pool.get().await?.batch_execute(clean).await?;
    let inbox = PostgresInbox::builder(url).with_schema("throughput");
    let inbox = Arc::new(inbox.open().await?);
    println!("{}", inbox.check().await?.description);
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    let registration = Registration {
        endpoint: "shop".into(),
        handler: "ship".into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    committer.register(vec![registration])?.await?;
    for producers in [1, 16, 64, 256] {
        // One producer waits for every commit alone.
        let share = if producers == 1 { events / 20 } else { events };
        insert(&committer, share, producers).await?;
    }
    for by_hand in [ByHand::OneTable, ByHand::SameRows] {
        let tables = by_hand.tables();
        pool.get().await?.batch_execute(tables).await?;
        for producers in [1, 16, 64, 256] {
            one_by_one(&pool, by_hand, events / 10, producers).await?;
        }
    }
    size(&pool).await?;
    drain(&committer).await?;
    claims(&inbox, &committer, events / 5).await?;
    size(&pool).await?;
    let started = Instant::now();
    inbox.stats().await?;
    println!("stats in {:.1?}", started.elapsed());
    committer.close().await;
    pool.get().await?.batch_execute(clean).await?;
    Ok(())
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
    let what = format!("insert, {producers} producers");
    report(&what, started, &mut took);
    Ok(())
}

/// What a handler written by hand does: a statement and a commit for each event.
#[derive(Debug, Clone, Copy)]
enum ByHand {
    /// The event and nothing else.
    OneTable,
    /// What the inbox stores of an event for one handler: the event under its key with the body's
    /// hash, the body apart, a job and the counts. No routes are looked up.
    SameRows,
}

impl ByHand {
    fn tables(self) -> &'static str {
        match self {
            Self::OneTable => {
                "CREATE TABLE throughput.plain
                     (id text PRIMARY KEY, received_at timestamptz, body bytea)"
            }
            Self::SameRows => {
                "CREATE SCHEMA by_hand;
                 CREATE SEQUENCE by_hand.event_seq;
                 CREATE TABLE by_hand.event (LIKE throughput.event INCLUDING ALL);
                 CREATE TABLE by_hand.event_body (LIKE throughput.event_body INCLUDING ALL);
                 CREATE TABLE by_hand.job (LIKE throughput.job INCLUDING ALL);
                 CREATE TABLE by_hand.tally (LIKE throughput.tally INCLUDING ALL);"
            }
        }
    }

    fn insert(self) -> &'static str {
        match self {
            Self::OneTable => {
                "INSERT INTO throughput.plain VALUES ($1, now(), $2) ON CONFLICT DO NOTHING"
            }
            Self::SameRows => {
                "WITH new AS (
                     INSERT INTO by_hand.event (seq, endpoint, key, state, id, id_signed, event_type,
                         received_at, stored_at, by_body, body_sha256, body_bytes)
                     SELECT nextval('by_hand.event_seq'), 'shop', $1, 'routed', $1, true,
                         'order.paid', now(), now(), false, sha256($2), length($2)
                     ON CONFLICT DO NOTHING RETURNING seq
                 ), body AS (
                     INSERT INTO by_hand.event_body (seq, stored_at, held_bytes, body)
                     SELECT seq, now(), length($2), $2 FROM new
                 ), counts AS (
                     INSERT INTO by_hand.tally (what, endpoint, handler, state, number)
                     SELECT what, 'shop', handler, state, 1 FROM new CROSS JOIN (VALUES
                         ('event', '', 'routed'), ('job', 'ship', 'pending')
                     ) AS count(what, handler, state)
                 )
                 INSERT INTO by_hand.job (seq, handler, endpoint, state, due_at)
                 SELECT seq, 'ship', 'shop', 'pending', now() FROM new"
            }
        }
    }
}

async fn one_by_one(
    pool: &Pool,
    by_hand: ByHand,
    events: usize,
    producers: usize,
) -> Result<(), Failed> {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for producer in 0..producers {
        let pool = pool.clone();
        let share = events / producers;
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::with_capacity(share);
            let body = vec![b'x'; BODY_BYTES];
            for number in 0..share {
                let started = Instant::now();
                let client = pool.get().await?;
                let statement = client.prepare_cached(by_hand.insert()).await?;
                let id = format!("evt_{producers}_{producer}_{number}");
                client.execute(&statement, &[&id, &body]).await?;
                took.push(started.elapsed());
            }
            Ok::<_, Failed>(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let what = match by_hand {
        ByHand::OneTable => "one table by hand",
        ByHand::SameRows => "same rows by hand",
    };
    report(
        &format!("{what}, {producers} producers"),
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

/// The claim alone, after so much history.
async fn claims(inbox: &PostgresInbox, committer: &Committer, events: usize) -> Result<(), Failed> {
    insert(committer, events, 255).await?;
    let mut took = Vec::new();
    let started = Instant::now();
    loop {
        let batch = Batch {
            claim: Some(claim()),
            ..Batch::default()
        };
        let step = Instant::now();
        if inbox.apply(batch).await?.claimed.is_empty() {
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
        "{what:32} {:>8.0}/s   p50 {:>9.2?}   p99 {:>9.2?}   p99.9 {:>9.2?}",
        took.len() as f64 / elapsed.as_secs_f64(),
        at(500),
        at(990),
        at(999),
    );
}

async fn size(pool: &Pool) -> Result<(), Failed> {
    let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid) / 1024 / 1024, n_live_tup
        FROM pg_class AS c JOIN pg_stat_user_tables AS s ON s.relid = c.oid
        WHERE relnamespace = 'throughput'::regnamespace AND relkind = 'r'
            AND pg_total_relation_size(c.oid) > 1024 * 1024 ORDER BY 1";
    for row in pool.get().await?.query(sql, &[]).await? {
        let (table, megabytes, rows): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        println!("  {table}: {megabytes} MB, {rows} rows");
    }
    Ok(())
}

const BODY_BYTES: usize = 600;
