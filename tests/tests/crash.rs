//! A receiver on its file that is killed, and one that is stopped, again and
//! again under load: nothing that it acknowledged is lost, and every settlement
//! is recorded once.
//!
//! `scripts/crash` runs these with as many cycles as it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    sync::Mutex,
    time::{interval, sleep},
};
use tower_webhooks::{providers, sqlite::rusqlite::Connection, testing::Sender};
use tower_webhooks_tests::{Receiver, Wire, disk_folder, head_of, soon};

const SECRET: &str = "the-receiver-and-its-killer-share-this";

/// Each with one event under way: 800 events/s, of which the machine does what
/// it can.
const SENDERS: usize = 16;
const PACE: Duration = Duration::from_millis(20);

/// Below this the cycles would show nothing.
const LEAST_EVENTS_PER_SECOND: f64 = 500.0;

/// From the start of the process to its first 200 at `/readyz`.
const RECOVERY: Duration = Duration::from_secs(2);

/// The two tests measure, and each would take the other's share of the machine.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills receivers; run with `scripts/crash`"]
async fn killed_at_random_moments_it_loses_nothing_and_settles_once() {
    let _alone = ALONE.lock().await;
    let mut shop = Shop::new();
    for cycle in 0..setting("CRASH_CYCLES", 20) {
        let receiver = shop.start().await;
        let load = shop.load(receiver.address).await;
        sleep(random(cycle, 50..700)).await;
        receiver.kill().await;
        shop.finish(load).await;
    }
    shop.settle_and_check("kills").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "stops receivers; run with `scripts/crash`"]
async fn stopped_under_load_it_ends_in_time_and_loses_nothing() {
    let _alone = ALONE.lock().await;
    let mut shop = Shop::new();
    let mut slowest = Duration::ZERO;
    for cycle in 0..setting("STOP_CYCLES", 10) {
        let mut receiver = shop.start().await;
        let load = shop.load(receiver.address).await;
        sleep(random(cycle, 200..700)).await;
        let asked = Instant::now();
        receiver.terminate();
        receiver.ended().await;
        slowest = slowest.max(asked.elapsed());
        shop.finish(load).await;
    }
    println!("ended {slowest:?} after SIGTERM at most");
    shop.settle_and_check("stops").await;
}

/// The receiver's file, and what its provider knows.
struct Shop {
    folder: TempDir,
    /// The number of the next session to settle.
    next: Arc<AtomicU64>,
    acknowledged: Vec<u64>,
    /// What each sender was not told of, and sends again.
    unanswered: Vec<u64>,
    under_load: Duration,
    cycles: usize,
    recoveries: Vec<Duration>,
}

/// What one sender can tell afterwards.
struct Sent {
    acknowledged: Vec<u64>,
    unanswered: u64,
}

struct Load {
    began: Instant,
    senders: Vec<tokio::task::JoinHandle<(Sent, Instant)>>,
}

