//! Statements that a connection keeps by a name, so that the server plans them once.
//!
//! Only in pools of ours, and only where each connection leads to one and the same
//! process of the server. A pooler in between may give each transaction another
//! process, which knows other statements by these names, or another program's. So
//! each connection tells its process a word when it is made:
//!
//! * Opening an inbox tries whether two connections can be made to change places.
//!   Before that is ruled out nothing is kept.
//! * Each batch begins by asking whether its process has heard the word. If not, it
//!   fails before a statement of its own has run, is done again without names, and
//!   nothing is kept from then on.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Object, Pool, PoolError, StatementCache};

use super::pooled::{Dirty, failure};
use crate::error::Failure;

/// What the connections of one pool keep.
#[derive(Debug, Default)]
pub(super) struct Kept {
    is_direct: AtomicBool,
    /// The word of each connection, by where its statements lie. Of one that is closed
    /// it stays until another lies there, and is told then.
    words: Mutex<HashMap<usize, u128>>,
}

impl Kept {
    /// Tells a new connection's process its word.
    pub(super) fn introduce(self: &Arc<Self>) -> Hook {
        let kept = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let word = rand::random();
            kept.words().insert(place(&client.statement_cache), word);
            Box::pin(async move {
                let tell = format!("SELECT set_config('{SETTING}', '{word:032x}', false)");
                let told = client.batch_execute(&tell).await;
                told.map_err(HookError::Backend)
            })
        })
    }

    /// Finds out whether connections stay where they are, with two of them. A pooler lets
    /// both speak to one process while neither is in a transaction, and then they have
    /// one word. If it happens to have two at hand, it gives back the one that it got
    /// back last, or first: in one of two orders a connection then has another's.
    pub(super) async fn probe(&self, pool: &Pool) -> Result<(), Failure> {
        let gone = |error: PoolError| Failure::Connection(error.into());
        let mut first = Dirty(Some(pool.get().await.map_err(gone)?));
        let mut second = Dirty(Some(pool.get().await.map_err(gone)?));
        let (Some(one), Some(other)) = (&first.0, &second.0) else {
            return Ok(());
        };
        // Before any transaction: a pooler with one process would let the second one wait.
        self.ask(one).await?;
        self.ask(other).await?;
        for ends in [[one, other], [other, one]] {
            for connection in [one, other] {
                connection.batch_execute("BEGIN").await.map_err(failure)?;
            }
            for connection in ends {
                connection.batch_execute("COMMIT").await.map_err(failure)?;
            }
            self.ask(one).await?;
            self.ask(other).await?;
        }
        // Back to the pool.
        first.0.take();
        second.0.take();
        self.is_direct.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn ask(&self, connection: &Object) -> Result<(), Failure> {
        let asked = connection.batch_execute(&self.question(connection)).await;
        asked.map_err(failure)
    }

    /// The statement that fails where the connection leads to another process;
    /// nothing if no statements are kept.
    pub(super) fn check(&self, connection: &Object) -> Option<String> {
        let is_direct = self.is_direct.load(Ordering::Relaxed);
        is_direct.then(|| self.question(connection))
    }

    fn question(&self, connection: &Object) -> String {
        let words = self.words();
        let word = words.get(&place(&connection.statement_cache));
        let word = word.copied().unwrap_or_default();
        format!(
            "SELECT 1 / (current_setting('{SETTING}', true) IS NOT DISTINCT FROM '{word:032x}')::int;"
        )
    }

    /// A failure of a batch with kept statements, after it had begun. If they are the
    /// reason, it is to be done again.
    pub(super) fn judge(&self, failure: Failure, connection: &Object) -> Failure {
        match failure.code() {
            // Planned for tables of another shape, which a newer release has changed.
            "0A000" => connection.statement_cache.clear(),
            // A name that is not known, or is another's.
            ELSEWHERE | "26000" | "42P05" => {
                if self.is_direct.swap(false, Ordering::Relaxed) {
                    tracing::info!(
                        reason = %failure,
                        "a connection to the database has changed places, as behind a pooler: \
                         from now on statements are planned each time",
                    );
                }
            }
            _ => return failure,
        }
        Failure::Raced
    }

    fn words(&self) -> MutexGuard<'_, HashMap<usize, u128>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(cache: &Arc<StatementCache>) -> usize {
    Arc::as_ptr(cache).addr()
}

/// The question's division by zero.
pub(crate) const ELSEWHERE: &str = "22012";

/// Nobody else's, and known to no server.
const SETTING: &str = "webhooks.connection";
