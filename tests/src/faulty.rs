//! An inbox that fails when it is told to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;
use tower_webhooks::{Inbox, MemoryInbox};
use tower_webhooks_inbox::{
    Applied, Batch, BoxFuture, Durability, EventRecord, Filter, InboxError, InboxErrorKind, Page,
    forward_inbox,
};

/// A [`MemoryInbox`] whose intake can be made to fail or to wait, and whose
/// check can be made to fail. Clones are one inbox; the worker's calls always
/// pass.
#[derive(Debug, Clone)]
pub struct FaultyInbox {
    memory: MemoryInbox,
    failing: Arc<Mutex<Option<InboxErrorKind>>>,
    held: watch::Sender<bool>,
    arrived: Arc<AtomicUsize>,
    arrivals: watch::Sender<usize>,
}

impl FaultyInbox {
    /// One that works.
    #[must_use]
    pub fn new() -> Self {
        Self {
            memory: MemoryInbox::new(),
            failing: Arc::default(),
            held: watch::Sender::new(false),
            arrived: Arc::default(),
            arrivals: watch::Sender::new(0),
        }
    }

    /// Lets intake fail from now on, or work again.
    pub fn fail(&self, kind: Option<InboxErrorKind>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    /// Makes intake wait, as a slow disk does, until it is let go.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until so many batches with intake have arrived, stored or not.
    ///
    /// # Panics
    ///
    /// Never: the sender lives as long as the inbox.
    pub async fn arrived(&self, batches: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|count| *count >= batches).await.unwrap();
    }

    /// How many batches with intake have arrived so far.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    fn works(&self) -> Result<(), InboxError> {
        let failing = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match failing {
            Some(kind) => Err(InboxError::new(kind, "told to fail")),
            None => Ok(()),
        }
    }

    /// All events that it holds, with their jobs.
    ///
    /// # Panics
    ///
    /// Never: memory is always there.
    pub async fn all(&self) -> Vec<EventRecord> {
        let filter = Filter::default();
        let page = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        self.memory.list(&filter, page).await.unwrap().events
    }
}

impl Default for FaultyInbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox for FaultyInbox {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, InboxError>> {
        if batch.inserts.is_empty() && batch.reserves.is_empty() {
            return self.memory.apply(batch);
        }
        let arrived = self.arrived.fetch_add(1, Ordering::Relaxed) + 1;
        self.arrivals.send_replace(arrived);
        Box::pin(async move {
            let mut held = self.held.subscribe();
            held.wait_for(|held| !held).await.unwrap();
            self.works()?;
            self.memory.apply(batch).await
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<Durability, InboxError>> {
        match self.works() {
            Ok(()) => self.memory.check(),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    forward_inbox!(self => self.memory; writers begin settle_apart changed next_due list get stats replay
        prune retire erase);
}
