//! A schema to measure in.

use std::ffi::OsString;

use tower_webhooks::{
    PostgresInbox,
    postgres::tokio_postgres::{Client, NoTls, connect},
};

use crate::durable::receiver::Receiver;

/// A schema of a server's, empty at first.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
    schema: String,
}

impl Database {
    /// A schema of this name, without what an earlier run left in it.
    ///
    /// # Errors
    ///
    /// The server is away, or its role may not make schemas.
    pub async fn empty(url: &str, name: &str) -> anyhow::Result<Self> {
        let database = Self {
            url: url.to_owned(),
            schema: format!("bench_{name}"),
        };
        database.clear().await?;
        let create = format!("CREATE SCHEMA {}", database.schema);
        database.shell().await?.batch_execute(&create).await?;
        Ok(database)
    }

    /// Drops it.
    ///
    /// # Errors
    ///
    /// The server is away.
    pub async fn clear(&self) -> anyhow::Result<()> {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        Ok(self.shell().await?.batch_execute(&drop).await?)
    }

    /// Where a receiver finds it.
    #[must_use]
    pub fn place(&self, receiver: Receiver) -> OsString {
        match receiver {
            Receiver::SharedNaive => self.by_hand(),
            _ => self.with(&format!("schema={}", self.schema)),
        }
        .into()
    }

    /// The URL for who writes SQL by hand.
    #[must_use]
    pub fn by_hand(&self) -> String {
        self.with(&format!("options=-csearch_path%3D{}", self.schema))
    }

    /// The library's inbox in it.
    ///
    /// # Errors
    ///
    /// The server is away.
    pub async fn inbox(&self) -> anyhow::Result<PostgresInbox> {
        let inbox = PostgresInbox::builder(self.url.clone()).with_schema(self.schema.clone());
        Ok(inbox.open().await?)
    }

    /// A connection that finds its tables.
    ///
    /// # Errors
    ///
    /// The server is away.
    pub async fn shell(&self) -> anyhow::Result<Client> {
        let (client, connection) = connect(&self.by_hand(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn with(&self, setting: &str) -> String {
        let sign = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{sign}{setting}", self.url)
    }
}
