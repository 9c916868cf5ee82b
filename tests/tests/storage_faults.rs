//! A receiver on a disk that fails, at every write and at every sync in turn:
//! never a 200 without its row, never half a row, and when the disk is back it
//! goes on by itself.
//!
//! The disk is `shim/failing_disk.c`, preloaded into the receiver's process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{Json, Router, routing::get};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tower_webhooks::{
    Completion, Decide as _, Endpoint, EventRouter, Handler as _, Job, Retry, Secrets, Webhooks,
    sqlite::{
        SqliteInbox, SqliteWork,
        rusqlite::{self, Connection, OpenFlags},
    },
    testing::Sender,
};
use tower_webhooks_inbox::{Batch, Inbox, InboxError, JobState, NewEvent};
use tower_webhooks_tests::{
    FailingDisk, Fault, FaultSwitch, Form, SECRET, Wire, YES, acme, head_of, soon,
};

/// Names the subjects' folder to them.
const FOLDER: &str = "FAILING_INBOX";

/// So few that most rounds have a checkpoint.
const CHECKPOINT_PAGES: u32 = 40;

/// A round's calls vary with who shares a commit: only this many rounds in a row
/// without a fault show that there is no later call.
const UNTOUCHED: u32 = 3;

/// Longer than the writing thread is idle before it makes a checkpoint.
const IDLE: Duration = Duration::from_millis(300);

#[tokio::test]
#[ignore = "needs a C compiler"]
async fn writes_that_fail_cost_no_event() {
    tokio::join!(
        sweep(Fault::BROKEN_WRITE),
        sweep(Fault::BROKEN_WRITES),
        sweep(Fault::FULL_ONCE),
        sweep(Fault::FULL),
    );
}

#[tokio::test]
#[ignore = "needs a C compiler"]
async fn syncs_that_fail_cost_no_event() {
    tokio::join!(
        sweep(Fault::BROKEN_SYNC),
        sweep(Fault::BROKEN_SYNCS),
        sweep(Fault::EVICTING_SYNC),
    );
}

#[tokio::test]
#[ignore = "needs a C compiler"]
async fn what_is_acknowledged_after_failed_syncs_outlives_a_power_cut() {
    for fault in [Fault::BROKEN_SYNC, Fault::BROKEN_SYNCS] {
        let mut calls = 0;
        let mut untouched = 0;
        while untouched < UNTOUCHED {
            calls += 1;
            let disk = FailingDisk::new();
            disk.switch().arm(fault, calls);
            let ended = subject("is_refused_and_loses_power", &disk).output();
            let ended = soon(ended).await.unwrap();
            let said = String::from_utf8_lossy(&ended.stdout);
            assert_eq!(ended.status.signal(), Some(9), "call {calls}: {said}");
            untouched = match disk.switch().failed() {
                0 => untouched + 1,
                _ => 0,
            };
            let there = count(
                &disk.folder(),
                "SELECT count(*) FROM event WHERE id = 'kept'",
            );
            assert_eq!(there, Ok(1), "{fault}, call {calls}: acknowledged and lost");
        }
        println!("{fault}: {calls} processes");
        assert!(calls > 5, "the disk did not fail");
    }
}

#[test]
#[ignore = "needs a C compiler"]
fn an_inbox_whose_opening_failed_opens_when_the_disk_is_back() {
    let disk = FailingDisk::new();
    let mut subject = subject("opens_again_and_again", &disk).into_std();
    let ended = subject.stdout(Stdio::inherit()).status().unwrap();
    assert!(ended.success());
}

