//! Who may open an inbox, where, and what becomes of what the last one held.

mod common;

use std::time::{Duration, SystemTime};

use common::{Folder, claim, done, event, insert, register, settle_all, try_insert, want};
use tower_webhooks_core::{Clock, ManualClock};
use tower_webhooks_inbox::{
    Batch, Filter, Inbox, InboxErrorKind, Inserted, JobState, Page, Reserve, Reserved, Selection,
    SettleResult, Settlement,
};
use tower_webhooks_sqlite::{OpenErrorKind, SqliteInbox, migration_sql};

#[tokio::test]
async fn a_second_receiver_waits_and_is_then_told_who_has_it() {
    let folder = Folder::new();
    let first = folder.open().await;
    let wait = Duration::from_millis(60);
    let started = std::time::Instant::now();
    let refused = folder.builder().with_lock_wait(wait).open().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Locked);
    assert!(started.elapsed() >= wait);
    let text = refused.to_string();
    let process = format!("another receiver (process {})", std::process::id());
    assert!(text.starts_with(&process), "{text}");
    drop(first);
}

#[tokio::test]
async fn a_second_receiver_opens_as_soon_as_the_first_is_gone() {
    let folder = Folder::new();
    let first = folder.open().await;
    insert(&first, "1").await;
    let second = folder.builder().with_lock_wait(Duration::from_secs(10));
    let second = tokio::spawn(second.open());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert!(matches!(
        insert(&second, "1").await,
        Inserted::Duplicate { .. }
    ));
}

#[tokio::test]
#[cfg(unix)]
async fn behind_a_link_it_is_the_same_inbox_with_one_receiver() {
    let folder = Folder::new();
    let first = folder.open().await;
    insert(&first, "1").await;
    let elsewhere = Folder::new();
    std::os::unix::fs::symlink(folder.path(), elsewhere.path()).unwrap();
    let refused = elsewhere.builder().open().await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Locked);
    first.close().await;
    let second = elsewhere.open().await;
    assert_eq!(second.path(), folder.path().canonicalize().unwrap());
    assert!(matches!(
        insert(&second, "1").await,
        Inserted::Duplicate { .. }
    ));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_link_into_memory_is_refused() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = memory.path().join("webhooks.db");
    std::fs::write(&file, "").unwrap();
    let folder = Folder::new();
    std::os::unix::fs::symlink(&file, folder.path()).unwrap();
    let refused = folder.builder().open().await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Filesystem);
}

#[tokio::test]
async fn leases_of_the_receiver_before_are_due_at_once() {
    let folder = Folder::new();
    let first = folder.open().await;
    register(&first, "ship").await;
    insert(&first, "1").await;
    let lost = claim(&first, "ship", 1).await.remove(0);
    first.close().await;

    let second = folder.open().await;
    let due = second.next_due(&[want("ship", 1)]).await.unwrap();
    assert_eq!(due, Some(Duration::ZERO));
    let late = settle_all(&second, vec![done(&lost, None)]).await;
    assert_eq!(late, [SettleResult::LeaseLost]);
    let again = claim(&second, "ship", 1).await.remove(0);
    assert_eq!(again.attempt, 2, "the attempt that was cut short counts");
    assert!(again.token > lost.token);
    let stats = second.stats().await.unwrap();
    let states = [JobState::Pending, JobState::Running];
    assert_eq!(states.map(|state| stats.jobs(state)), [0, 1]);
}

#[tokio::test]
async fn what_is_cut_short_again_and_again_comes_back_apart_and_later_each_time() {
    let folder = Folder::new();
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    let open = async || {
        folder
            .builder()
            .with_clock(clock.clone())
            .open()
            .await
            .unwrap()
    };
    let milliseconds = async |inbox: &SqliteInbox| {
        let mut due_in = Vec::new();
        for record in inbox
            .list(&Filter::default(), Page::default())
            .await
            .unwrap()
            .events
        {
            due_in.extend(record.jobs[0].due_in.map(|wait| wait.as_millis()));
        }
        due_in.sort_unstable();
        due_in
    };
    let first = open().await;
    register(&first, "ship").await;
    for id in ["1", "2", "3", "4"] {
        insert(&first, id).await;
    }
    assert_eq!(claim(&first, "ship", 4).await.len(), 4);
    first.close().await;

    // Once is no evidence.
    let mut receiver = open().await;
    assert_eq!(milliseconds(&receiver).await, [0; 4]);
    assert_eq!(claim(&receiver, "ship", 4).await.len(), 4);
    receiver.close().await;
    receiver = open().await;
    assert_eq!(milliseconds(&receiver).await, [62, 125, 187, 250]);

    // One that ends the process, at its turn: the others keep theirs.
    clock.advance(Duration::from_millis(63));
    for attempt in 3..=25 {
        let claimed = claim(&receiver, "ship", 1).await;
        assert_eq!(claimed[0].attempt, attempt);
        receiver.close().await;
        receiver = open().await;
        let wait = Duration::from_millis(250 << (attempt - 2).min(12));
        let due_in = milliseconds(&receiver).await;
        assert_eq!(due_in.iter().max(), Some(&wait.as_millis()), "{attempt}");
        if attempt == 3 {
            let others = [62, 124, 187, 500];
            assert_eq!(due_in, others);
            clock.advance(Duration::from_millis(250));
            for job in claim(&receiver, "ship", 4).await {
                assert_eq!(job.attempt, 3);
                settle_all(&receiver, vec![done(&job, None)]).await;
            }
        }
        clock.advance(wait);
    }
    let stats = receiver.stats().await.unwrap();
    let states = [JobState::Pending, JobState::Done];
    assert_eq!(states.map(|state| stats.jobs(state)), [1, 3]);
}

