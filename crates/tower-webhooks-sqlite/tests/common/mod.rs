//! A folder for one test's inbox, and short ways to ask it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rusqlite::Connection;
use tower_webhooks_inbox::{
    Applied, Batch, Claim, Inbox, InboxError, Inserted, Leased, NewEvent, Ordering, Pattern,
    Registration, Settle, SettleResult, Settlement, Want, Work,
};
use tower_webhooks_sqlite::{SqliteBuilder, SqliteInbox, rusqlite};

/// On the disk that has the build, since the system's folder for temporary files
/// is often in memory, which an inbox refuses.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("webhooks.db")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn builder(&self) -> SqliteBuilder {
        SqliteInbox::builder(self.path()).with_lock_wait(Duration::ZERO)
    }

    pub(crate) async fn open(&self) -> SqliteInbox {
        self.builder().open().await.unwrap()
    }

    /// The file as the `sqlite3` shell sees it.
    pub(crate) fn shell(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }

    /// The answer to a question with one number.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.shell().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub(crate) fn event(id: &str) -> NewEvent {
    let body = format!(r#"{{"order":"{id}"}}"#);
    let mut event = NewEvent::new("shop", body, SystemTime::UNIX_EPOCH);
    event.id = Some(id.into());
    event.event_type = Some("order.paid".into());
    event
}

pub(crate) async fn try_insert(inbox: &dyn Inbox, event: NewEvent) -> Result<Inserted, InboxError> {
    let batch = Batch {
        inserts: vec![event],
        ..Batch::default()
    };
    inbox.apply(batch).await.map(|applied| applied.inserts[0])
}

pub(crate) async fn insert(inbox: &dyn Inbox, id: &str) -> Inserted {
    try_insert(inbox, event(id)).await.unwrap()
}

pub(crate) async fn register(inbox: &dyn Inbox, handler: &str) {
    let registration = Registration {
        endpoint: "shop".into(),
        handler: handler.into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: Ordering::None,
    };
    let batch = Batch {
        registers: vec![registration],
        ..Batch::default()
    };
    inbox.apply(batch).await.unwrap();
}

pub(crate) fn want(handler: &str, free: usize) -> Want {
    Want {
        endpoint: "shop".into(),
        handler: handler.into(),
        free,
    }
}

pub(crate) async fn claim(inbox: &dyn Inbox, handler: &str, free: usize) -> Vec<Leased> {
    let batch = Batch {
        claim: Some(Claim {
            worker: "worker".into(),
            wants: vec![want(handler, free)],
            lease: Duration::from_secs(30),
        }),
        ..Batch::default()
    };
    inbox.apply(batch).await.unwrap().claimed
}

pub(crate) fn settle_as(job: &Leased, outcome: Settlement) -> Settle {
    Settle {
        outcome,
        ..done(job, None)
    }
}

pub(crate) fn done(job: &Leased, work: Option<Work>) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome: Settlement::Done,
        work,
    }
}

pub(crate) async fn settle_all(inbox: &dyn Inbox, settles: Vec<Settle>) -> Vec<SettleResult> {
    let batch = Batch {
        settles,
        ..Batch::default()
    };
    let applied: Applied = inbox.apply(batch).await.unwrap();
    applied.settles
}
