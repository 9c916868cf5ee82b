//! Connections that read, so that people who look do not hold up what is stored.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tower_webhooks_inbox::InboxError;

use crate::{
    connection::{self, Settings},
    error::{closed, inbox_error, unavailable},
    time::StoreClock,
};

/// A few connections, opened when they are needed.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    settings: Settings,
    clock: StoreClock,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, settings: Settings, clock: StoreClock) -> Arc<Self> {
        Arc::new(Self {
            path,
            settings,
            clock,
            room: Arc::new(Semaphore::new(MOST)),
            idle: Mutex::default(),
        })
    }

    /// Reads on a blocking thread, from one moment's view of the inbox.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, InboxError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await;
        let Ok(room) = room else {
            return Err(closed("the inbox was closed"));
        };
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let done = readers.read_now(read);
            drop(room);
            done
        });
        reading
            .await
            .unwrap_or_else(|_| Err(unavailable("the reading thread panicked or was shut down")))
    }

    fn read_now<T>(
        &self,
        read: impl FnOnce(&Connection, i64) -> rusqlite::Result<T>,
    ) -> Result<T, InboxError> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::reading(&self.path, self.settings).map_err(inbox_error)?,
        };
        // One that has failed is not put back.
        let done = snapshot(&connection, |connection| read(connection, self.clock.now()))
            .map_err(inbox_error)?;
        if !self.room.is_closed() {
            self.idle().push(connection);
        }
        Ok(done)
    }

    pub(crate) fn close(&self) {
        self.room.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several statements that see the same. Ends by taking back, since nothing was written.
fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    read(&transaction)
}

/// Readers at once: a worker that asks what is due, a metric, and people.
const MOST: usize = 4;