/// Lets the `k`-th call fail, for every `k` there is.
async fn sweep(fault: Fault) {
    let began = Instant::now();
    let disk = FailingDisk::new();
    let mut receiver = Receiver::start(&disk).await;
    let mut untouched = 0;
    let mut refused = 0;
    let mut sent = Vec::new();
    let mut calls = 0;
    while untouched < UNTOUCHED {
        calls += 1;
        let mut round = round(calls);
        receiver.disk.arm(fault, calls);
        receiver.send(&mut round).await;
        receiver.wait_for_a_fault().await;
        if receiver.disk.failed() == 0 {
            untouched += 1;
        } else {
            untouched = 0;
        }
        receiver.disk.heal();
        // Before any of it comes again, which would store what was not.
        for event in &round {
            match &event.answer {
                Some(_) => drop(stored(&disk.folder(), event)),
                None => refused += 1,
            }
        }
        receiver.redeliver(&mut round).await;
        receiver.wait_for_jobs().await;
        check(&disk.folder(), &round);
        assert_eq!(
            receiver.disk.reused(),
            0,
            "{fault}, call {calls}: a log was written after its sync had failed"
        );
        sent.append(&mut round);
    }
    receiver.lose_power().await;
    let mut receiver = Receiver::start(&disk).await;
    receiver.wait_for_jobs().await;
    receiver.stop().await;
    check(&disk.folder(), &sent);
    check_the_whole(&disk.folder());
    let all = sent.len();
    println!(
        "{fault}: {calls} rounds, {all} events, {refused} refused at first, in {:?}",
        began.elapsed()
    );
    assert!(calls > 10 && refused > 0, "the disk did not fail");
}

/// What the provider knows of an event.
struct Sent {
    id: String,
    body: String,
    /// Of the first 200.
    answer: Option<String>,
}

impl Sent {
    fn new(kind: &str, id: String, bytes: usize) -> Self {
        let filler = "x".repeat(bytes);
        let body = format!(r#"{{"type":"{kind}","id":"{id}","data":{{"filler":"{filler}"}}}}"#);
        Self {
            id,
            body,
            answer: None,
        }
    }

    fn is_card(&self) -> bool {
        self.id.starts_with("card")
    }
}

/// The events of one round: one by one, one that is decided, and some at once.
fn round(number: u64) -> Vec<Sent> {
    let order =
        |name: &str, bytes| Sent::new("order.paid", format!("order-{number}-{name}"), bytes);
    vec![
        order("first", 100),
        Sent::new("card.wanted", format!("card-{number}"), 100),
        order("large", 6_000),
        order("second", 100),
    ]
}

/// The subject, as a process of its own.
struct Receiver {
    address: SocketAddr,
    disk: FaultSwitch,
    process: Child,
    /// Kept open: it must not fail when it prints.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Receiver {
    async fn start(disk: &FailingDisk) -> Self {
        let mut process = subject("receives_on_a_failing_disk", disk).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = soon(lines.next_line()).await.unwrap();
            let line = line.expect("the receiver starts");
            if let Some(address) = line.strip_prefix("listening ") {
                break address.parse().unwrap();
            }
        };
        Self {
            address,
            disk: disk.switch(),
            process,
            _lines: lines,
        }
    }

    /// Posts once; whether that was acknowledged.
    async fn post(&self, event: &mut Sent) -> bool {
        let sender = Sender::new(acme(), SECRET).unwrap().to("/acme");
        let request = sender.request(event.body.clone()).unwrap();
        let (head, body) = head_of(request).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let mut wire = Wire::connect(self.address).await;
        wire.send(&[head.as_bytes(), length.as_bytes(), &body].concat())
            .await;
        let answer = wire.whole_answer().await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.starts_with("HTTP/1.1 200 ") {
            let first = event.answer.get_or_insert_with(|| body.to_owned());
            assert_eq!(first, body, "{}: answered twice", event.id);
            if !event.is_card() {
                assert_eq!(body, YES, "{}", event.id);
            }
            true
        } else {
            assert!(head.starts_with("HTTP/1.1 503 "), "{}: {answer}", event.id);
            assert!(
                head.contains("\r\nretry-after: 5"),
                "{}: {answer}",
                event.id
            );
            assert_eq!(body, "", "{}", event.id);
            false
        }
    }

