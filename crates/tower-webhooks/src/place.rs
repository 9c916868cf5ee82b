//! Which inbox a program uses, as its environment says.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use crate::{Inbox, MemoryInbox};

/// Where an inbox is: what a program reads out of its environment, so that the
/// same program runs over a file on a laptop and over a server elsewhere.
///
/// | name | inbox | feature |
/// |---|---|---|
/// | `memory` | `MemoryInbox`: a crash loses what was acknowledged | |
/// | `postgres://…` | `PostgresInbox`: several processes share it | `postgres` |
/// | anything else | `SqliteInbox`: the path of its file | `sqlite` |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_webhooks::InboxPlace;
///
/// assert!(matches!(InboxPlace::new("webhooks.db")?, InboxPlace::File(_)));
/// let inbox = InboxPlace::new("memory")?.open().await?;
/// assert!(!inbox.check().await?.durable);
/// # Ok(())
/// # }
/// ```
///
/// The URL of a server also says which `schema=` the inbox is in, and `notify=off`
/// behind PgBouncer in transaction mode: `postgres://db/app?schema=acme&notify=off`.
///
/// `Debug` leaves a server's address out: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboxPlace {
    /// A file.
    File(PathBuf),
    /// The process's memory.
    Memory,
    /// A PostgreSQL server, by its URL.
    Postgres(String),
}

/// An inbox that could not be opened. Says which variable or feature to change.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PlaceError {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl InboxPlace {
    /// The place that the environment names. Not set or empty, it is the file
    /// `webhooks.db`.
    ///
    /// # Errors
    ///
    /// When it names a kind of server that there is no inbox for.
    pub fn from_env(variable: &str) -> Result<Self, PlaceError> {
        let name = env::var_os(variable).filter(|name| !name.is_empty());
        Self::new(name.unwrap_or_else(|| OsString::from("webhooks.db")))
    }

    /// The place of this name.
    ///
    /// # Errors
    ///
    /// When it names a kind of server that there is no inbox for.
    pub fn new(name: impl AsRef<OsStr>) -> Result<Self, PlaceError> {
        let name = name.as_ref();
        let Some(text) = name.to_str() else {
            return Ok(Self::File(name.into()));
        };
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.to_owned())),
            // Not the rest of it: that may hold a password.
            Some((scheme, _)) => Err(PlaceError::new(format!(
                "no inbox is kept at `{scheme}://`: it is `postgres://…`, the path of a file, or `memory`"
            ))),
            None if text == "memory" => Ok(Self::Memory),
            None => Ok(Self::File(name.into())),
        }
    }

    /// Opens the inbox, with the defaults of its kind.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or this program was built without its feature.
    pub async fn open(self) -> Result<Box<dyn Inbox>, PlaceError> {
        match self {
            Self::File(path) => file(path).await,
            Self::Memory => Ok(Box::new(MemoryInbox::new())),
            Self::Postgres(url) => postgres(url).await,
        }
    }
}

#[cfg(feature = "sqlite")]
async fn file(path: PathBuf) -> Result<Box<dyn Inbox>, PlaceError> {
    match crate::SqliteInbox::open(path).await {
        Ok(inbox) => Ok(Box::new(inbox)),
        Err(error) => Err(PlaceError::caused("the inbox's file cannot be used", error)),
    }
}

#[cfg(not(feature = "sqlite"))]
async fn file(_: PathBuf) -> Result<Box<dyn Inbox>, PlaceError> {
    Err(PlaceError::without("sqlite"))
}

#[cfg(feature = "postgres")]
async fn postgres(url: String) -> Result<Box<dyn Inbox>, PlaceError> {
    match crate::PostgresInbox::open(url).await {
        Ok(inbox) => Ok(Box::new(inbox)),
        Err(error) => Err(PlaceError::caused(
            "the inbox's server cannot be used",
            error,
        )),
    }
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: String) -> Result<Box<dyn Inbox>, PlaceError> {
    Err(PlaceError::without("postgres"))
}

impl PlaceError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    fn caused(message: &str, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
            ..Self::new(message)
        }
    }

    #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
    fn without(feature: &str) -> Self {
        Self::new(format!(
            "this program was built without tower-webhooks' feature `{feature}`, which that inbox needs"
        ))
    }
}

impl fmt::Debug for InboxPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Memory => f.write_str("Memory"),
            Self::Postgres(_) => f.debug_tuple("Postgres").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_kind_of_inbox_it_is() {
        let place = |name| InboxPlace::new(name).unwrap();
        assert_eq!(place("memory"), InboxPlace::Memory);
        assert_eq!(place("./memory"), InboxPlace::File("./memory".into()));
        for url in ["postgres://u:p@db/app", "postgresql:///app?host=/run"] {
            assert_eq!(place(url), InboxPlace::Postgres(url.to_owned()));
        }
    }

    #[test]
    fn nothing_that_is_printed_holds_a_password() {
        let error = InboxPlace::new("mysql://user:pass-word@db/app").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no inbox is kept at `mysql://`: it is `postgres://…`, the path of a file, or `memory`"
        );
        let place = InboxPlace::new("postgres://user:pass-word@db/app").unwrap();
        assert_eq!(format!("{place:?}"), "Postgres(..)");
    }
}