impl Shop {
    fn new() -> Self {
        Self {
            folder: disk_folder(),
            next: Arc::default(),
            acknowledged: Vec::new(),
            unanswered: Vec::new(),
            under_load: Duration::ZERO,
            cycles: 0,
            recoveries: Vec::new(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("webhooks.db")
    }

    /// A receiver that is ready.
    async fn start(&mut self) -> Receiver {
        let file = self.file();
        let environment = [
            ("INBOX", file.to_str().unwrap()),
            // The default is for finding mistakes, and slower than the load.
            ("RUST_LOG", "info"),
        ];
        let mut receiver = Receiver::start("mppcash-receiver", SECRET, &environment).await;
        soon(ready(receiver.address)).await;
        self.recoveries.push(receiver.started.elapsed());
        // Its lines must not fill the pipe.
        drop(receiver.lines());
        receiver
    }

    async fn load(&mut self, address: SocketAddr) -> Load {
        let mut again = std::mem::take(&mut self.unanswered).into_iter();
        let mut senders = Vec::new();
        for _ in 0..SENDERS {
            let wire = Wire::connect(address).await;
            let sending = send(wire, Arc::clone(&self.next), again.next());
            senders.push(tokio::spawn(sending));
        }
        let began = Instant::now();
        Load { began, senders }
    }

    async fn finish(&mut self, load: Load) {
        let mut ended = load.began;
        for sender in load.senders {
            let (sent, last) = soon(sender).await.unwrap();
            self.acknowledged.extend(sent.acknowledged);
            self.unanswered.push(sent.unanswered);
            ended = ended.max(last);
        }
        self.under_load += ended - load.began;
        self.cycles += 1;
    }

    /// Lets every job end and looks into the file.
    async fn settle_and_check(mut self, what: &str) {
        let mut receiver = self.start().await;
        let connection = Connection::open(self.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        let count = |sql: &str| -> u64 {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            count.try_into().unwrap()
        };
        let began = Instant::now();
        while count("SELECT count(*) FROM job WHERE state IN ('pending', 'running')") > 0 {
            // A second run of a settlement fails on its key.
            let failed = count("SELECT count(*) FROM job WHERE last_error IS NOT NULL");
            assert_eq!(failed, 0, "jobs that failed");
            assert!(began.elapsed() < Duration::from_secs(60), "jobs do not end");
            sleep(Duration::from_millis(50)).await;
        }
        receiver.terminate();
        receiver.ended().await;

        let (events, rate) = (self.acknowledged.len(), self.rate());
        let slowest = self.recoveries.iter().max().unwrap();
        println!(
            "{} {what}: {events} events acknowledged, {rate:.0}/s; ready again after {slowest:?} at most",
            self.cycles
        );

        let acknowledged: BTreeSet<_> = self.acknowledged.iter().copied().collect();
        assert_eq!(acknowledged.len(), events, "one was acknowledged twice");
        let settled = numbers(&connection, "SELECT session_id FROM settlement");
        let stored = numbers(&connection, &format!("SELECT {SESSION} FROM event"));
        let lost = |there: &[u64]| {
            let there: BTreeSet<_> = there.iter().copied().collect();
            acknowledged.difference(&there).copied().collect::<Vec<_>>()
        };
        assert_eq!(lost(&stored), [0; 0], "acknowledged, but not stored");
        assert_eq!(lost(&settled), [0; 0], "acknowledged, but not settled");
        // Whatever was stored but not acknowledged is there once, too.
        for (what, there) in [("events", &stored), ("settlements", &settled)] {
            let unique: BTreeSet<_> = there.iter().collect();
            assert_eq!(unique.len(), there.len(), "{what}: one row a session");
        }
        assert_eq!(settled.len(), stored.len());
        let wrong = "SELECT count(*) FROM job WHERE state <> 'done' OR last_error IS NOT NULL";
        assert_eq!(count(wrong), 0, "jobs that failed");
        assert_eq!(count("SELECT count(*) FROM job"), stored.len() as u64);
        let check: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");

        assert!(*slowest < RECOVERY, "ready after {slowest:?}");
        assert!(rate >= LEAST_EVENTS_PER_SECOND, "only {rate:.0} events/s");
    }

    /// Acknowledged events for each second in which the senders sent.
    fn rate(&self) -> f64 {
        self.acknowledged.len() as f64 / self.under_load.as_secs_f64()
    }
}

/// The session's id in a stored body.
const SESSION: &str = "CAST(body AS TEXT) ->> '$.data.session_id'";

fn numbers(connection: &Connection, sql: &str) -> Vec<u64> {
    let mut ids = connection.prepare(sql).unwrap();
    let ids = ids.query_map([], |row| row.get::<_, String>(0)).unwrap();
    ids.map(|id| id.unwrap().strip_prefix("sess_").unwrap().parse().unwrap())
        .collect()
}

/// Settles one session after another, the one of `again` first, until the
/// receiver takes no more.
async fn send(mut wire: Wire, next: Arc<AtomicU64>, mut again: Option<u64>) -> (Sent, Instant) {
    let sender = Sender::new(providers::mppcash(), SECRET).unwrap();
    let sender = sender.to("/mppcash/events");
    let mut pace = interval(PACE);
    let mut acknowledged = Vec::new();
    loop {
        pace.tick().await;
        let number = again
            .take()
            .unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
        let body = format!(
            r#"{{"type":"session.settled","data":{{"session_id":"sess_{number}","settled_usdc":12.50,"tx_signature":"tx_{number}","settled_at":"2026-03-02T10:15:30Z"}}}}"#
        );
        let (head, body) = head_of(sender.request(body).unwrap()).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), length.as_bytes(), &body].concat();
        wire.send(&request).await;
        let answer = wire.whole_answer().await;
        if !answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
            let sent = Sent {
                acknowledged,
                unanswered: number,
            };
            return (sent, Instant::now());
        }
        acknowledged.push(number);
    }
}

/// Returns when `/readyz` answers 200.
async fn ready(address: SocketAddr) {
    loop {
        let mut wire = Wire::connect(address).await;
        wire.send(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n")
            .await;
        if wire.head().await.starts_with("HTTP/1.1 200 ") {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn random(cycle: u64, millis: std::ops::Range<u64>) -> Duration {
    let random = RandomState::new().hash_one(cycle) % (millis.end - millis.start);
    Duration::from_millis(millis.start + random)
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}