#[tokio::test]
async fn reservations_of_the_receiver_before_are_abandoned_at_once() {
    let folder = Folder::new();
    let reserve = async |inbox: &SqliteInbox| {
        let reserve = Reserve {
            event: event("1"),
            hold: Duration::from_secs(60),
        };
        let batch = Batch {
            reserves: vec![reserve],
            ..Batch::default()
        };
        inbox.apply(batch).await.unwrap().reserves.remove(0)
    };
    let first = folder.open().await;
    assert!(matches!(reserve(&first).await, Reserved::New { .. }));
    assert!(matches!(reserve(&first).await, Reserved::InProgress { .. }));
    first.close().await;
    let second = folder.open().await;
    assert!(matches!(reserve(&second).await, Reserved::Abandoned { .. }));
}

#[tokio::test]
async fn leases_taken_beside_the_receiver_outlive_its_restart() {
    let folder = Folder::new();
    let first = folder.open().await;
    register(&first, "ship").await;
    insert(&first, "1").await;
    let beside = SqliteInbox::open_beside(folder.path()).await.unwrap();
    let held = claim(&beside, "ship", 1).await.remove(0);
    first.close().await;
    let second = folder.open().await;
    assert!(claim(&second, "ship", 1).await.is_empty());
    let settled = settle_all(&beside, vec![done(&held, None)]).await;
    assert_eq!(settled, [SettleResult::Settled]);
}

#[tokio::test]
async fn what_is_done_beside_the_receiver_is_seen_by_it() {
    let folder = Folder::new();
    let receiver = folder.open().await;
    register(&receiver, "ship").await;
    insert(&receiver, "1").await;
    let mut job = done(&claim(&receiver, "ship", 1).await.remove(0), None);
    job.outcome = Settlement::Dead { error: "no".into() };
    settle_all(&receiver, vec![job]).await;

    let beside = SqliteInbox::open_beside(folder.path()).await.unwrap();
    let replayed = beside.replay(&Selection::default()).await.unwrap();
    assert_eq!(replayed.runs.len(), 1);
    let due = receiver.next_due(&[want("ship", 1)]).await.unwrap();
    assert_eq!(due, Some(Duration::ZERO));
    register(&beside, "invoice").await;
    let inserted = insert(&receiver, "2").await;
    assert!(matches!(inserted, Inserted::New { jobs: 2, .. }));
    beside.close().await;
    assert_eq!(claim(&receiver, "ship", 9).await.len(), 2);
}

#[tokio::test]
async fn a_receiver_that_lost_its_lock_is_fenced_off() {
    let folder = Folder::new();
    let first = folder.open().await;
    insert(&first, "1").await;
    // As if the lock's file were deleted: what the lock is for does not hold.
    std::fs::remove_file(folder.file("webhooks.db.lock")).unwrap();
    let second = folder.open().await;
    let refused = try_insert(&first, event("2")).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Closed);
    insert(&second, "2").await;
}

#[tokio::test]
async fn a_file_that_is_gone_acknowledges_nothing() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    insert(&inbox, "1").await;
    let moved = folder.file("moved.db");
    std::fs::rename(folder.path(), &moved).unwrap();
    for _ in 0..2 {
        let refused = try_insert(&inbox, event("2")).await.unwrap_err();
        assert_eq!(refused.kind(), InboxErrorKind::Unavailable);
    }
    assert!(!folder.path().exists(), "and is not made anew");
    std::fs::rename(moved, folder.path()).unwrap();
    assert!(matches!(
        insert(&inbox, "1").await,
        Inserted::Duplicate { .. }
    ));
}

