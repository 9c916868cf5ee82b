//! What a careful team puts behind its handler instead of an inbox.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::SystemTime,
};

use anyhow::Context as _;
use axum::extract::State;
use bytes::Bytes;
use hmac::Hmac;
use http::{HeaderMap, StatusCode};
use rusqlite::Connection;
use sha2::Sha256;
use tokio::{sync::oneshot, task::spawn_blocking};
use tower_webhooks::postgres::{
    deadpool_postgres::{Manager, Pool},
    tokio_postgres::NoTls,
};

use crate::hand;

/// As many as the library's committer takes into one transaction.
const MAX_BATCH_EVENTS: usize = 1_024;

/// One event, ready to be stored.
#[derive(Debug)]
pub struct Event {
    id: String,
    event_type: String,
    received_at: SystemTime,
    body: Bytes,
}

/// What the handler shares between requests.
#[derive(Debug)]
pub struct Shop {
    /// The secret, ready to use.
    pub key: Hmac<Sha256>,
    /// Where events are stored.
    pub store: Store,
}

/// How events are stored.
#[derive(Debug)]
pub enum Store {
    /// One transaction for each.
    Each(Arc<Mutex<Connection>>),
    /// One for all that wait.
    Group(mpsc::Sender<Waiting>),
    /// One for each, on a server.
    Server(Pool),
}

/// An event, and who waits until it is stored.
#[derive(Debug)]
pub struct Waiting {
    event: Event,
    /// Dropped if it could not be stored.
    stored: oneshot::Sender<()>,
}

/// Verifies, stores, answers: 200 only for what is on the disk.
pub async fn receive(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let event = match hand::open(&shop.key, &headers, &body) {
        Ok(envelope) => Event {
            id: envelope.id.into_owned(),
            event_type: envelope.event_type.into_owned(),
            received_at: SystemTime::now(),
            body: body.clone(),
        },
        Err(refused) => return refused,
    };
    match shop.store.keep(event).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Store {
    /// The limit of the disk: a file that only grows, with no index and no way to know an event
    /// again.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn log(folder: &Path) -> anyhow::Result<Self> {
        let mut file = File::create_new(folder.join("events.log"))?;
        let mut record = Vec::new();
        Ok(Self::group(move |events| {
            record.clear();
            for waiting in events {
                for part in [waiting.event.id.as_bytes(), &waiting.event.body] {
                    record.extend_from_slice(&u32::try_from(part.len())?.to_le_bytes());
                    record.extend_from_slice(part);
                }
            }
            file.write_all(&record)?;
            Ok(file.sync_data()?)
        }))
    }

    /// One table, one transaction for all that wait.
    ///
    /// # Errors
    ///
    /// The database cannot be made.
    pub fn table_in_groups(folder: &Path) -> anyhow::Result<Self> {
        let mut connection = table(folder)?;
        Ok(Self::group(move |events| {
            let transaction = connection.transaction()?;
            for waiting in events {
                insert(&transaction, &waiting.event)?;
            }
            Ok(transaction.commit()?)
        }))
    }

    /// One table, one transaction for each event, as most write it.
    ///
    /// # Errors
    ///
    /// The database cannot be made.
    pub fn table(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self::Each(Arc::new(Mutex::new(table(folder)?))))
    }

    /// One table in PostgreSQL, one transaction for each event, as most write it.
    ///
    /// # Errors
    ///
    /// The server is away, or the table cannot be made.
    pub async fn server(url: &str) -> anyhow::Result<Self> {
        let pool = pool(url)?;
        let table = "CREATE TABLE event (
            id text PRIMARY KEY, type text NOT NULL, received_at timestamptz NOT NULL,
            body bytea NOT NULL)";
        pool.get().await?.batch_execute(table).await?;
        Ok(Self::Server(pool))
    }

    /// A thread that takes all that waits, and makes it durable with one call.
    fn group(mut commit: impl FnMut(&[Waiting]) -> anyhow::Result<()> + Send + 'static) -> Self {
        let (queue, waiting) = mpsc::channel::<Waiting>();
        thread::spawn(move || {
            let mut batch = Vec::new();
            while let Ok(first) = waiting.recv() {
                batch.push(first);
                batch.extend(waiting.try_iter().take(MAX_BATCH_EVENTS - 1));
                let committed = commit(&batch);
                for Waiting { stored, .. } in batch.drain(..) {
                    if committed.is_ok() {
                        // Who asked may be gone.
                        let _ = stored.send(());
                    }
                }
            }
        });
        Self::Group(queue)
    }

    async fn keep(&self, event: Event) -> anyhow::Result<()> {
        match self {
            Self::Each(connection) => {
                let connection = Arc::clone(connection);
                spawn_blocking(move || {
                    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    insert(&connection, &event)
                })
                .await??;
                Ok(())
            }
            Self::Group(queue) => {
                let (stored, kept) = oneshot::channel();
                queue.send(Waiting { event, stored })?;
                kept.await.context("it was not stored")
            }
            Self::Server(pool) => {
                let client = pool.get().await?;
                let insert = "INSERT INTO event VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let statement = client.prepare_cached(insert).await?;
                let Event {
                    id,
                    event_type,
                    received_at,
                    body,
                } = &event;
                client
                    .execute(&statement, &[id, event_type, received_at, &&body[..]])
                    .await?;
                Ok(())
            }
        }
    }
}

/// Connections to a server, as many as most programs have.
///
/// # Errors
///
/// The URL cannot be used.
pub fn pool(url: &str) -> anyhow::Result<Pool> {
    let manager = Manager::new(url.parse()?, NoTls);
    Ok(Pool::builder(manager).max_size(16).build()?)
}

/// With the settings that the library's inbox has, so that they make no difference.
fn table(folder: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(folder.join("events.db"))?;
    let journal: String =
        connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0))?;
    anyhow::ensure!(journal == "wal", "SQLite chose {journal}");
    connection.execute_batch(
        "PRAGMA synchronous = full;
         PRAGMA wal_autocheckpoint = 16000;
         PRAGMA cache_size = -16384;
         CREATE TABLE event (
             id          TEXT    PRIMARY KEY,
             type        TEXT    NOT NULL,
             received_at INTEGER NOT NULL,
             body        BLOB    NOT NULL
         ) STRICT;",
    )?;
    Ok(connection)
}

/// An id that is known is stored once.
fn insert(connection: &Connection, event: &Event) -> rusqlite::Result<usize> {
    let received_at = event
        .received_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        });
    connection
        .prepare_cached(
            "INSERT INTO event (id, type, received_at, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute((&event.id, &event.event_type, received_at, &event.body[..]))
}