    async fn send(&self, round: &mut [Sent]) {
        let (one_by_one, at_once) = round.split_at_mut(2);
        for event in one_by_one {
            self.post(event).await;
        }
        join_all(at_once.iter_mut().map(|event| self.post(event))).await;
    }

    /// Sends again until everything is acknowledged, as a provider does, and
    /// once more, for an answer that got lost.
    async fn redeliver(&self, round: &mut [Sent]) {
        for event in round {
            if event.answer.is_none() {
                self.post_until_acknowledged(event).await;
            }
            if event.is_card() {
                // Even a recorded reply has a deadline, which a busy machine misses.
                self.post_until_acknowledged(event).await;
            } else {
                assert!(self.post(event).await, "{} was acknowledged", event.id);
            }
        }
    }

    async fn post_until_acknowledged(&self, event: &mut Sent) {
        let began = Instant::now();
        while !self.post(event).await {
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(10), "{} stays away", event.id);
        }
    }

    /// Until the fault has come, or nothing comes any more.
    async fn wait_for_a_fault(&mut self) {
        let mut quiet_since = Instant::now();
        while self.disk.failed() == 0 && quiet_since.elapsed() < IDLE {
            if self.left().await != Some(0) {
                quiet_since = Instant::now();
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn wait_for_jobs(&mut self) {
        let began = Instant::now();
        while self.left().await != Some(0) {
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(20), "jobs do not end");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// How many jobs have not ended.
    async fn left(&mut self) -> Option<u64> {
        assert_eq!(self.process.try_wait().unwrap(), None, "it ended by itself");
        let mut wire = Wire::connect(self.address).await;
        wire.send(b"GET /left HTTP/1.1\r\nhost: test\r\n\r\n").await;
        let answer = wire.answer().await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        head.starts_with("HTTP/1.1 200 ")
            .then(|| body.parse().unwrap())
    }

    /// Ends the process and forgets what was not synced, in the middle of a
    /// commit that is never answered.
    async fn lose_power(mut self) {
        self.disk.cut_power();
        let sender = Sender::new(acme(), SECRET).unwrap().to("/acme");
        let last = Sent::new("order.paid", "order-last".to_owned(), 100);
        let (head, body) = head_of(sender.request(last.body).unwrap()).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let mut wire = Wire::connect(self.address).await;
        wire.send(&[head.as_bytes(), length.as_bytes(), &body].concat())
            .await;
        assert_eq!(wire.whole_answer().await, None);
        soon(self.process.wait()).await.unwrap();
        self.disk.heal();
    }

    async fn stop(mut self) {
        let process = self.process.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        soon(kill.args(["-TERM", &process]).status()).await.unwrap();
        assert!(soon(self.process.wait()).await.unwrap().success());
    }
}

/// This program again, for one of the ignored tests below.
fn subject(name: &str, disk: &FailingDisk) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .envs(disk.environment())
        .env(FOLDER, disk.folder())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn file(folder: &Path) -> PathBuf {
    folder.join("webhooks.db")
}

/// Looks as anybody may, without the disk's faults.
fn look(folder: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file(folder), flags).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

fn count(folder: &Path, sql: &str) -> rusqlite::Result<i64> {
    look(folder).query_row(sql, [], |row| row.get(0))
}

/// The number of an acknowledged event, which is there once and whole.
fn stored(folder: &Path, event: &Sent) -> i64 {
    let id = &event.id;
    let connection = look(folder);
    let mut rows = connection
        .prepare("SELECT seq, body, body_sha256, body_bytes FROM event WHERE id = ?1")
        .unwrap();
    let rows = rows.query_map([id], |row| {
        let seq: i64 = row.get(0)?;
        let body: Vec<u8> = row.get(1)?;
        let sha256: [u8; 32] = row.get(2)?;
        let bytes: i64 = row.get(3)?;
        Ok((seq, body, sha256, bytes))
    });
    let rows: Vec<_> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let [(seq, body, sha256, bytes)] = &rows[..] else {
        panic!("{id} was acknowledged and has {} rows", rows.len());
    };
    assert!(body == event.body.as_bytes(), "{id} is not what was sent");
    assert_eq!(usize::try_from(*bytes), Ok(event.body.len()), "{id}");
    let mut as_sent = NewEvent::new("acme", event.body.clone(), SystemTime::now());
    assert_eq!(*sha256, as_sent.hash_body(), "{id}");
    let jobs = jobs(&connection, *seq);
    let expected: &[&str] = if event.is_card() {
        &["audit"]
    } else {
        &["book", "ship"]
    };
    assert!(jobs.keys().eq(expected), "{id}: {jobs:?}");
    *seq
}

/// The states of an event's jobs, by handler.
fn jobs(connection: &Connection, seq: i64) -> BTreeMap<String, String> {
    let mut jobs = connection
        .prepare("SELECT handler, state FROM job WHERE seq = ?1")
        .unwrap();
    let jobs = jobs.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)));
    jobs.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every event of these is there, with its jobs done, its work done once, and
/// the reply that was answered.
fn check(folder: &Path, events: &[Sent]) {
    let connection = look(folder);
    for event in events {
        let id = &event.id;
        let seq = stored(folder, event);
        let jobs = jobs(&connection, seq);
        assert!(jobs.values().all(|state| state == "done"), "{id}: {jobs:?}");
        let booked: i64 = connection
            .query_row("SELECT count(*) FROM booked WHERE id = ?1", [id], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(booked, i64::from(!event.is_card()), "{id} was booked");
        if event.is_card() {
            let sql = "SELECT CAST(body AS TEXT) FROM reply WHERE seq = ?1";
            let recorded: Option<String> =
                connection.query_row(sql, [seq], |row| row.get(0)).unwrap();
            assert_eq!(recorded, event.answer, "{id}");
        }
    }
}

/// Nothing is torn, in whatever was stored.
fn check_the_whole(folder: &Path) {
    let connection = look(folder);
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let wrong = [
        "SELECT count(*) FROM event WHERE body_bytes <> length(body)",
        "SELECT count(*) FROM event WHERE (SELECT count(*) FROM job WHERE job.seq = event.seq)
             <> CASE event_type WHEN 'order.paid' THEN 2 ELSE 1 END",
        "SELECT abs(count(*) - (SELECT sum(events) FROM event_count)) FROM event",
        "SELECT count(*) FROM job_count AS c WHERE jobs <> (SELECT count(*) FROM job
             WHERE job.handler = c.handler AND job.state = c.state)",
        "SELECT abs(max(seq) - (SELECT last_seq FROM inbox)) FROM event",
        "SELECT count(*) FROM reply WHERE seq NOT IN (SELECT seq FROM event)",
    ];
    for sql in wrong {
        assert_eq!(count(folder, sql), Ok(0), "{sql}");
    }
}

#[tokio::test]
#[ignore = "the process that a test above starts"]
async fn is_refused_and_loses_power() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let disk = FailingDisk::of_this_process();
    let file = file(Path::new(&folder));
    let inbox = match SqliteInbox::open(&file).await {
        Ok(inbox) => inbox,
        Err(_) => {
            disk.heal();
            SqliteInbox::open(&file).await.unwrap()
        }
    };
    // Nobody reads: when the connection is given up, SQLite forgets what it
    // knew of the log.
    while store(&inbox, "kept").await.is_err() {
        disk.heal();
    }
    disk.cut_power();
    let _ = store(&inbox, "cut off").await;
}