#[tokio::test]
async fn after_closing_everything_is_refused() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    insert(&inbox, "1").await;
    let clone = inbox.clone();
    inbox.close().await;
    clone.close().await;
    let refused = try_insert(&clone, event("2")).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Closed);
    let refused = clone.stats().await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Closed);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_refused_unless_it_is_asked_for_and_then_not_durable() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("webhooks.db");
    let refused = SqliteInbox::open(&path).await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Filesystem);
    assert!(!path.exists());
    let builder = SqliteInbox::builder(&path).insecure_any_filesystem();
    let checked = builder.open().await.unwrap().check().await.unwrap();
    assert!(!checked.durable, "{checked:?}");
}

#[tokio::test]
async fn it_says_what_its_durability_rests_on() {
    let folder = Folder::new();
    let checked = folder.open().await.check().await.unwrap();
    assert!(checked.durable);
    let text = checked.description.as_str();
    assert!(
        text.contains("journal_mode = wal, synchronous = 2"),
        "{text}"
    );
}

#[tokio::test]
async fn without_leave_no_table_is_made() {
    let folder = Folder::new();
    let refused = folder.builder().auto_migrate(false).open().await;
    assert_eq!(refused.unwrap_err().kind(), OpenErrorKind::Unavailable);
    let beside = folder.builder().open_beside().await;
    assert_eq!(beside.unwrap_err().kind(), OpenErrorKind::Unavailable);
    assert!(!folder.path().exists());

    folder.shell().execute_batch("VACUUM").unwrap();
    let refused = folder.builder().auto_migrate(false).open().await;
    assert_eq!(refused.unwrap_err().kind(), OpenErrorKind::Schema);
    folder.shell().execute_batch(&migration_sql(0)).unwrap();
    let inbox = folder.builder().auto_migrate(false).open().await.unwrap();
    insert(&inbox, "1").await;
}

#[tokio::test]
async fn the_pending_sql_is_what_a_migration_would_run() {
    let folder = Folder::new();
    let pending = async || folder.builder().pending_sql().await;
    assert_eq!(pending().await.unwrap(), migration_sql(0));
    assert!(!folder.path().exists(), "looking makes no file");
    folder.shell().execute_batch("VACUUM").unwrap();
    let sql = pending().await.unwrap();
    assert_eq!(sql, migration_sql(0), "an empty file");
    folder.shell().execute_batch(&sql).unwrap();
    assert_eq!(pending().await.unwrap(), "");
    let receiver = folder.open().await;
    assert_eq!(pending().await.unwrap(), "", "beside a receiver");
    receiver.close().await;

    folder
        .shell()
        .execute_batch("UPDATE inbox SET runs_on = 99; PRAGMA user_version = 99")
        .unwrap();
    let refused = pending().await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Schema);
    assert!(refused.to_string().contains("a later release"), "{refused}");
    folder
        .shell()
        .execute_batch("PRAGMA application_id = 7")
        .unwrap();
    let refused = pending().await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Schema);
    assert!(
        refused.to_string().contains("another program's"),
        "{refused}"
    );
    std::fs::write(folder.path(), "no database at all, but a long text").unwrap();
    let refused = pending().await.unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Unavailable);
}

#[tokio::test]
async fn migrating_makes_the_tables_and_nothing_else() {
    let folder = Folder::new();
    let first = folder.builder().migrate().await.unwrap();
    assert_eq!((first.from, first.to), (0, 1));
    let receiver = folder.open().await;
    let again = folder.builder().migrate().await.unwrap();
    assert_eq!((again.from, again.to), (1, 1));
    insert(&receiver, "1").await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let inbox = folder.open().await;
    insert(&inbox, "1").await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = folder.file(&format!("webhooks.db{suffix}"));
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn people_read_it_with_plain_sql() {
    let folder = Folder::new();
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    let inbox = folder.builder().with_clock(clock.clone()).open().await;
    let inbox = inbox.unwrap();
    register(&inbox, "ship").await;
    let mut paid = event("evt_1");
    paid.received_at = clock.now();
    try_insert(&inbox, paid).await.unwrap();
    let mut job = done(&claim(&inbox, "ship", 1).await.remove(0), None);
    job.outcome = Settlement::Dead {
        error: "no such order".into(),
    };
    settle_all(&inbox, vec![job]).await;
    let row = folder.shell().query_row(
        "SELECT id, handler, received, died, last_error FROM dead_letter",
        [],
        |row| {
            let text = |column| row.get::<_, String>(column);
            Ok([text(0)?, text(1)?, text(2)?, text(3)?, text(4)?])
        },
    );
    let day = "1970-01-02 00:00:00";
    assert_eq!(row.unwrap(), ["evt_1", "ship", day, day, "no such order"]);
}
