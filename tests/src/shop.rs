//! A receiver on its file that is ended and started again, and what its
//! provider knows of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
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
    task::JoinHandle,
    time::{interval_at, sleep},
};
use tower_webhooks::{SqliteInbox, sqlite::rusqlite::Connection, testing::Sender};

use crate::{FailPoint, Receiver, Trade, Wire, books, disk_folder, head_of, soon};

const SECRET: &str = "the-receiver-and-its-killer-share-this";

/// Each with one event under way: 800 events/s, of which the machine does what
/// it can.
const SENDERS: u32 = 32;
const PACE: Duration = Duration::from_millis(40);

/// What every job has to end in.
const MOST: Duration = Duration::from_secs(60);

/// The receiver's file, and what its provider knows.
#[derive(Debug)]
pub struct Shop {
    /// What was answered with 200, and how.
    pub answered: BTreeMap<u64, String>,
    /// What nobody answered, so that it is to be sent again.
    pub unanswered: Vec<u64>,
    /// From each start of a process to its first 200 at `/readyz`.
    pub recoveries: Vec<Duration>,
    /// What the receiver that took longest had logged by then.
    pub slowest_start: String,
    /// How many events were sent, under the numbers from 0.
    pub sent: Arc<AtomicU64>,
    /// What its provider sends.
    pub trade: Trade,
    /// In the place of the example's own program.
    program: Option<PathBuf>,
    folder: TempDir,
    under_load: Duration,
}

/// What one sender can tell afterwards.
#[derive(Debug)]
struct Sent {
    answered: Vec<(u64, String)>,
    unanswered: u64,
    ended: Instant,
}

/// What one sender sends with.
struct Line {
    wire: Wire,
    sender: Sender,
    body: fn(u64) -> String,
}

enum Answer {
    /// A 200 with this body.
    Taken(String),
    /// Later, it says.
    Refused,
    /// None, or another one.
    Ended,
}

impl Line {
    async fn exchange(&mut self, body: String) -> Answer {
        let (head, body) = head_of(self.sender.request(body).unwrap()).await;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let request = [head.as_bytes(), length.as_bytes(), &body].concat();
        self.wire.send(&request).await;
        let answer = self.wire.whole_answer().await.unwrap_or_default();
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => {
                Answer::Taken(body.to_owned())
            }
            Some((head, _)) if head.starts_with("HTTP/1.1 503 ") => Answer::Refused,
            _ => Answer::Ended,
        }
    }
}

/// The senders, while they send.
#[derive(Debug)]
pub struct Load {
    began: Instant,
    senders: Vec<JoinHandle<Sent>>,
}

impl Shop {
    /// One with the receiver that the example is.
    #[must_use]
    pub fn new(trade: Trade) -> Self {
        Self {
            answered: BTreeMap::new(),
            unanswered: Vec::new(),
            recoveries: Vec::new(),
            slowest_start: String::new(),
            trade,
            program: None,
            folder: disk_folder(),
            sent: Arc::default(),
            under_load: Duration::ZERO,
        }
    }

    /// One whose receiver can be made to end itself: `program` is the one of
    /// these tests.
    #[must_use]
    pub fn aborting(trade: Trade, program: &str) -> Self {
        Self {
            program: Some(program.into()),
            ..Self::new(trade)
        }
    }

