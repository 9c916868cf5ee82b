//! What a receiver's file says, held against what its provider knows.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tempfile::TempDir;
use tower_webhooks::{Delivery, Inbox as _, SqliteInbox, sqlite::rusqlite::Connection};
use tower_webhooks_core::Restored;
use tower_webhooks_inbox::{Batch, NewEvent};

use crate::{Shop, Trade, disk_folder, number_of};

/// How many jobs have not ended.
pub const UNFINISHED: &str = "SELECT count(*) FROM job WHERE state IN ('pending', 'running')";

/// How many jobs have failed, whatever became of them.
pub const FAILED: &str = "SELECT count(*) FROM job WHERE state = 'dead' OR last_error IS NOT NULL";

/// A file of a receiver that runs or does not.
///
/// # Panics
///
/// When it cannot be opened.
#[must_use]
pub fn open(file: &Path) -> Connection {
    let file = Connection::open(file).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    file
}

/// Stores events as a receiver would have them.
///
/// # Panics
///
/// When they cannot be read or stored.
pub async fn put(inbox: &SqliteInbox, trade: Trade, bodies: impl IntoIterator<Item = String>) {
    let provider = Arc::new((trade.provider)());
    let events = bodies.into_iter().map(|body| {
        let (body, now) = (Bytes::from(body), SystemTime::now());
        let delivery = Restored::new(body.clone(), now);
        let delivery = Delivery::insecure_restore(Arc::clone(&provider), delivery);
        let read = delivery.event().unwrap();
        let mut event = NewEvent::new(trade.endpoint, body, now);
        event.event_type = Some(read.event_type().clone());
        event.id = read.id().cloned();
        event
    });
    let events: Vec<_> = events.collect();
    for inserts in events.chunks(BATCH) {
        let batch = Batch {
            inserts: inserts.to_vec(),
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap();
    }
}

/// Few enough for one transaction.
const BATCH: usize = 5_000;

/// The file as a crash left it, looked at in a copy: whoever opens the file
/// itself recovers it.
///
/// # Panics
///
/// When it cannot be copied.
#[must_use]
pub fn left_behind(file: &Path) -> (TempDir, Connection) {
    let folder = disk_folder();
    let copy = folder.path().join("webhooks.db");
    for end in ["", "-wal"] {
        let of = |path: &Path| format!("{}{end}", path.display());
        fs::copy(of(file), of(&copy)).unwrap();
    }
    let copy = open(&copy);
    (folder, copy)
}

/// The answer to a query for one count.
///
/// # Panics
///
/// When it fails.
#[must_use]
pub fn count(file: &Connection, sql: &str) -> u64 {
    let count: i64 = file.query_row(sql, [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

/// The numbers that a query names, in order.
///
/// # Panics
///
/// When it fails, or names something else.
#[must_use]
pub fn numbers(file: &Connection, sql: &str) -> Vec<u64> {
    let mut named = file.prepare(sql).unwrap();
    let named = named.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut numbers: Vec<_> = named.map(|text| number_of(&text.unwrap())).collect();
    numbers.sort_unstable();
    numbers
}

/// How often each authorization was decided, by its handler's notes.
#[must_use]
pub fn decisions(notes: &[String]) -> BTreeMap<u64, usize> {
    let mut decisions = BTreeMap::new();
    for decided in notes
        .iter()
        .filter_map(|note| note.strip_prefix("decided "))
    {
        *decisions.entry(number_of(decided)).or_default() += 1;
    }
    decisions
}

impl Shop {
    /// The numbers of the events in a file, in order.
    #[must_use]
    pub fn stored(&self, file: &Connection) -> Vec<u64> {
        numbers(file, &format!("SELECT {} FROM event", self.trade.number))
    }

    /// Checks that every event that was ever sent is answered, stored once, and
    /// its one job done without a failure.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn check_events(&self, file: &Connection) {
        let sent: Vec<_> = (0..self.sent.load(Ordering::Relaxed)).collect();
        let answered: Vec<_> = self.answered.keys().copied().collect();
        assert_eq!(answered, sent, "every event is answered in the end");
        let stored = self.stored(file);
        let mut lost = answered;
        lost.retain(|number| stored.binary_search(number).is_err());
        assert_eq!(lost, [0; 0], "answered, but not stored");
        assert_eq!(stored, sent, "one row an event");
        assert_eq!(count(file, FAILED), 0, "jobs that failed");
        let jobs = "SELECT count(*) FROM job";
        let done = "SELECT count(*) FROM job WHERE state = 'done'";
        for sql in [jobs, done] {
            assert_eq!(count(file, sql), sent.len() as u64, "{sql}");
        }
        let check: String = file
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
    }

    /// Checks that each settlement has its one row.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn check_settlements(&self, file: &Connection) {
        let sent: Vec<_> = (0..self.sent.load(Ordering::Relaxed)).collect();
        let settled = numbers(file, "SELECT session_id FROM settlement");
        assert_eq!(settled, sent, "one settlement an event");
    }

    /// Checks that each authorization has one recorded reply, which is what its
    /// provider was answered, and which its handler decided, or nobody. Returns
    /// how many replies are the default.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn check_replies(&self, file: &Connection) -> usize {
        let sql = format!(
            "SELECT {}, status, CAST(reply.body AS TEXT), decided_by
             FROM event LEFT JOIN reply USING (seq)",
            self.trade.number
        );
        let mut replies = file.prepare(&sql).unwrap();
        let mut replies = replies.query([]).unwrap();
        let decisions = decisions(&self.notes());
        let mut defaults = 0;
        while let Some(reply) = replies.next().unwrap() {
            let number = number_of(&reply.get::<_, String>(0).unwrap());
            let (status, body): (Option<u16>, Option<String>) =
                (reply.get(1).unwrap(), reply.get(2).unwrap());
            let answer = self.answered.get(&number).cloned();
            assert_eq!((status, &body), (Some(200), &answer), "{number}");
            let by: String = reply.get(3).unwrap();
            let is_default = by == "default";
            let code = if is_default { "05" } else { "00" };
            assert_eq!(body, Some(format!(r#"{{"code":"{code}"}}"#)), "{number}");
            defaults += usize::from(is_default);
            if self.takes_notes() {
                let times = decisions.get(&number).copied().unwrap_or_default();
                assert!(times <= 1, "{number} was decided {times} times");
                assert!(is_default || times == 1, "nobody decided {number}");
            }
        }
        defaults
    }
}
