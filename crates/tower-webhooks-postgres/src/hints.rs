//! Hints between processes that jobs became due: LISTEN and NOTIFY.
//!
//! Only hints: workers also ask by themselves, so nothing depends on one. Told
//! after the commit and outside of it, since committing transactions that notify
//! wait for one another; and not more often than listeners can make use of.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::sleep,
};

use crate::session::Database;

/// Told and heard hints. Its tasks end with it.
#[derive(Debug)]
pub(crate) struct Hints {
    /// Says which hints are our own.
    name: String,
    due: Arc<Notify>,
    /// How often others have told.
    heard: watch::Sender<u64>,
    /// How much of that somebody here was told.
    passed_on: AtomicU64,
    teller: OnceLock<AbortHandle>,
    listener: OnceLock<AbortHandle>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self {
            name: format!("{:016x}", rand::random::<u64>()),
            due: Arc::default(),
            heard: watch::Sender::new(0),
            passed_on: AtomicU64::new(0),
            teller: OnceLock::new(),
            listener: OnceLock::new(),
        }
    }

    /// Tells the other processes, soon.
    pub(crate) fn tell(&self, database: &Arc<Database>) {
        self.due.notify_one();
        self.teller.get_or_init(|| {
            let (due, name, database) = (self.due.clone(), self.name.clone(), database.clone());
            tokio::spawn(tell(due, name, database)).abort_handle()
        });
    }

    /// Tells the other processes now: for who may end when it is done.
    pub(crate) async fn tell_now(&self, database: &Database) {
        tell_once(&self.name, database).await;
    }

    /// Returns after another process has told.
    pub(crate) async fn heard(&self, database: &Arc<Database>) {
        self.listener.get_or_init(|| {
            let (heard, name, database) = (self.heard.clone(), self.name.clone(), database.clone());
            tokio::spawn(listen(heard, name, database)).abort_handle()
        });
        let mut heard = self.heard.subscribe();
        let now = *heard.borrow_and_update();
        if now <= self.passed_on.load(Ordering::Relaxed) && heard.changed().await.is_err() {
            // Never: the sender is here.
            return std::future::pending().await;
        }
        let now = *heard.borrow();
        self.passed_on.fetch_max(now, Ordering::Relaxed);
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        for task in [&self.teller, &self.listener] {
            if let Some(task) = task.get() {
                task.abort();
            }
        }
    }
}

async fn tell(due: Arc<Notify>, name: String, database: Arc<Database>) {
    loop {
        due.notified().await;
        tell_once(&name, &database).await;
        sleep(PAUSE).await;
    }
}

async fn tell_once(name: &str, database: &Database) {
    let sql = format!("NOTIFY {}, '{name}'", database.schema().quoted());
    if let Err(failure) = database.alone(&sql).await {
        tracing::debug!(reason = %failure, "no hint to other processes; they look by themselves");
    }
}

async fn listen(heard: watch::Sender<u64>, name: String, database: Arc<Database>) {
    let channel = database.schema().as_str().to_owned();
    loop {
        match database.listen(&channel).await {
            Ok(None) => return,
            Ok(Some(mut listener)) => {
                // What was told before nobody has heard.
                wake(&heard);
                while let Ok(told) = listener.notified().await {
                    if told != name {
                        wake(&heard);
                    }
                }
            }
            Err(failure) => {
                tracing::debug!(reason = %failure, "cannot listen for hints; polling goes on");
            }
        }
        sleep(RECONNECT).await;
    }
}

fn wake(heard: &watch::Sender<u64>) {
    heard.send_modify(|times| *times = times.wrapping_add(1));
}

/// Between two hints.
const PAUSE: Duration = Duration::from_millis(20);
const RECONNECT: Duration = Duration::from_secs(2);
