//! Work that holds everybody up is warned about. Alone in its file, because it
//! listens to the whole process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Folder, claim, done, insert, register, settle_all};
use tower_webhooks_inbox::{SettleResult, Work};
use tower_webhooks_sqlite::{SqliteWork, rusqlite};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn takes(time: Duration) -> Work {
    SqliteWork::new(move |_| {
        std::thread::sleep(time);
        Ok::<(), rusqlite::Error>(())
    })
    .into()
}

#[tokio::test]
async fn work_of_more_than_fifty_milliseconds_is_warned_about_and_done() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let folder = Folder::new();
    let inbox = folder.open().await;
    register(&inbox, "settle").await;
    insert(&inbox, "1").await;
    insert(&inbox, "2").await;
    let jobs = claim(&inbox, "settle", 2).await;
    log.take();

    let quick = done(&jobs[0], Some(takes(Duration::ZERO)));
    let settled = settle_all(&inbox, vec![quick]).await;
    assert_eq!(settled, [SettleResult::Settled]);
    assert_eq!(log.take(), "");

    let slow = done(&jobs[1], Some(takes(Duration::from_millis(60))));
    let settled = settle_all(&inbox, vec![slow]).await;
    assert_eq!(settled, [SettleResult::Settled]);
    let warned = log.take();
    assert!(warned.contains("WARN"), "{warned}");
    assert!(warned.contains("seq=2 handler=settle"), "{warned}");
}
