//! A database server that a test may kill.

use std::{
    path::Path,
    process::{Command, Output},
};

use tower_webhooks::postgres::tokio_postgres::{Client, NoTls, connect};

/// A server of `scripts/postgres`, beside the one that the other tests share. It
/// stops with the test; its files are kept for the next one.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    url: String,
}

impl Cluster {
    /// Starts the server of this name, without what an earlier test left in it.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not there.
    pub async fn start(name: &str) -> Self {
        let mut cluster = Self {
            name: name.to_owned(),
            url: String::new(),
        };
        cluster.run("start").await;
        cluster.url = cluster.run("url").await.trim().to_owned();
        let clear = "DROP SCHEMA IF EXISTS webhooks CASCADE;
            DROP TABLE IF EXISTS booking;
            CREATE TABLE booking (event text NOT NULL, attempt bigint NOT NULL)";
        cluster.shell().await.batch_execute(clear).await.unwrap();
        cluster
    }

    /// Its URL, by which the server knows the process of this name.
    #[must_use]
    pub fn url(&self, process: &str) -> String {
        format!("{}?application_name={process}", self.url)
    }

    /// Ends it as a crash does.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn kill(&self) {
        self.run("kill").await;
    }

    /// Starts it again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&self) {
        self.run("start").await;
    }

    /// A session of the test's own.
    ///
    /// # Panics
    ///
    /// When the server is away.
    pub async fn shell(&self) -> Client {
        let (client, connection) = connect(&self.url("test"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("SET search_path = webhooks, public")
            .await
            .unwrap();
        client
    }

    /// The answer to a question with one number.
    ///
    /// # Panics
    ///
    /// When the server is away or does not understand.
    pub async fn count(&self, sql: &str) -> u64 {
        let row = self.shell().await.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0).try_into().unwrap()
    }

    async fn run(&self, command: &str) -> String {
        let mut script = tokio::process::Command::from(self.script(command));
        said(command, &script.output().await.unwrap())
    }

    fn script(&self, command: &str) -> Command {
        let mut script = Command::new("scripts/postgres");
        script.args([command, &self.name]);
        script.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        script
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        said("stop", &self.script("stop").output().unwrap());
    }
}

fn said(command: &str, output: &Output) -> String {
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