#[tokio::test]
#[ignore = "the process that a test above starts"]
async fn opens_again_and_again() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let disk = FailingDisk::of_this_process();
    for (number, fault) in [Fault::BROKEN_WRITE, Fault::FULL, Fault::BROKEN_SYNC]
        .into_iter()
        .enumerate()
    {
        let mut calls = 0;
        let mut untouched = 0;
        let mut refused = 0;
        while untouched < UNTOUCHED {
            calls += 1;
            let folder = Path::new(&folder).join(format!("{number}-{calls}"));
            std::fs::create_dir(&folder).unwrap();
            disk.arm(fault, calls);
            match SqliteInbox::open(file(&folder)).await {
                // Refusing is as good as storing.
                Ok(inbox) => drop(store(&inbox, "1").await),
                Err(_) => refused += 1,
            }
            untouched = if disk.failed() == 0 { untouched + 1 } else { 0 };
            disk.heal();
            let inbox = SqliteInbox::open(file(&folder)).await.unwrap();
            store(&inbox, "1").await.unwrap();
            inbox.close().await;
            assert_eq!(count(&folder, "SELECT count(*) FROM event"), Ok(1));
            let check = look(&folder);
            let check: String = check
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(check, "ok", "{fault}, call {calls}");
        }
        println!("{fault}: opened {calls} times, {refused} of them in vain");
        assert!(refused > 0, "the disk did not fail");
    }
}

