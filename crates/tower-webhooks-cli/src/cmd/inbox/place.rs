use std::path::{Path, PathBuf};

use tower_webhooks_sqlite::SqliteInbox;

use crate::failure::Failure;

/// Which inbox.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArg {
    /// The inbox's file
    // A path, so that no URL with a password in it is ever shown as a wrong value.
    #[arg(
        long,
        value_name = "PATH",
        env = "INBOX",
        hide_env_values = true,
        default_value = "webhooks.db",
        global = true
    )]
    inbox: PathBuf,
}

impl PlaceArg {
    /// The file that is named, or why what is named is none.
    pub(super) fn parse(self) -> Result<Place, Failure> {
        let text = self.inbox.to_string_lossy();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(Failure::usage(
                "this release has no PostgreSQL inbox: give --inbox a file, such as webhooks.db",
            ));
        }
        if text.contains("://") {
            return Err(Failure::usage("--inbox is a URL: give a file"));
        }
        if text == "memory" {
            return Err(Failure::usage(
                "an inbox in memory is seen by its own process alone: give --inbox a file",
            ));
        }
        Ok(Place(self.inbox))
    }
}

/// An inbox's file, whether or not it is there.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the inbox beside its receiver, and makes none.
    pub(super) async fn open(self) -> Result<SqliteInbox, Failure> {
        let path = self.0;
        if !path.exists() {
            return Err(Failure::usage(format!(
                "there is no inbox at {}: give --inbox, or set INBOX",
                path.display()
            )));
        }
        let opened = SqliteInbox::open_beside(path).await;
        opened.map_err(|error| Failure::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_taken_and_a_url_not_shown() {
        let parsed = |text: &str| {
            let inbox = PathBuf::from(text);
            PlaceArg { inbox }.parse().map(|place| place.0)
        };
        assert_eq!(parsed("a/webhooks.db").unwrap(), Path::new("a/webhooks.db"));
        for (text, words) in [
            ("postgres://me:pa55@db/hooks", "no PostgreSQL inbox"),
            ("postgresql://me:pa55@db/hooks", "no PostgreSQL inbox"),
            ("mysql://me:pa55@db/hooks", "--inbox is a URL"),
            ("memory", "its own process"),
        ] {
            let line = parsed(text).unwrap_err().line().unwrap();
            assert!(line.contains(words), "{line}");
            assert!(!line.contains("pa55"), "{line}");
        }
    }
}
