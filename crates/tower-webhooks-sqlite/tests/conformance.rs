//! The inbox in SQLite passes the suite that every inbox passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::Folder;
use tower_webhooks_core::ManualClock;
use tower_webhooks_inbox::{BoxFuture, Inbox, conformance::Harness};
use tower_webhooks_sqlite::SqliteInbox;

struct OnDisk {
    inbox: SqliteInbox,
    /// A second process, as far as SQLite can tell.
    beside: SqliteInbox,
    clock: ManualClock,
    _folder: Folder,
}

impl Harness for OnDisk {
    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::new(self.inbox.clone())
    }

    fn second(&self) -> Arc<dyn Inbox> {
        Arc::new(self.beside.clone())
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(by);
        Box::pin(std::future::ready(()))
    }
}

async fn make() -> OnDisk {
    let folder = Folder::new();
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
    let builder = folder.builder().with_clock(clock.clone());
    OnDisk {
        inbox: builder.clone().open().await.unwrap(),
        beside: builder.open_beside().await.unwrap(),
        clock,
        _folder: folder,
    }
}

tower_webhooks_inbox::conformance_tests!(make);
