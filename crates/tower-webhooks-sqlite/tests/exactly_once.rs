//! Work commits with its job's completion, or neither does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Folder, claim, done, event, insert, register, settle_all};
use tower_webhooks_inbox::{Batch, Inbox, InboxErrorKind, JobState, Leased, SettleResult, Work};
use tower_webhooks_sqlite::{SqliteInbox, SqliteTransaction, SqliteWork, rusqlite};

const TABLES: &str = "CREATE TABLE IF NOT EXISTS settlement (id TEXT PRIMARY KEY, cents INTEGER);
     CREATE TABLE IF NOT EXISTS line (settlement TEXT REFERENCES settlement(id)
         DEFERRABLE INITIALLY DEFERRED)";

/// An inbox with so many jobs leased.
async fn leased(folder: &Folder, jobs: usize) -> (SqliteInbox, Vec<Leased>) {
    let inbox = folder.builder().with_tables(TABLES).open().await.unwrap();
    register(&inbox, "settle").await;
    for id in 0..jobs {
        insert(&inbox, &id.to_string()).await;
    }
    let leased = claim(&inbox, "settle", jobs).await;
    assert_eq!(leased.len(), jobs);
    (inbox, leased)
}

fn pay(id: &'static str) -> Work {
    SqliteWork::new(move |tx| {
        tx.execute(
            "INSERT INTO settlement (id, cents) VALUES (?1, ?2)",
            (id, 1),
        )
        .map(drop)
    })
    .into()
}

async fn settle(inbox: &SqliteInbox, job: &Leased, work: Work) -> SettleResult {
    settle_all(inbox, vec![done(job, Some(work))])
        .await
        .remove(0)
}

async fn state(inbox: &SqliteInbox, job: &Leased) -> JobState {
    inbox.get(job.event.seq).await.unwrap().unwrap().jobs[0].state
}

fn settlements(folder: &Folder) -> i64 {
    folder.count("SELECT count(*) FROM settlement")
}

fn reason(result: SettleResult) -> String {
    match result {
        SettleResult::WorkRefused(reason) => reason.to_string(),
        other => panic!("the work is refused, not {other:?}"),
    }
}

#[tokio::test]
async fn the_row_and_the_completion_commit_together() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let result = settle(&inbox, &jobs[0], pay("a")).await;
    assert_eq!(result, SettleResult::Settled);
    let both = "SELECT count(*) FROM settlement, job WHERE state = 'done' AND cents = 1";
    assert_eq!(folder.count(both), 1);
}

#[tokio::test]
async fn a_lost_lease_commits_nothing() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let mut stale = done(&jobs[0], Some(pay("a")));
    stale.token -= 1;
    let result = settle_all(&inbox, vec![stale]).await;
    assert_eq!(result, [SettleResult::LeaseLost]);
    assert_eq!(settlements(&folder), 0);
    let result = settle(&inbox, &jobs[0], pay("a")).await;
    assert_eq!(result, SettleResult::Settled);
    let twice = settle(&inbox, &jobs[0], pay("b")).await;
    assert_eq!(twice, SettleResult::LeaseLost);
    assert_eq!(settlements(&folder), 1);
}

#[tokio::test]
async fn failing_work_leaves_nothing_behind_and_the_others_in_place() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 4).await;
    let half: Work = SqliteWork::new(|tx| {
        tx.execute("INSERT INTO settlement (id) VALUES ('half')", [])?;
        tx.execute("INSERT INTO settlement (id) VALUES ('half')", [])
            .map(drop)
    })
    .into();
    let panics: Work = SqliteWork::new(|tx| {
        tx.execute("INSERT INTO settlement (id) VALUES ('panic')", [])?;
        assert!(tx.last_insert_rowid() < 0, "no such luck");
        Ok::<(), rusqlite::Error>(())
    })
    .into();
    let result = settle_all(
        &inbox,
        vec![
            done(&jobs[0], Some(pay("a"))),
            done(&jobs[1], Some(half)),
            done(&jobs[2], Some(panics)),
            done(&jobs[3], Some(pay("b"))),
        ],
    )
    .await;
    let [first, failed, panicked, last] = <[_; 4]>::try_from(result).unwrap();
    assert_eq!(
        (first, last),
        (SettleResult::Settled, SettleResult::Settled)
    );
    let failed = reason(failed);
    assert!(failed.contains("UNIQUE constraint failed"), "{failed}");
    assert_eq!(reason(panicked), "the work panicked: no such luck");
    assert_eq!(settlements(&folder), 2);
    for (job, expected) in jobs.iter().zip([
        JobState::Done,
        JobState::Running,
        JobState::Running,
        JobState::Done,
    ]) {
        assert_eq!(state(&inbox, job).await, expected);
    }
    let retried = settle(&inbox, &jobs[1], pay("c")).await;
    assert_eq!(retried, SettleResult::Settled, "the lease was kept");
}

