//! Receivers on their files that are killed, and stopped, again and again under
//! load: nothing that they acknowledged is lost, every settlement is recorded
//! once, and every authorization has one answer.
//!
//! `scripts/crash` runs these with as many cycles as it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::sleep};
use tower_webhooks::SqliteInbox;
use tower_webhooks_tests::{AUTHORIZATIONS, SETTLEMENTS, Shop, books};

/// Below this the cycles would show nothing.
const LEAST_EVENTS_PER_SECOND: f64 = 500.0;

/// From the start of the process until it works again.
const RECOVERY: Duration = Duration::from_secs(2);

/// What the receivers promise to end within, after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// The tests measure, and each would take the others' share of the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills receivers; run with `scripts/crash`"]
async fn killed_at_random_moments_it_loses_nothing_and_settles_once() {
    let _alone = ALONE.lock().await;
    let mut shop = Shop::new(SETTLEMENTS);
    let cycles = setting("CRASH_CYCLES", 20);
    kill(&mut shop, cycles).await;
    settle_and_check(shop, &format!("{cycles} kills")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "stops receivers; run with `scripts/crash`"]
async fn stopped_under_load_it_ends_in_time_and_loses_nothing() {
    let _alone = ALONE.lock().await;
    let mut shop = Shop::new(SETTLEMENTS);
    let cycles = setting("STOP_CYCLES", 10);
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        let mut receiver = shop.start().await;
        drop(receiver.lines());
        let load = shop.load(receiver.address).await;
        sleep(random(cycle, 200..700)).await;
        let asked = Instant::now();
        receiver.terminate();
        receiver.ended().await;
        slowest = slowest.max(asked.elapsed());
        shop.finish(load).await;
    }
    println!("ended {slowest:?} after SIGTERM at most");
    assert!(slowest < GRACE, "ended {slowest:?} after SIGTERM");
    settle_and_check(shop, &format!("{cycles} stops")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills receivers; run with `scripts/crash`"]
async fn killed_at_random_moments_it_answers_each_authorization_once_and_for_all() {
    let _alone = ALONE.lock().await;
    let mut shop = Shop::new(AUTHORIZATIONS);
    let cycles = setting("REPLY_CYCLES", 10);
    kill(&mut shop, cycles).await;
    let file = shop.settle().await;
    shop.check_events(&file);
    let defaults = shop.check_replies(&file);
    println!(
        "{cycles} kills: {}; {defaults} declined since nobody had decided",
        shop.figures()
    );
    check_recoveries(&shop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills receivers; run with `scripts/crash`"]
async fn with_100_000_jobs_pending_it_works_again_within_two_seconds() {
    const KILLS: u64 = 2;
    /// More than the jobs that are done until the last kill.
    const SPARE: u64 = 20_000;

    let _alone = ALONE.lock().await;
    let pending = setting("PENDING_JOBS", 100_000);
    let mut shop = Shop::new(SETTLEMENTS);
    // Its handlers are known from here on.
    let mut receiver = shop.start().await;
    drop(receiver.lines());
    receiver.terminate();
    receiver.ended().await;
    let inbox = SqliteInbox::open(shop.file()).await.unwrap();
    shop.put(&inbox, pending + SPARE).await;
    inbox.close().await;

    let mut slowest = Duration::ZERO;
    for cycle in 0..=KILLS {
        let mut receiver = shop.start().await;
        shop.send_again(receiver.address).await;
        receiver.line().await;
        slowest = slowest.max(receiver.started.elapsed());
        drop(receiver.lines());
        let still = books::count(&books::open(&shop.file()), books::UNFINISHED);
        assert!(still >= pending, "{still} jobs in cycle {cycle}");
        let load = shop.load(receiver.address).await;
        sleep(random(cycle, 50..150)).await;
        receiver.kill().await;
        shop.finish(load).await;
    }
    println!(
        "{KILLS} kills with more than {pending} jobs pending: an event was answered and a job done {slowest:?} after the start at most"
    );
    assert!(slowest < RECOVERY, "it worked again after {slowest:?}");
}

/// Kills the receiver under load, at random moments.
async fn kill(shop: &mut Shop, cycles: u64) {
    for cycle in 0..cycles {
        let mut receiver = shop.start().await;
        drop(receiver.lines());
        let load = shop.load(receiver.address).await;
        sleep(random(cycle, 50..700)).await;
        receiver.kill().await;
        shop.finish(load).await;
    }
}

/// Lets every job end and looks into the file.
async fn settle_and_check(mut shop: Shop, what: &str) {
    let file = shop.settle().await;
    println!("{what}: {}", shop.figures());
    shop.check_events(&file);
    shop.check_settlements(&file);
    check_recoveries(&shop);
    let rate = shop.rate();
    assert!(rate >= LEAST_EVENTS_PER_SECOND, "only {rate:.0} events/s");
}

fn check_recoveries(shop: &Shop) {
    let slowest = shop.recoveries.iter().max().unwrap();
    let log = &shop.slowest_start;
    assert!(*slowest < RECOVERY, "ready after {slowest:?}:\n{log}");
}

fn random(cycle: u64, millis: std::ops::Range<u64>) -> Duration {
    let random = RandomState::new().hash_one(cycle) % (millis.end - millis.start);
    Duration::from_millis(millis.start + random)
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}
