//! A place in PostgreSQL that nobody else uses.

use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::SystemTime,
};

use tower_webhooks::postgres::tokio_postgres::{self, Client, NoTls};

/// A schema that is dropped with its test: an inbox's and its handlers' tables are
/// in it.
#[derive(Debug)]
pub struct Schema {
    name: String,
}

impl Schema {
    /// What stands in the URL for a password, unless the server has one: a server
    /// that trusts its clients does not ask for it, and nobody may log it.
    pub const PASSWORD: &str = "sesame-that-nobody-may-log";

    /// One in the server that `TOWER_WEBHOOKS_POSTGRES` names, made by who opens an
    /// inbox in it.
    ///
    /// # Panics
    ///
    /// When the clock stands before 1970.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("tests_{}_{number}_{started}", std::process::id()),
        }
    }

    /// Names the inbox in it, as `INBOX` does.
    ///
    /// # Panics
    ///
    /// When there is no server.
    #[must_use]
    pub fn url(&self) -> String {
        let name = &self.name;
        let server = match server().split_once('@') {
            Some((user, host)) if user.matches(':').count() == 1 => {
                format!("{user}:{}@{host}", Self::PASSWORD)
            }
            _ => server(),
        };
        format!("{server}?schema={name}&options=-csearch_path%3D{name}")
    }

    /// What is in it, as `psql` shows it.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn shell(&self) -> Client {
        let shell = connect().await;
        let set = format!("SET search_path = {}", self.name);
        shell.batch_execute(&set).await.unwrap();
        shell
    }

    /// The first column of what this asks for, which is text.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        let rows = self.shell().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        // On a thread of its own: the test's runtime may be ending.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { connect().await.batch_execute(&drop).await.unwrap() });
        });
        // A test that fails already must not fail twice.
        let _ = dropped.join();
    }
}

async fn connect() -> Client {
    let (client, connection) = tokio_postgres::connect(&server(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn server() -> String {
    env::var("TOWER_WEBHOOKS_POSTGRES").unwrap()
}
