//! Work that commits with its job's completion.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ffi,
    hooks::{AuthAction, AuthContext, Authorization},
};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{JobKey, Work};

use super::Tx;
use crate::{
    schema::TABLES,
    work::{SqliteTransaction, SqliteWork, WorkError},
};

/// Refuses, while it is on, what would break the transaction or the inbox. Asked
/// by SQLite when a statement is prepared, so that no spelling gets past it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard(Arc<AtomicBool>);

impl Guard {
    /// Puts the guard on a connection, switched off. It stays there, because
    /// SQLite prepares every statement anew when a guard is changed.
    pub(crate) fn install(connection: &mut Connection) -> Self {
        let guard = Self::default();
        let on = guard.0.clone();
        let decide = move |context: AuthContext<'_>| {
            if on.load(Ordering::Relaxed) && !is_allowed(&context.action) {
                Authorization::Deny
            } else {
                Authorization::Allow
            }
        };
        // Later releases of the driver answer whether it was installed; the tests see it refuse.
        let _ = connection.authorizer(Some(decide));
        guard
    }

    pub(crate) fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        self.0.store(true, Ordering::Relaxed);
        let done = run();
        self.0.store(false, Ordering::Relaxed);
        done
    }
}

impl Tx<'_> {
    /// Runs the work; `Err` says why none of it took effect.
    pub(super) fn work(&self, work: &Work, key: &JobKey) -> rusqlite::Result<Result<(), Text>> {
        let Some(work) = work.take::<SqliteWork>() else {
            return Ok(Err(Text::from_static(
                "not work for an SQLite inbox, or it ran before in a transaction that failed",
            )));
        };
        self.run("SAVEPOINT work", [])?;
        let started = Instant::now();
        let transaction = SqliteTransaction::new(self.connection);
        let ran = self
            .guard
            .during(|| catch_unwind(AssertUnwindSafe(|| work.run(&transaction))));
        warn_if_slow(started.elapsed(), key);
        if self.connection.is_autocommit() {
            // `OR ROLLBACK` in its statements. What the others did is gone too: the
            // batch fails on its data, and is done again without this work.
            return Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_CONSTRAINT),
                Some("work rolled the transaction back".to_owned()),
            ));
        }
        let refused = match ran {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Text::from(chain(&error))),
            Err(panic) => Some(Text::from(format!("the work panicked: {}", said(&*panic)))),
        };
        if refused.is_some() {
            self.run("ROLLBACK TO work", [])?;
        }
        self.run("RELEASE work", [])?;
        Ok(refused.map_or(Ok(()), Err))
    }
}

/// Everything but what ends the transaction, changes settings or hides or
/// changes the inbox's own tables.
fn is_allowed(action: &AuthAction<'_>) -> bool {
    use AuthAction as A;
    match action {
        A::CreateIndex { table_name, .. }
        | A::CreateTable { table_name }
        | A::CreateTrigger { table_name, .. }
        | A::CreateVtable { table_name, .. }
        | A::Delete { table_name }
        | A::DropIndex { table_name, .. }
        | A::DropTable { table_name }
        | A::DropTrigger { table_name, .. }
        | A::DropVtable { table_name, .. }
        | A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::AlterTable { table_name, .. } => !is_ours(table_name),
        A::CreateView { view_name } | A::DropView { view_name } => !is_ours(view_name),
        A::Function { .. } | A::Read { .. } | A::Recursive | A::Select => true,
        // A temporary table could stand before one of ours; the rest ends, escapes
        // or reconfigures the transaction.
        _ => false,
    }
}

fn is_ours(table: &str) -> bool {
    TABLES.iter().any(|ours| ours.eq_ignore_ascii_case(table))
}

fn warn_if_slow(took: Duration, key: &JobKey) {
    if took > SLOW {
        tracing::warn!(
            seq = key.seq.0,
            handler = %key.handler,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "work held the transaction that every acknowledgement waits for; compute before it"
        );
    }
}

fn chain(error: &WorkError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// A commit of many events takes a few milliseconds; this is what a sender with
/// a short time-out notices.
const SLOW: Duration = Duration::from_millis(50);
