//! Two receivers and two workers over one PostgreSQL, while all is well, while
//! workers are killed, and while the database is stopped in the middle: what is
//! acknowledged is handled, what is committed with a job is committed once, and no
//! handler runs twice at once.
//!
//! `scripts/fleet` runs these with as many events as it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    time::{interval, sleep},
};
use tower_webhooks_tests::{
    Receiver,
    fleet::{Cluster, Fleet, Found, Load},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet");

/// So that a short run shows something, too.
const LEAST_KILLS: usize = 5;

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(2);

/// Until another job has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each takes the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn every_event_is_stored_once_and_handled_once() {
    run("calm", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn killed_workers_lose_nothing_and_double_nothing() {
    run("workers killed", &[Harm::Workers]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn a_database_that_stops_in_the_middle_loses_nothing_and_doubles_nothing() {
    run("database stopped", &[Harm::Database]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn both_at_once_lose_nothing_and_double_nothing() {
    run("both", &[Harm::Workers, Harm::Database]).await;
}

/// What is done to a fleet under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// One of the workers is killed each second, in turn.
    Workers,
    /// The database stops at half of the load, and is back after a while.
    Database,
}

async fn run(what: &str, harm: &[Harm]) {
    let _alone = ALONE.lock().await;
    let events = env::var("FLEET_EVENTS").map_or(4_000, |value| value.parse().unwrap());
    let mut fleet = Fleet::start(PROGRAM).await;
    let receivers = [fleet.receiver().await, fleet.receiver().await];
    let mut workers = [fleet.worker().await, fleet.worker().await];

    let started = Instant::now();
    let load = Load::default();
    let cluster = Arc::clone(&fleet.cluster);
    let (accepted, (), ()) = tokio::join!(
        async {
            let addresses = [receivers[0].address, receivers[1].address];
            load.send(addresses, events).await;
            started.elapsed()
        },
        async {
            if harm.contains(&Harm::Workers) {
                kill_workers(&mut fleet, &mut workers, &load).await;
            }
        },
        async {
            if harm.contains(&Harm::Database) {
                stop_database(&cluster, &load, events / 2).await;
            }
        }
    );
    fleet.settled(PATIENCE).await;
    let ended = started.elapsed();
    for process in receivers.into_iter().chain(workers) {
        process.stop().await;
    }

    let found = Found::look(&fleet).await;
    let figures = format!(
        "{what}: {events} events in {accepted:.1?}, {:.0}/s, all jobs ended after {ended:.1?}; \
         {} refused, {} workers killed, {} times one gave up and was started again",
        events as f64 / accepted.as_secs_f64(),
        load.refused(),
        fleet.kills(),
        fleet.gave_up(),
    );
    println!("{figures}; {found}");
    found.check(events);
}

/// Kills a worker each second, and starts another in its place.
async fn kill_workers(fleet: &mut Fleet, workers: &mut [Receiver; 2], load: &Load) {
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    while !load.is_over() || fleet.kills() < LEAST_KILLS {
        second.tick().await;
        let next = fleet.worker().await;
        let killed = std::mem::replace(&mut workers[fleet.kills() % 2], next);
        fleet.kill(killed).await;
    }
}

/// Stops it once so many events are acknowledged.
async fn stop_database(cluster: &Cluster, load: &Load, after: u64) {
    while load.acknowledged() < after {
        sleep(Duration::from_millis(1)).await;
    }
    cluster.kill().await;
    sleep(AWAY).await;
    cluster.restart().await;
}
