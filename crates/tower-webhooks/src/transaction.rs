//! The inbox's transaction that a handler writes in.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::OnceCell;
use tower_webhooks_inbox::{Inbox, Work};

use crate::HandlerError;

/// One attempt's transaction: begun when the first extractor asks for it,
/// committed by the worker with the job's completion.
#[derive(Clone, Default)]
pub(crate) struct Transaction {
    /// `None` where no job is settled: in reply handlers and in tests.
    inbox: Option<Arc<dyn Inbox>>,
    begun: Arc<OnceCell<Work>>,
    committing: Arc<AtomicBool>,
}

impl Transaction {
    pub(crate) fn of(inbox: Arc<dyn Inbox>) -> Self {
        Self {
            inbox: Some(inbox),
            ..Self::default()
        }
    }

    /// The transaction, for who writes in it.
    pub(crate) async fn begin(&self) -> Result<&Work, HandlerError> {
        let begin = async {
            let Some(inbox) = &self.inbox else {
                return Err(HandlerError::permanent(
                    "there is no job here whose completion a transaction could commit",
                ));
            };
            inbox.begin().await?.ok_or_else(|| {
                HandlerError::permanent("the inbox has no transactions for handlers")
            })
        };
        self.begun.get_or_try_init(|| begin).await
    }

    /// The transaction, if it was begun: whoever asks now is to commit it.
    pub(crate) fn take_to_commit(&self) -> Option<Work> {
        let work = self.begun.get().cloned()?;
        self.committing.store(true, Ordering::Relaxed);
        Some(work)
    }

    /// Whether it is being committed: it is the inbox that decides then, not
    /// a worker that believes its lease to be lost.
    pub(crate) fn is_committing(&self) -> bool {
        self.committing.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("begun", &self.begun.initialized())
            .field("committing", &self.is_committing())
            .finish_non_exhaustive()
    }
}
