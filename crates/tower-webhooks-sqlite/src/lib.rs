//! The embedded inbox of tower-webhooks: events and jobs in one SQLite file.
//!
//! * [`SqliteInbox`] is the store: the receiver's, or beside it a command's.
//! * [`SqliteBuilder`] sets it up; its defaults are safe.
//! * [`SqliteWork`] commits a handler's rows together with its job's completion.
//!
//! ```
//! use std::time::SystemTime;
//! use tower_webhooks_inbox::{Batch, Inbox, Inserted, NewEvent};
//! use tower_webhooks_sqlite::SqliteInbox;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("webhooks.db");
//! let inbox = SqliteInbox::builder(path)
//! #   .insecure_any_filesystem()
//!     .with_tables("CREATE TABLE IF NOT EXISTS settlement (id TEXT PRIMARY KEY, cents INTEGER)")
//!     .open()
//!     .await?;
//!
//! let mut event = NewEvent::new("shop", "{}", SystemTime::now());
//! event.id = Some("evt_1".into());
//! let batch = Batch { inserts: vec![event], ..Batch::default() };
//! // Once this is answered, the event is on the disk.
//! assert!(matches!(inbox.apply(batch).await?.inserts[0], Inserted::Unhandled { .. }));
//! inbox.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Running it
//!
//! * **One receiver.** The kernel's lock on `<file>.lock` sees to it; a second
//!   one waits, then says so. It ends with the process, however that ends.
//! * **A local disk.** Memory and network file systems are refused, a container's
//!   own layer and FUSE are warned about.
//! * **Anybody may look**, with the `sqlite3` shell or [`SqliteInbox::open_beside`]:
//!   tables `event` and `job`, view `dead_letter`. Times are microseconds since
//!   1970. To change something use [`Inbox`](tower_webhooks_inbox::Inbox)'s
//!   methods: the counts are kept by them.
//! * **Back up** with `sqlite3 webhooks.db "VACUUM INTO 'copy.db'"`, never by copying
//!   the file alone: its newest events are in the `-wal` beside it.
//! * The file does not shrink when events are pruned; the room is used again.
//!
//! `rusqlite` is a range of versions, because only one version of SQLite's
//! library can be in a program: yours decides.

mod builder;
mod checkpoint;
mod connection;
mod durable;
mod error;
mod inbox;
mod place;
mod readers;
mod schema;
mod session;
mod store;
mod time;
mod work;
mod writer;

/// The driver, in the version that this program has. [`SqliteTransaction`] takes
/// its values and answers its errors.
pub use rusqlite;

pub use builder::{Migrated, SqliteBuilder};
pub use error::{OpenError, OpenErrorKind};
pub use inbox::SqliteInbox;
pub use schema::migration_sql;
pub use work::{SqliteTransaction, SqliteWork};