async fn store(inbox: &SqliteInbox, id: &str) -> Result<(), InboxError> {
    let mut event = NewEvent::new("acme", "{}", SystemTime::UNIX_EPOCH);
    event.id = Some(id.into());
    let batch = Batch {
        inserts: vec![event],
        ..Batch::default()
    };
    inbox.apply(batch).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the tests above start"]
async fn receives_on_a_failing_disk() {
    // Called without a folder, by whoever runs all ignored tests, it has nothing to do.
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let soon_again = Retry::fixed(Duration::from_millis(10));
    let events = EventRouter::new()
        .on("order.*", book.named("book").retry(soon_again))
        .on("order.*", (|_: Job| async {}).named("ship"))
        .on("card.*", (|_: Job| async {}).named("audit"))
        .reply(
            "card.wanted",
            decide
                .or_default(Json(json!({ "code": "05" })))
                .within(Duration::from_millis(200)),
        );
    let inbox = SqliteInbox::builder(file(Path::new(&folder)))
        .with_checkpoint_pages(CHECKPOINT_PAGES)
        .with_tables("CREATE TABLE IF NOT EXISTS booked (id TEXT NOT NULL)")
        .open()
        .await
        .unwrap();
    let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events);
    let webhooks = Webhooks::builder()
        .with_worker(|worker| worker.with_lease(Duration::from_secs(2)))
        .start(inbox, [endpoint])
        .await
        .unwrap();
    let webhooks = Arc::new(webhooks);
    let app = Form::Layer.mount(&webhooks, "acme").merge(left(&webhooks));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // In one piece, beside what the test runner prints.
    println!("\nlistening {}", listener.local_addr().unwrap());
    let mut asked_to_stop = signal(SignalKind::terminate()).unwrap();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            asked_to_stop.recv().await;
        })
        .await
        .unwrap();
    webhooks.drain(Duration::from_secs(5)).await;
}

/// A row that commits with its job's completion, or not at all.
async fn book(job: Job) -> Completion {
    let id = job.event_id().to_string();
    let work = SqliteWork::new(move |tx| {
        tx.execute("INSERT INTO booked (id) VALUES (?1)", [id])
            .map(drop)
    });
    Completion::with_work(work.into())
}

/// No decision is like another, so that two for one event would be seen.
async fn decide(_: Job) -> Json<Value> {
    static DECISIONS: AtomicU64 = AtomicU64::new(0);
    let decision = DECISIONS.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "code": "00", "decision": decision }))
}

/// Tells how many jobs have not ended.
fn left(webhooks: &Arc<Webhooks>) -> Router {
    let inbox = Arc::clone(webhooks.inbox());
    let left = async move || {
        let stats = inbox.stats().await;
        let stats = stats.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let left = stats.jobs(JobState::Pending) + stats.jobs(JobState::Running);
        Ok::<_, StatusCode>(left.to_string())
    };
    Router::new().route("/left", get(left))
}
