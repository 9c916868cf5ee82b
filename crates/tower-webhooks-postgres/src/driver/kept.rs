//! Statements that a connection keeps by a name, so that the server plans them once.
//!
//! Only in pools of ours, and only as long as every connection leads to one and the
//! same process of the server. A pooler in between may give each transaction another
//! process, which knows other statements by these names, or another program's. So
//! each connection tells its process a word when it is made, and each transaction
//! begins by asking whether its process has heard it: if not, it fails before it runs
//! any statement, is done again without names, and nothing is kept from then on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Object, StatementCache};

use crate::error::Failure;

/// What the connections of one pool keep.
#[derive(Debug)]
pub(super) struct Kept {
    /// Tells this pool's connections from those of others.
    pool: u128,
    given_up: AtomicBool,
}

impl Kept {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            pool: rand::random(),
            given_up: AtomicBool::new(false),
        })
    }

    /// Tells a new connection's process its word.
    pub(super) fn introduce(self: &Arc<Self>) -> Hook {
        let kept = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let word = kept.word(&client.statement_cache);
            Box::pin(async move {
                let tell = format!("SELECT set_config('{SETTING}', '{word}', false)");
                let told = client.batch_execute(&tell).await;
                told.map_err(HookError::Backend)
            })
        })
    }

    /// The statement that fails where the connection leads to another process;
    /// nothing if statements are not kept any more.
    pub(super) fn check(&self, connection: &Object) -> Option<String> {
        if self.given_up.load(Ordering::Relaxed) {
            return None;
        }
        let word = self.word(&connection.statement_cache);
        Some(format!(
            "SELECT 1 / (current_setting('{SETTING}', true) IS NOT DISTINCT FROM '{word}')::int;"
        ))
    }

    /// A failure of a transaction with kept statements. If the names are the reason,
    /// it is to be done again, without them.
    pub(super) fn judge(&self, failure: Failure) -> Failure {
        if !OF_NAMES.contains(&failure.code()) {
            return failure;
        }
        if !self.given_up.swap(true, Ordering::Relaxed) {
            tracing::info!(
                reason = %failure,
                "a pooler is between this program and the database: statements are planned anew \
                 each time",
            );
        }
        Failure::Raced
    }

    /// Of no other connection that is open. One that was closed may have had the same:
    /// its statements had names that this process never gives again.
    fn word(&self, cache: &Arc<StatementCache>) -> String {
        format!("{:032x}-{:x}", self.pool, Arc::as_ptr(cache).addr())
    }
}

/// Nobody else's, and known to no server.
const SETTING: &str = "webhooks.connection";

/// The check's division by zero; a name that is not known, or is another's; a statement that was
/// planned for tables of another shape.
const OF_NAMES: [&str; 4] = ["22012", "26000", "42P05", "0A000"];
