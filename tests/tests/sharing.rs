//! Processes that share a PostgreSQL: it goes away, workers come and go, one
//! endpoint is flooded, and a worker is cut off from it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    future::Future,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use tower_webhooks::PostgresInbox;
use tower_webhooks_inbox::{Batch, Inbox as _, NewEvent};
use tower_webhooks_tests::{
    Receiver, body,
    fleet::{Act, Answer, Fleet, Found, Load, Provided, nanoseconds},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet");

/// They share the name of their server.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut is_so: impl FnMut() -> F,
) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How many runs a process has begun.
fn begun(fleet: &Fleet, process: &Receiver) -> usize {
    let noted = fleet.noted(process);
    noted
        .lines()
        .filter(|line| line.starts_with("begin "))
        .count()
}

/// Events whose handler takes longer than any test waits.
async fn deliver_slow(receiver: &Receiver, numbers: std::ops::Range<u64>) {
    let mut provided = Provided::to(receiver.address);
    for number in numbers {
        let body = body("order.slow", &Act(number).id());
        let answer = provided.post("/orders", &body).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn a_worker_that_comes_takes_part_and_one_that_goes_gives_its_jobs_back() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    // A lease so long that nothing comes back by its end.
    let (lease, grace) = (("LEASE_MS", "600000"), ("GRACE_MS", "1000"));
    let receiver = fleet.receiver().await;
    // Two of these are kept for handlers that run nothing.
    let slots = ("SLOTS", "22");
    let mut first = fleet.process("worker", &[lease, grace, slots]).await;
    deliver_slow(&receiver, 0..40).await;
    let soon = Duration::from_secs(10);
    until("the first worker is full", soon, async || {
        begun(&fleet, &first) == 20
    })
    .await;
    let unclaimed = "SELECT count(*) FROM job WHERE state = 'pending'";
    assert_eq!(fleet.cluster.count(unclaimed).await, 20);

    let second = fleet.process("worker", &[lease, grace]).await;
    until("the second has the rest", soon, async || {
        begun(&fleet, &second) == 20
    })
    .await;

    first.terminate();
    first.ended().await;
    until("the second has all", soon, async || {
        begun(&fleet, &second) == 40
    })
    .await;
    second.stop().await;
    receiver.stop().await;

    // Given back, an attempt does not count.
    let back = "SELECT count(*) FROM job WHERE state = 'pending' AND attempts = 0";
    assert_eq!(fleet.cluster.count(back).await, 40);
    assert_eq!(fleet.journals().overlaps(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn a_worker_that_gave_up_on_its_database_is_started_again_and_works() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    let receiver = fleet.receiver().await;
    let cluster = Arc::clone(&fleet.cluster);
    cluster.kill().await;
    let settings = [("OPEN_WAIT_MS", "300")];
    let (worker, ()) = tokio::join!(fleet.process("worker", &settings), async {
        sleep(Duration::from_secs(2)).await;
        cluster.restart().await;
    });
    assert!(fleet.gave_up() > 0);
    println!("{} times one gave up", fleet.gave_up());
    Provided::to(receiver.address).deliver(Act(1)).await;
    fleet.settled(Duration::from_secs(20)).await;
    worker.stop().await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn one_flooded_endpoint_does_not_keep_another_waiting() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    let receiver = fleet.receiver().await;
    flood(&fleet, 20_000).await;
    let worker = fleet.process("worker", &[("GRACE_MS", "500")]).await;
    // It runs 256 handlers at once; the flooded one may have them all.
    let (limit, full) = (Duration::from_secs(20), 250);
    until("the worker is full", limit, async || {
        begun(&fleet, &worker) >= full
    })
    .await;

    let mut provided = Provided::to(receiver.address);
    for act in [Act(1), Act(3), Act(5)] {
        let started = Instant::now();
        provided.deliver(act).await;
        let done = format!("done pay/{} ", act.id());
        let limit = Duration::from_secs(2);
        until(&done, limit, async || fleet.noted(&worker).contains(&done)).await;
        println!(
            "beside 20,000 pending jobs, one is done after {:.1?}",
            started.elapsed()
        );
    }
    let pending = "SELECT count(*) FROM job WHERE state = 'pending'";
    assert!(
        fleet.cluster.count(pending).await > 19_000,
        "the flood ran off"
    );
    fleet.kill(worker).await;
    receiver.stop().await;
}

/// Stores events for the slow handler, without the time that requests take.
async fn flood(fleet: &Fleet, events: u64) {
    let inbox = PostgresInbox::open(fleet.cluster.url("flood"))
        .await
        .unwrap();
    let numbers: Vec<_> = (1_000_000..1_000_000 + events).collect();
    for numbers in numbers.chunks(1_000) {
        let inserts = numbers.iter().map(|number| {
            let id = Act(*number).id();
            let body = body("order.slow", &id);
            let mut event = NewEvent::new("orders", body, SystemTime::now());
            event.id = Some(id.into());
            event.event_type = Some("order.slow".into());
            event
        });
        let mut batch = Batch::default();
        batch.inserts.extend(inserts);
        inbox.apply(batch).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn a_worker_that_loses_its_connections_goes_on() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    let receivers = [fleet.receiver().await, fleet.receiver().await];
    let cut_off = fleet.worker().await;
    let other = fleet.worker().await;
    let events = 1_000;

    let (load, mut cuts, mut sessions) = (Load::default(), 0, 0);
    let shell = fleet.cluster.shell().await;
    tokio::join!(
        load.send([receivers[0].address, receivers[1].address], events),
        async {
            while !load.is_over() || cuts < 10 {
                sleep(Duration::from_millis(300)).await;
                let ended = shell.query(TERMINATE, &[]).await.unwrap().len();
                cuts += 1;
                sessions += ended;
            }
        }
    );
    assert!(sessions >= 10, "only {sessions} sessions were there to end");
    let cut = nanoseconds();
    let patience = Duration::from_secs(60);
    fleet.settled(patience).await;
    // By itself, though the other one is gone now.
    other.stop().await;
    let mut provided = Provided::to(receivers[0].address);
    provided.deliver(Act(events)).await;
    provided.deliver(Act(events + 1)).await;
    fleet.settled(patience).await;

    let pid = cut_off.pid();
    cut_off.stop().await;
    for receiver in receivers {
        receiver.stop().await;
    }
    let found = Found::look(&fleet).await;
    println!("cut off {cuts} times, {sessions} sessions: {found}");
    found.check(events + 2);
    let runs = fleet.journals().runs;
    let later = runs.iter().any(|run| run.pid == pid && run.span.0 > cut);
    assert!(later, "it ran nothing after it was cut off");
}

/// All sessions of the first worker: the third process.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'worker-3'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn receivers_refuse_within_a_second_while_the_database_is_away_and_then_recover() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    let receivers = [fleet.receiver().await, fleet.receiver().await];
    let pressures = [Arc::new(Pressure::default()), Arc::default()];
    let mut senders = JoinSet::new();
    for sender in 0..64 {
        let pressure = Arc::clone(&pressures[sender % 2]);
        senders.spawn(press(
            pressure,
            receivers[sender % 2].address,
            sender as u64,
        ));
    }
    let stores = async |more: u64| {
        let goals = pressures
            .each_ref()
            .map(|it| it.stored.load(Relaxed) + more);
        let limit = Duration::from_secs(30);
        until("both receivers store", limit, async || {
            let mut each = pressures.iter().zip(goals);
            each.all(|(it, goal)| it.stored.load(Relaxed) >= goal)
        })
        .await;
    };
    stores(100).await;

    fleet.cluster.kill().await;
    let away = Instant::now();
    let before = receivers.each_ref().map(resident_bytes);
    until("enough is refused", Duration::from_secs(90), async || {
        let bytes = |it: &Arc<Pressure>| it.refused.load(Relaxed) * BODY_BYTES as u64;
        pressures.iter().all(|it| bytes(it) > 2 * MAY_GROW)
    })
    .await;
    let after = receivers.each_ref().map(resident_bytes);
    let back = Instant::now();
    fleet.cluster.restart().await;
    let up = Instant::now();
    stores(100).await;
    let recovered = up.elapsed();
    pressures.iter().for_each(|it| it.over.store(true, Relaxed));

    let (mut slowest, mut refused, mut acknowledged) = (Duration::ZERO, 0, 0);
    while let Some(answers) = senders.join_next().await {
        for answer in answers.unwrap() {
            acknowledged += u64::from(answer.status == 200);
            if answer.status != 200 {
                assert_eq!(
                    (answer.status, answer.retry_after),
                    (503, true),
                    "{answer:?}"
                );
            }
            if answer.asked > away && answer.asked + answer.took < back {
                assert_eq!(answer.status, 503, "{answer:?}");
                slowest = slowest.max(answer.took);
                refused += 1;
            }
        }
    }
    println!(
        "{refused} refused in {:.1?}, the slowest after {slowest:.1?}; resident {before:?} bytes \
         before and {after:?} after; both stored again {recovered:.1?} after the start",
        back - away,
    );
    assert!(
        slowest < Duration::from_secs(1),
        "an answer took {slowest:?}"
    );
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + MAY_GROW, "from {before} to {after} bytes");
    }
    let events = fleet.cluster.count("SELECT count(*) FROM event").await;
    assert!(
        events >= acknowledged,
        "{acknowledged} acknowledged, {events} stored"
    );
    for receiver in receivers {
        receiver.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; run with `scripts/fleet`"]
async fn a_server_that_falls_silent_within_a_batch_is_503_within_a_second() {
    let _alone = ALONE.lock().await;
    let mut fleet = Fleet::start(PROGRAM).await;
    let receiver = fleet.receiver().await;
    let mut shell = fleet.cluster.shell().await;
    // So that the batch is found in the middle.
    let holding = shell.transaction().await.unwrap();
    let lock = "LOCK TABLE event IN EXCLUSIVE MODE";
    holding.batch_execute(lock).await.unwrap();
    let text = body("order.slow", &Act(1).id());
    let post = async |text: String| {
        let mut provided = Provided::to(receiver.address);
        provided.post("/orders", &text).await.unwrap()
    };
    let silent = async {
        let within = "SELECT coalesce(max(pid), 0)::bigint FROM pg_locks
            WHERE NOT granted AND relation = 'event'::regclass";
        let pid = loop {
            match fleet.cluster.count(within).await {
                0 => {}
                pid => break pid,
            }
        };
        signal("-STOP", pid);
        holding.rollback().await.unwrap();
        pid
    };
    let (answer, pid) = tokio::join!(post(text.clone()), silent);
    println!("refused after {:.1?}", answer.took);
    assert_eq!((answer.status, answer.retry_after), (503, true));
    assert!(answer.took < Duration::from_secs(1), "{answer:?}");
    // Those behind it are stored by another connection, or are told the same in time.
    let behind = post(body("order.slow", &Act(3).id())).await;
    assert!(matches!(behind.status, 200 | 503), "{behind:?}");
    assert!(behind.took < Duration::from_secs(1), "{behind:?}");

    signal("-CONT", pid);
    assert_eq!(post(text).await.status, 200);
    let stored = "SELECT count(*) FROM event";
    let limit = Duration::from_secs(5);
    until("both are stored, each once", limit, async || {
        fleet.cluster.count(stored).await == 2
    })
    .await;
    receiver.stop().await;
}

fn signal(signal: &str, pid: u64) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "{signal} {pid}");
}

/// How much more memory a receiver may have after it refused twice as much.
const MAY_GROW: u64 = 4 << 20;
const BODY_BYTES: usize = 4 << 10;

/// What the senders to one receiver know.
#[derive(Debug, Default)]
struct Pressure {
    stored: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

/// Posts one event after another, however each is answered.
async fn press(pressure: Arc<Pressure>, receiver: SocketAddr, sender: u64) -> Vec<Answer> {
    let mut provided = Provided::to(receiver);
    let mut answers = Vec::new();
    let padding = "x".repeat(BODY_BYTES);
    for number in 0.. {
        if pressure.over.load(Relaxed) {
            break;
        }
        let id = Act(1_000_000 * sender + number).id();
        let body = format!(r#"{{"type":"order.paid","id":"{id}","data":"{padding}"}}"#);
        let answer = provided.post("/orders", &body).await.unwrap();
        let count = match answer.status {
            200 => &pressure.stored,
            _ => &pressure.refused,
        };
        count.fetch_add(1, Relaxed);
        answers.push(answer);
    }
    answers
}

/// The memory that a process has.
fn resident_bytes(process: &Receiver) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kibibytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kibibytes << 10
}
