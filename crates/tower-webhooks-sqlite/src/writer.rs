//! The one thread that writes.
//!
//! SQLite has one writer at a time. With one thread for it, nothing waits for a
//! lock, and the committer above it gathers what waits into one transaction.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;
use tower_webhooks_inbox::{Erase, InboxError, Pruned, Retention};

use crate::{
    checkpoint::{Checkpoints, Mode},
    connection::Settings,
    error::{closed, inbox_error, unavailable},
    place::ReceiverLock,
    session::{Failure, Left, Log, Session},
    store::{Boot, Erased, PrunedTo, Tx},
    time::StoreClock,
};

/// What the thread works on.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) clock: StoreClock,
    pub(crate) boot: Boot,
    /// None after a failure, until the next call.
    pub(crate) session: Option<Session>,
    /// The log as the next connection finds it.
    pub(crate) log: Log,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) pruned_to: PrunedTo,
    /// Given back when the thread ends: not before the last commit.
    pub(crate) lock: Option<ReceiverLock>,
}

type Task = Box<dyn FnOnce(&mut Writer) + Send>;

enum Message {
    Close(oneshot::Sender<()>),
    Run(Task),
}

/// The way to the thread. The thread ends when this is dropped, after it has done
/// what was asked before.
#[derive(Debug)]
pub(crate) struct WriterHandle(mpsc::Sender<Message>);

impl Writer {
    pub(crate) fn start(self) -> std::io::Result<WriterHandle> {
        let (messages, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("webhooks-sqlite".to_owned())
            .spawn(move || self.serve(&inbox))?;
        Ok(WriterHandle(messages))
    }

    fn serve(mut self, messages: &mpsc::Receiver<Message>) {
        let closing = loop {
            match messages.recv_timeout(self.checkpoints.patience()) {
                Ok(Message::Run(task)) => task(&mut self),
                Ok(Message::Close(done)) => break Some(done),
                Err(RecvTimeoutError::Timeout) => self.checkpoint(Mode::Passive),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        // The connection before the lock: SQLite tidies up when it closes.
        drop(self.session.take());
        drop(self.lock.take());
        if let Some(done) = closing {
            // Who asked may be gone.
            let _ = done.send(());
        }
    }

    /// Runs a transaction, durable when this returns.
    pub(crate) fn transact<T>(
        &mut self,
        run: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, InboxError> {
        let mut session = self.take_session()?;
        match session.transact(&self.path, &self.clock, self.boot, run) {
            Ok(done) => {
                self.session = Some(session);
                if self.checkpoints.is_too_large_after_commit() {
                    self.checkpoint(Mode::Truncate);
                }
                Ok(done)
            }
            Err(Failure { error, left }) => {
                if left == Left::Sound {
                    self.session = Some(session);
                } else {
                    tracing::warn!(path = %self.path.display(), "the inbox's connection is opened anew");
                }
                if left == Left::Unsaved {
                    self.log = Log::Unsaved;
                }
                Err(error)
            }
        }
    }

    /// Prunes on from where the step before ended.
    pub(crate) fn prune(
        &mut self,
        retention: &Retention,
        max_rows: usize,
    ) -> Result<Pruned, InboxError> {
        let from = self.pruned_to;
        let (pruned, to) = self.transact(|tx| tx.prune(retention, max_rows, from))?;
        self.pruned_to = to;
        Ok(pruned)
    }

    /// Erases some, from after this event on, and overwrites what held the data in
    /// the file; [`wipe_log`](Self::wipe_log) follows.
    pub(crate) fn erase(
        &mut self,
        what: &Erase,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Erased, InboxError> {
        self.overwrite_deleted("on")?;
        let erased = self.transact(|transaction| transaction.erase(what, after, limit));
        self.overwrite_deleted("off")?;
        erased
    }

    /// Leaves nothing in the log. False if somebody who reads was in the way.
    pub(crate) fn wipe_log(&mut self) -> Result<bool, InboxError> {
        let session = self.take_session()?;
        let settings = self.settings;
        let connection = session.connection();
        let is_empty = self.checkpoints.run(connection, settings, Mode::Truncate);
        self.session = Some(session);
        Ok(is_empty)
    }

    fn overwrite_deleted(&mut self, switch: &str) -> Result<(), InboxError> {
        let session = self.take_session()?;
        let sql = format!("PRAGMA secure_delete = {switch}");
        let switched = session.connection().query_row(&sql, [], |_| Ok(()));
        self.session = Some(session);
        switched.map_err(inbox_error)
    }

    /// The connection, opened anew if the last one failed.
    pub(crate) fn take_session(&mut self) -> Result<Session, InboxError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => {
                let session = Session::open(&self.path, self.settings, self.log)?;
                self.log = Log::Saved;
                Ok(session)
            }
        }
    }

    fn checkpoint(&mut self, mode: Mode) {
        if let Some(session) = &self.session {
            self.checkpoints
                .run(session.connection(), self.settings, mode);
        }
    }
}

impl WriterHandle {
    /// Runs this on the thread, after what was asked before.
    pub(crate) async fn ask<T, F>(&self, task: F) -> Result<T, InboxError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Result<T, InboxError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |writer: &mut Writer| {
            let done = catch_unwind(AssertUnwindSafe(|| task(writer)));
            // Who asked may be gone.
            let _ = answer.send(done.unwrap_or_else(|_| {
                writer.session = None;
                Err(unavailable("the store panicked"))
            }));
        });
        let gone = || closed("the inbox was closed");
        self.0.send(Message::Run(run)).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Ends the thread, after it has done what was asked before.
    pub(crate) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.0.send(Message::Close(done)).is_ok() {
            // An error says that the thread has ended too.
            let _ = ended.await;
        }
    }
}

/// How long the thread sleeps when there is nothing to tidy up.
pub(crate) const FOREVER: Duration = Duration::from_secs(60 * 60);
