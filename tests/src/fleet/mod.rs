//! Processes of one app that share a database: the program `fleet`, started as
//! often as a test likes.

mod cluster;
mod found;
mod journal;
mod load;
mod provider;
mod script;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::{
    cluster::Cluster,
    found::Found,
    journal::{Begun, Journal, Journals, Note, Run, nanoseconds},
    load::Load,
    provider::{Answer, Provided},
    script::{Act, Fate, LEASE, Repeat},
};
use crate::{Receiver, SECRET, disk_folder};

/// The processes' database and journals.
#[derive(Debug)]
pub struct Fleet {
    /// The database.
    pub cluster: Arc<Cluster>,
    program: PathBuf,
    journals: TempDir,
    started: u32,
    gave_up: u32,
    killed: BTreeMap<u32, u64>,
}

impl Fleet {
    /// A fleet without processes; `program` is the path of `fleet`.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not there.
    pub async fn start(program: &str) -> Self {
        Self {
            cluster: Arc::new(Cluster::start("fleet").await),
            program: PathBuf::from(program),
            journals: disk_folder(),
            started: 0,
            gave_up: 0,
            killed: BTreeMap::new(),
        }
    }

    /// Another process that takes deliveries in.
    pub async fn receiver(&mut self) -> Receiver {
        self.process("receiver", &[]).await
    }

    /// Another process that runs handlers.
    pub async fn worker(&mut self) -> Receiver {
        self.process("worker", &[]).await
    }

    /// Another process, set up otherwise. One that gives up because its database is
    /// away is started again, as a service manager would.
    ///
    /// # Panics
    ///
    /// When it does not start for another reason, or not within two minutes.
    pub async fn process(&mut self, role: &str, settings: &[(&str, &str)]) -> Receiver {
        self.started += 1;
        let inbox = self.cluster.url(&format!("{role}-{}", self.started));
        let journal = self.journals.path().to_str().unwrap().to_owned();
        let mut environment = vec![
            ("INBOX", inbox.as_str()),
            ("JOURNAL", &journal),
            ("ROLE", role),
            ("RUST_LOG", "warn,fleet=info"),
        ];
        environment.extend(settings);
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let begun = Receiver::begin(&self.program, SECRET, &environment);
            match timeout_at(until, begun).await.expect("it starts") {
                Ok(process) => return process,
                Err(logged) if logged.contains("kind: Unavailable") => self.gave_up += 1,
                Err(logged) => panic!("{role} did not start: {logged}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Ends a process as a crash does.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub async fn kill(&mut self, process: Receiver) {
        let pid = process.pid();
        process.kill().await;
        self.killed.insert(pid, nanoseconds());
    }

    /// How many were killed.
    #[must_use]
    pub fn kills(&self) -> usize {
        self.killed.len()
    }

    /// How often a process gave up because its database was away, and was started
    /// again.
    #[must_use]
    pub fn gave_up(&self) -> u32 {
        self.gave_up
    }

    /// What they noted. Those that were not killed must have been stopped.
    #[must_use]
    pub fn journals(&self) -> Journals {
        Journals::read(self.journals.path(), &self.killed)
    }

    /// What a process has noted until now.
    ///
    /// # Panics
    ///
    /// When it has no journal.
    #[must_use]
    pub fn noted(&self, process: &Receiver) -> String {
        let journal = self.journals.path().join(process.pid().to_string());
        std::fs::read_to_string(journal).unwrap()
    }

    /// Waits until no job is left to run.
    ///
    /// # Panics
    ///
    /// When none ends for so long.
    pub async fn settled(&self, patience: Duration) {
        let unfinished = "SELECT count(*) FROM job WHERE state IN ('pending', 'running')";
        let (mut least, mut until) = (u64::MAX, Instant::now());
        loop {
            let left = self.cluster.count(unfinished).await;
            if left == 0 {
                return;
            }
            if left < least {
                (least, until) = (left, Instant::now() + patience);
            }
            assert!(Instant::now() < until, "{left} jobs do not end");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Before a process is started again.
const PAUSE: Duration = Duration::from_millis(200);