#[tokio::test]
async fn an_error_is_the_reason_with_all_its_sources() {
    #[derive(Debug, thiserror::Error)]
    #[error("the ledger refused")]
    struct Ledger(#[source] std::num::ParseIntError);
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let work = SqliteWork::new(|_| Err(Ledger("x".parse::<u8>().unwrap_err())));
    let refused = settle(&inbox, &jobs[0], work.into()).await;
    assert_eq!(
        reason(refused),
        "the ledger refused: invalid digit found in string"
    );
}

#[tokio::test]
async fn work_can_neither_end_nor_leave_its_transaction_nor_touch_the_inbox() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let refused = [
        "COMMIT",
        "ROLLBACK",
        "END",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "SAVEPOINT mine",
        "RELEASE work",
        "ROLLBACK TO work",
        "/* hidden */ commit",
        "ATTACH ':memory:' AS other",
        "PRAGMA synchronous = off",
        "CREATE TEMP TABLE event (seq)",
        "CREATE TEMP VIEW job AS SELECT 1",
        "UPDATE job SET state = 'done'",
        "UPDATE main.JOB SET state = 'done'",
        "DELETE FROM event",
        "INSERT INTO handler VALUES ('a', 'b', '*', 0, 'none', NULL)",
        "DROP TABLE event",
        "DROP VIEW dead_letter",
        "ALTER TABLE job ADD COLUMN mine",
        "CREATE INDEX mine ON job (worker)",
        "CREATE TRIGGER mine AFTER INSERT ON event BEGIN SELECT 1; END",
        "WITH paid AS (SELECT 1) UPDATE inbox SET boot = 0",
    ];
    for sql in refused {
        let work = SqliteWork::new(move |tx| {
            tx.execute("INSERT INTO settlement (id) VALUES ('a')", [])?;
            tx.execute(sql, []).map(drop)
        });
        let refused = reason(settle(&inbox, &jobs[0], work.into()).await);
        assert!(refused.contains("not authorized"), "{sql}: {refused}");
    }
    assert_eq!(settlements(&folder), 0);
    assert_eq!(state(&inbox, &jobs[0]).await, JobState::Running);
}

#[tokio::test]
async fn work_reads_everything_and_makes_its_own_tables() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let work = SqliteWork::new(|tx: &SqliteTransaction<'_>| {
        tx.execute("CREATE TABLE paid (seq INTEGER)", [])?;
        let seq: i64 = tx.query_row("SELECT seq FROM job", [], |row| row.get(0))?;
        let mut insert = tx.prepare("INSERT INTO paid VALUES (?1)")?;
        for _ in 0..3 {
            insert.execute([seq])?;
        }
        Ok::<(), rusqlite::Error>(())
    });
    let result = settle(&inbox, &jobs[0], work.into()).await;
    assert_eq!(result, SettleResult::Settled);
    assert_eq!(folder.count("SELECT count(*) FROM paid"), 3);
    insert(&inbox, "after").await;
}

#[tokio::test]
async fn work_that_rolls_everything_back_is_refused_and_the_batch_done_without_it() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 2).await;
    let rolls_back: Work = SqliteWork::new(|tx| {
        tx.execute("INSERT INTO settlement (id) VALUES ('a')", [])?;
        tx.execute("INSERT OR ROLLBACK INTO settlement (id) VALUES ('a')", [])
            .map(drop)
    })
    .into();
    let batch = Batch {
        inserts: vec![event("new")],
        settles: vec![done(&jobs[0], None), done(&jobs[1], Some(rolls_back))],
        ..Batch::default()
    };
    let failed = inbox.apply(batch.clone()).await.map(drop).unwrap_err();
    assert_eq!(failed.kind(), InboxErrorKind::Data, "the committer bisects");
    assert_eq!(folder.count("SELECT count(*) FROM event"), 2);
    assert_eq!(state(&inbox, &jobs[0]).await, JobState::Running);
    let again = inbox.apply(batch).await.unwrap();
    assert_eq!(again.settles[0], SettleResult::Settled);
    assert!(matches!(again.settles[1], SettleResult::WorkRefused(_)));
    assert_eq!(settlements(&folder), 0);
}

#[tokio::test]
async fn work_that_only_fails_at_the_commit_fails_its_batch_as_data() {
    let folder = Folder::new();
    let (inbox, jobs) = leased(&folder, 1).await;
    let dangling: Work = SqliteWork::new(|tx| {
        tx.execute("INSERT INTO line (settlement) VALUES ('nobody')", [])
            .map(drop)
    })
    .into();
    let batch = Batch {
        inserts: vec![event("new")],
        settles: vec![done(&jobs[0], Some(dangling))],
        ..Batch::default()
    };
    let failed = inbox.apply(batch.clone()).await.map(drop).unwrap_err();
    assert_eq!(failed.kind(), InboxErrorKind::Data);
    assert_eq!(folder.count("SELECT count(*) FROM event"), 1);
    let again = inbox.apply(batch).await.unwrap();
    assert!(matches!(again.settles[0], SettleResult::WorkRefused(_)));
    assert_eq!(folder.count("SELECT count(*) FROM event"), 2);
}

#[tokio::test]
async fn tables_that_touch_the_inbox_are_refused_at_opening() {
    let folder = Folder::new();
    let builder = folder.builder().with_tables("DROP TABLE event");
    let refused = builder.open().await.unwrap_err();
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("not authorized"), "{source}");
    insert(&folder.open().await, "1").await;
}
