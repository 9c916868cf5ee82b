//! The inbox.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, Durability, Erase, EventRecord, EventSeq, Filter, Inbox, InboxError,
    Listing, Page, Pruned, Replayed, Retention, Retire, Retired, Selection, Stats, Want,
};

use crate::{
    OpenError, SqliteBuilder,
    error::{inbox_error, unavailable},
    place::Filesystem,
    readers::Readers,
    store,
    writer::{Writer, WriterHandle},
};

/// An inbox in one SQLite file.
///
/// What is acknowledged is on the disk: write-ahead log, `synchronous = FULL`,
/// both read back at each opening, one transaction for a whole batch. See the
/// [crate](crate) for how it is run.
///
/// Clones share the inbox. It is closed when the last one is dropped, after it
/// has done what was asked; [`close`](Self::close) also waits for that. It needs
/// a tokio runtime, whose blocking threads do the reading.
#[derive(Clone)]
pub struct SqliteInbox(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) path: PathBuf,
    pub(crate) filesystem: Filesystem,
    pub(crate) writer: WriterHandle,
    pub(crate) readers: Arc<Readers>,
}

impl SqliteInbox {
    /// Opens the inbox as its receiver, and makes the file if there is none. Only
    /// one receiver at a time: a second one waits 10 s for the first to end.
    ///
    /// What an earlier one had leased is due again at once. A job that was cut
    /// short more than once waits, longer each time, from 250 ms to 17 min: its
    /// handler may be what ends the process, and what runs beside it would lose
    /// its attempts too.
    ///
    /// # Errors
    ///
    /// As [`SqliteBuilder::open`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        Self::builder(path).open().await
    }

    /// Opens the inbox beside its receiver, running or not: to look, replay,
    /// prune and erase. Writes in short transactions; the receiver's worker finds
    /// what is due the next time it asks, within a second.
    ///
    /// # Errors
    ///
    /// As [`SqliteBuilder::open_beside`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open_beside(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        Self::builder(path).open_beside().await
    }

    /// An inbox in this file, with settings.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteBuilder {
        SqliteBuilder::new(path.into())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Finishes what was asked, closes the file and gives the receiver's lock
    /// back. Whatever is asked of any clone afterwards fails as `Closed`.
    pub async fn close(&self) {
        self.0.readers.close();
        self.0.writer.close().await;
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// In steps, so that what comes meanwhile is stored.
    async fn erase_all(&self, what: Erase) -> Result<u64, InboxError> {
        let what = Arc::new(what);
        let (mut erased, mut after) = (0, None);
        loop {
            let what = Arc::clone(&what);
            let page = self
                .0
                .writer
                .ask(move |writer| writer.erase(&what, after, ERASED_AT_ONCE))
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    // What was erased before is to go as far as it can.
                    let _ = self.0.writer.ask(Writer::wipe_log).await;
                    return Err(error);
                }
            };
            erased += page.events;
            after = page.last;
            if after.is_none() {
                self.wipe_log().await?;
                return Ok(erased);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tries for a second: whoever reads a page of a list is done by then.
    async fn wipe_log(&self) -> Result<(), InboxError> {
        for _ in 0..WIPES {
            if self.0.writer.ask(Writer::wipe_log).await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(unavailable(
            "what was erased can still be found in the write-ahead log, since somebody reads the \
             file, a backup maybe: erase it again once that has ended",
        ))
    }

    async fn checked(&self) -> Result<Durability, InboxError> {
        let safety = self
            .0
            .writer
            .ask(|writer| {
                let session = writer.take_session()?;
                let safety = session.safety().map_err(inbox_error)?;
                writer.session = Some(session);
                Ok(safety)
            })
            .await?;
        let filesystem = self.0.filesystem;
        let description = format!(
            "SQLite {}, journal_mode = {}, synchronous = {}, on {}",
            rusqlite::version(),
            safety.journal_mode,
            safety.synchronous,
            filesystem.name(),
        );
        let durable = safety.is_durable() && filesystem.keeps();
        Ok(Durability::new(durable, description))
    }
}

impl Inbox for SqliteInbox {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        Box::pin(
            self.0
                .writer
                .ask(move |writer| writer.transact(|transaction| transaction.apply(batch))),
        )
    }

    fn next_due<'a>(
        &'a self,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Option<Duration>, InboxError>> {
        let wants = wants.to_vec();
        Box::pin(
            self.0
                .readers
                .read(move |connection, now| store::next_due(connection, &wants, now)),
        )
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, InboxError>> {
        let filter = filter.clone();
        Box::pin(
            self.0
                .readers
                .read(move |connection, now| store::list(connection, &filter, page, now)),
        )
    }

    fn get(&self, seq: EventSeq) -> BoxFuture<'_, Result<Option<EventRecord>, InboxError>> {
        Box::pin(
            self.0
                .readers
                .read(move |connection, now| store::get(connection, seq, now)),
        )
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, InboxError>> {
        Box::pin(self.0.readers.read(store::stats))
    }

    fn replay<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Replayed, InboxError>> {
        let selection = selection.clone();
        if selection.dry_run {
            let read = move |connection: &_, now| store::dry_run(connection, &selection, now);
            return Box::pin(self.0.readers.read(read));
        }
        Box::pin(
            self.0
                .writer
                .ask(move |writer| writer.transact(|transaction| transaction.replay(&selection))),
        )
    }

    fn prune<'a>(
        &'a self,
        retention: &'a Retention,
        max_rows: usize,
    ) -> BoxFuture<'a, Result<Pruned, InboxError>> {
        let retention = *retention;
        Box::pin(
            self.0
                .writer
                .ask(move |writer| writer.prune(&retention, max_rows)),
        )
    }

    fn retire<'a>(
        &'a self,
        what: &'a Retire,
        max_jobs: usize,
    ) -> BoxFuture<'a, Result<Retired, InboxError>> {
        let what = what.clone();
        Box::pin(
            self.0.writer.ask(move |writer| {
                writer.transact(|transaction| transaction.retire(&what, max_jobs))
            }),
        )
    }

    fn erase<'a>(&'a self, what: &'a Erase) -> BoxFuture<'a, Result<u64, InboxError>> {
        Box::pin(self.erase_all(what.clone()))
    }

    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>> {
        Box::pin(self.checked())
    }
}

impl fmt::Debug for SqliteInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteInbox")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

/// How many events one transaction erases: a few milliseconds.
const ERASED_AT_ONCE: usize = 250;

/// How often the log is wiped while readers are in the way. Each waits for 100 ms.
const WIPES: usize = 10;

/// What whoever waits for the file gets between two of them.
const PAUSE: Duration = Duration::from_millis(5);