    /// Where the events are.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("webhooks.db")
    }

    /// What the handlers of an aborting receiver have noted.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.folder.path().join("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// Whether its receiver is the one that notes what its handlers do.
    pub(crate) fn takes_notes(&self) -> bool {
        self.program.is_some()
    }

    /// A receiver that is ready. Its lines must be read, or they fill the pipe.
    pub async fn start(&mut self) -> Receiver {
        self.start_with(&[]).await
    }

    /// A receiver that is ready, and ends when this point is passed for the
    /// `nth` time.
    pub async fn start_armed(&mut self, point: FailPoint, nth: u64) -> Receiver {
        let (point, nth) = (point.to_string(), nth.to_string());
        self.start_with(&[("FAIL_POINT", &point), ("FAIL_AT", &nth)])
            .await
    }

    async fn start_with(&mut self, settings: &[(&str, &str)]) -> Receiver {
        let environment = self.environment();
        let environment = environment.iter().map(|(name, value)| (*name, &**value));
        let environment: Vec<_> = environment.chain(settings.iter().copied()).collect();
        let receiver = match &self.program {
            Some(program) => Receiver::start_program(program, SECRET, &environment).await,
            None => Receiver::start(self.trade.package, SECRET, &environment).await,
        };
        soon(ready(receiver.address)).await;
        let recovery = receiver.started.elapsed();
        if self.recoveries.iter().all(|before| *before < recovery) {
            self.slowest_start = receiver.logged();
        }
        self.recoveries.push(recovery);
        receiver
    }

    /// Runs a receiver whose handlers must end its process.
    ///
    /// # Panics
    ///
    /// When it goes on, or is not an aborting one.
    pub async fn aborts(&self) {
        let environment = self.environment();
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        Receiver::aborts(self.program.as_deref().unwrap(), SECRET, &environment).await;
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        let path = |name| self.folder.path().join(name).display().to_string();
        [
            ("INBOX", path("webhooks.db")),
            // The default is for finding mistakes, and slower than the load.
            ("RUST_LOG", "info".to_owned()),
            ("RECEIVER", self.trade.package.to_owned()),
            ("NOTES", path("notes")),
        ]
    }

    /// Begins to send one event after another, with what nobody answered first,
    /// until the receiver takes no more.
    pub async fn load(&mut self, address: SocketAddr) -> Load {
        // All before the first one sends: an armed receiver may then be gone.
        let mut lines = Vec::new();
        for _ in 0..SENDERS {
            lines.push(self.line(address).await);
        }
        let mut again = std::mem::take(&mut self.unanswered).into_iter();
        let began = Instant::now();
        // Evenly over the pace, as many senders would be, and not all at once.
        let starts = (0..).map(|nth| began + PACE / SENDERS * nth);
        let senders = lines.into_iter().zip(starts).map(|(line, start)| {
            let sending = send(line, start, Arc::clone(&self.sent), again.next());
            tokio::spawn(sending)
        });
        let senders = senders.collect();
        self.unanswered.extend(again);
        Load { began, senders }
    }

    async fn line(&self, address: SocketAddr) -> Line {
        let sender = Sender::new((self.trade.provider)(), SECRET).unwrap();
        Line {
            wire: Wire::connect(address).await,
            sender: sender.to(self.trade.path),
            body: self.trade.body,
        }
    }

    /// Waits until the receiver takes no more; returns what was under way then.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub async fn finish(&mut self, load: Load) -> BTreeSet<u64> {
        let mut ended = load.began;
        let mut under_way = BTreeSet::new();
        for sender in load.senders {
            let sent = soon(sender).await.unwrap();
            self.note(sent.answered);
            under_way.insert(sent.unanswered);
            ended = ended.max(sent.ended);
        }
        self.unanswered.extend(&under_way);
        self.under_load += ended - load.began;
        under_way
    }

    /// Sends again what nobody answered, and then a new event.
    ///
    /// # Panics
    ///
    /// When one is not answered with 200.
    pub async fn send_again(&mut self, address: SocketAddr) {
        let mut line = self.line(address).await;
        let new = self.sent.fetch_add(1, Ordering::Relaxed);
        self.unanswered.push(new);
        for number in std::mem::take(&mut self.unanswered) {
            let Answer::Taken(answer) = line.exchange((line.body)(number)).await else {
                panic!("{number} is not taken");
            };
            self.note(vec![(number, answer)]);
        }
    }

    /// Stores so many events as if they had been received and not answered.
    pub async fn put(&mut self, inbox: &SqliteInbox, events: u64) {
        let from = self.sent.fetch_add(events, Ordering::Relaxed);
        let bodies = (from..from + events).map(self.trade.body);
        books::put(inbox, self.trade, bodies).await;
    }

    fn note(&mut self, answers: Vec<(u64, String)>) {
        for (number, answer) in answers {
            let before = self.answered.insert(number, answer);
            assert_eq!(before, None, "{number} was sent again after its answer");
        }
    }

    /// Sends again what nobody answered, waits until every job has ended, stops
    /// the receiver and returns its file.
    ///
    /// # Panics
    ///
    /// When something is not answered or does not end.
    pub async fn settle(&mut self) -> Connection {
        let mut receiver = self.start().await;
        drop(receiver.lines());
        self.send_again(receiver.address).await;
        let file = books::open(&self.file());
        let began = Instant::now();
        while books::count(&file, books::UNFINISHED) > 0 {
            assert!(began.elapsed() < MOST, "jobs do not end");
            sleep(Duration::from_millis(20)).await;
        }
        receiver.terminate();
        receiver.ended().await;
        file
    }

    /// Events answered for each second in which the senders sent.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answered.len() as f64 / self.under_load.as_secs_f64()
    }

    /// What a run has shown, in figures.
    ///
    /// # Panics
    ///
    /// When no receiver was started.
    #[must_use]
    pub fn figures(&self) -> String {
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        format!(
            "{} events answered, {:.0}/s; ready again after {:?}, {:?} at most",
            self.answered.len(),
            self.rate(),
            recoveries[recoveries.len() / 2],
            recoveries.last().unwrap(),
        )
    }
}

async fn send(
    mut line: Line,
    start: Instant,
    sent: Arc<AtomicU64>,
    mut again: Option<u64>,
) -> Sent {
    let mut pace = interval_at(start.into(), PACE);
    let mut answered = Vec::new();
    loop {
        pace.tick().await;
        let number = again
            .take()
            .unwrap_or_else(|| sent.fetch_add(1, Ordering::Relaxed));
        match line.exchange((line.body)(number)).await {
            Answer::Taken(answer) => answered.push((number, answer)),
            Answer::Refused => again = Some(number),
            Answer::Ended => {
                return Sent {
                    answered,
                    unanswered: number,
                    ended: Instant::now(),
                };
            }
        }
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
