use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tower_webhooks_inbox::Inbox;
use tower_webhooks_postgres::{OpenError, OpenErrorKind, PostgresBuilder, PostgresInbox};
use tower_webhooks_sqlite::SqliteInbox;

use crate::failure::Failure;

/// Which inbox.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cmd) struct PlaceArg {
    /// The inbox's file, or its postgres:// URL; one with a password is better kept in INBOX, since
    /// everybody on the machine sees a command's arguments
    // A path, so that no URL with a password in it is ever shown as a wrong value.
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "INBOX",
        hide_env_values = true,
        default_value = "webhooks.db",
        global = true
    )]
    inbox: PathBuf,
}

impl PlaceArg {
    /// What is named, or why that is no inbox.
    pub(in crate::cmd) fn parse(self) -> Result<Place, Failure> {
        let text = self.inbox.to_string_lossy();
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Ok(Place::Postgres(text.into_owned())),
            Some((scheme, _)) => Err(Failure::usage(format!(
                "no inbox is kept at {scheme}://: give --inbox a file, or postgres://…"
            ))),
            None if text == "memory" => Err(Failure::usage(
                "an inbox in memory is seen by its own process alone: give --inbox a file",
            )),
            None => Ok(Place::File(self.inbox)),
        }
    }
}

/// Where an inbox is, whether or not it is there.
pub(in crate::cmd) enum Place {
    File(PathBuf),
    /// A server's URL.
    Postgres(String),
}

/// An inbox, opened beside its receivers.
pub(in crate::cmd) enum Opened {
    File(SqliteInbox),
    Postgres(PostgresInbox),
}

impl Place {
    /// Opens the inbox beside its receivers, and makes none.
    pub(in crate::cmd) async fn open(&self) -> Result<Opened, Failure> {
        match self {
            Self::File(path) => open_file(path).await.map(Opened::File),
            Self::Postgres(url) => {
                let opened = server(url).auto_migrate(false).open().await;
                opened.map(Opened::Postgres).map_err(unopened)
            }
        }
    }
}

impl Opened {
    pub(in crate::cmd) fn inbox(&self) -> &dyn Inbox {
        match self {
            Self::File(inbox) => inbox,
            Self::Postgres(inbox) => inbox,
        }
    }

    /// Waits until nothing is left to do.
    pub(in crate::cmd) async fn close(self) {
        match self {
            Self::File(inbox) => inbox.close().await,
            // Each transaction has ended with the answer to it.
            Self::Postgres(_) => {}
        }
    }
}

async fn open_file(path: &Path) -> Result<SqliteInbox, Failure> {
    if !path.exists() {
        return Err(Failure::usage(format!(
            "there is no inbox at {}: give --inbox, or set INBOX",
            path.display()
        )));
    }
    let opened = SqliteInbox::open_beside(path).await;
    opened.map_err(|error| Failure::chain(&error))
}

/// The inbox at this URL, with the patience of people instead of senders'.
pub(super) fn server(url: &str) -> PostgresBuilder {
    PostgresInbox::builder(url)
        .with_begin_timeout(BEGIN)
        .with_statement_timeout(STATEMENT)
        // They see whether it is there, and try again.
        .with_open_wait(Duration::ZERO)
        .with_max_connections(2)
}

pub(super) fn unopened(error: OpenError) -> Failure {
    match (error.kind(), Failure::chain(&error)) {
        (OpenErrorKind::Url, Failure::Failed(text)) => Failure::Usage(text),
        (_, failure) => failure,
    }
}

/// Also for making a connection, which may be far away.
const BEGIN: Duration = Duration::from_secs(5);

/// A search through all events may read all of them.
const STATEMENT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Place, Failure> {
        let inbox = PathBuf::from(text);
        PlaceArg { inbox }.parse()
    }

    #[test]
    fn a_file_or_a_postgres_url_is_an_inbox() {
        let place = parsed("a/webhooks.db").unwrap_or_else(|_| panic!("refused"));
        assert!(matches!(place, Place::File(path) if path == Path::new("a/webhooks.db")));
        for url in ["postgres://me:pa55@db/hooks", "postgresql:///hooks"] {
            let place = parsed(url).unwrap_or_else(|_| panic!("refused"));
            assert!(matches!(place, Place::Postgres(kept) if kept == url));
        }
    }

    #[test]
    fn nothing_else_is_taken_and_a_url_not_shown() {
        for (text, words) in [
            ("mysql://me:pa55@db/hooks", "no inbox is kept at mysql://"),
            ("memory", "its own process"),
        ] {
            let refused = parsed(text).err().and_then(|failure| failure.line());
            let line = refused.unwrap_or_default();
            assert!(line.contains(words), "{line}");
            assert!(!line.contains("pa55"), "{line}");
        }
    }
}
