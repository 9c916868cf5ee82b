//! A schema for one test's inbox, and short ways to ask it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use tokio_postgres::{Client, NoTls};
use tower_webhooks_inbox::{
    Applied, Batch, Claim, Inbox, InboxError, Inserted, Leased, NewEvent, Pattern, Registration,
    Settle, SettleResult, Settlement, Want, Work,
};
use tower_webhooks_postgres::{PostgresBuilder, PostgresInbox, tokio_postgres};

pub(crate) fn url() -> String {
    std::env::var("TOWER_WEBHOOKS_POSTGRES")
        .expect("TOWER_WEBHOOKS_POSTGRES: eval \"$(scripts/postgres start)\"")
}

/// A connection as `psql` has one.
pub(crate) async fn shell(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A schema of its own, dropped with its test.
pub(crate) struct Schema {
    pub(crate) name: String,
    url: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        Self::at(url())
    }

    pub(crate) fn at(url: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!(
            "test_{}_{}_{started}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        Self { name, url }
    }

    pub(crate) fn builder(&self) -> PostgresBuilder {
        PostgresInbox::builder(self.url.clone()).with_schema(self.name.clone())
    }

    pub(crate) async fn open(&self) -> PostgresInbox {
        self.builder().open().await.unwrap()
    }

    /// The tables as `psql` sees them.
    pub(crate) async fn shell(&self) -> Client {
        let client = shell(&self.url).await;
        let name = &self.name;
        client
            .batch_execute(&format!("SET search_path = {name}"))
            .await
            .unwrap();
        client
    }

    /// The answer to a question with one number.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let row = self.shell().await.query_one(sql, &[]).await.unwrap();
        row.get(0)
    }

    /// Lets time pass, by setting all times back that are stored.
    pub(crate) async fn advance(&self, by: Duration) {
        let by = format!("interval '{} microseconds'", by.as_micros());
        let sql = format!(
            "UPDATE event SET stored_at = stored_at - {by};
             UPDATE event_body SET stored_at = stored_at - {by};
             UPDATE job SET due_at = due_at - {by}, ended_at = ended_at - {by};
             UPDATE handler SET asked_at = asked_at - {by};
             UPDATE reply SET held_until = held_until - {by};"
        );
        self.shell().await.batch_execute(&sql).await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        let url = self.url.clone();
        // On a thread of its own: the test's runtime may be ending, or busy with this.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
                    return;
                };
                tokio::spawn(connection);
                let _ = client.batch_execute(&sql).await;
            });
        });
        let _ = dropped.join();
    }
}

pub(crate) fn event(id: &str) -> NewEvent {
    let body = format!(r#"{{"order":"{id}"}}"#);
    let mut event = NewEvent::new("shop", body, SystemTime::UNIX_EPOCH);
    event.id = Some(id.into());
    event.event_type = Some("order.paid".into());
    event
}

pub(crate) async fn insert_all(
    inbox: &dyn Inbox,
    inserts: Vec<NewEvent>,
) -> Result<Vec<Inserted>, InboxError> {
    let batch = Batch {
        inserts,
        ..Batch::default()
    };
    inbox.apply(batch).await.map(|applied| applied.inserts)
}

pub(crate) async fn try_insert(inbox: &dyn Inbox, event: NewEvent) -> Result<Inserted, InboxError> {
    insert_all(inbox, vec![event])
        .await
        .map(|mut inserted| inserted.remove(0))
}

pub(crate) async fn insert(inbox: &dyn Inbox, id: &str) -> Inserted {
    try_insert(inbox, event(id)).await.unwrap()
}

pub(crate) fn registration(handler: &str) -> Registration {
    Registration {
        endpoint: "shop".into(),
        handler: handler.into(),
        pattern: Pattern::all(),
        fallback: false,
        ordering: tower_webhooks_inbox::Ordering::None,
    }
}

pub(crate) async fn register(inbox: &dyn Inbox, registration: Registration) {
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

pub(crate) async fn try_claim(
    inbox: &dyn Inbox,
    handler: &str,
    free: usize,
) -> Result<Vec<Leased>, InboxError> {
    let batch = Batch {
        claim: Some(Claim {
            worker: "worker".into(),
            wants: vec![want(handler, free)],
            lease: Duration::from_secs(30),
        }),
        ..Batch::default()
    };
    inbox.apply(batch).await.map(|applied| applied.claimed)
}

pub(crate) async fn claim(inbox: &dyn Inbox, handler: &str, free: usize) -> Vec<Leased> {
    try_claim(inbox, handler, free).await.unwrap()
}

pub(crate) fn done(job: &Leased, work: Option<Work>) -> Settle {
    Settle {
        key: job.key(),
        token: job.token,
        outcome: Settlement::Done,
        work,
    }
}

/// As a worker does: what another claim looks at this moment is settled a moment later.
pub(crate) async fn settle_all(inbox: &dyn Inbox, settles: Vec<Settle>) -> Vec<SettleResult> {
    let mut results = vec![SettleResult::Busy; settles.len()];
    while results.contains(&SettleResult::Busy) {
        let busy = |place: &usize| results[*place] == SettleResult::Busy;
        let places: Vec<usize> = (0..settles.len()).filter(busy).collect();
        let batch = Batch {
            settles: places.iter().map(|place| settles[*place].clone()).collect(),
            ..Batch::default()
        };
        let applied: Applied = inbox.apply(batch).await.unwrap();
        for (place, result) in places.into_iter().zip(applied.settles) {
            results[place] = result;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    results
}
