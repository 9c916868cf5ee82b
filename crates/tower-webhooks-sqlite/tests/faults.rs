//! What goes wrong in the store, and what is left of it.

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Folder, event, insert, register, try_insert};
use tower_webhooks_inbox::{
    Batch, Committer, CommitterOptions, Erase, Inbox, InboxErrorKind, Inserted, Reading, Selection,
};

#[tokio::test]
async fn a_batch_that_fails_on_its_data_leaves_nothing_and_its_good_parts_are_stored() {
    let folder = Folder::new();
    let inbox = Arc::new(folder.open().await);
    register(&*inbox, "ship").await;
    folder
        .shell()
        .execute_batch(
            "CREATE TRIGGER bad AFTER INSERT ON event WHEN new.id = 'bad'
             BEGIN SELECT raise(ABORT, 'cannot be stored'); END",
        )
        .unwrap();
    let batch = Batch {
        inserts: vec![event("1"), event("bad"), event("2")],
        ..Batch::default()
    };
    let failed = inbox.apply(batch).await.map(drop).unwrap_err();
    assert_eq!(failed.kind(), InboxErrorKind::Data);
    for table in ["event", "job", "event_count"] {
        assert_eq!(folder.count(&format!("SELECT count(*) FROM {table}")), 0);
    }

    let committer = Committer::start(inbox, CommitterOptions::new());
    let ids = ["1", "bad", "2", "3"];
    let pending = ids.map(|id| committer.insert(event(id), ()).unwrap());
    for (id, pending) in ids.into_iter().zip(pending) {
        match pending.await.unwrap() {
            Inserted::New { jobs, .. } => assert_eq!((id != "bad", jobs), (true, 1)),
            stored => assert!(matches!(stored, Inserted::Unusable { .. }) && id == "bad"),
        }
    }
    assert_eq!(folder.count("SELECT sum(events) FROM event_count"), 4);
}

#[tokio::test]
async fn an_event_that_the_file_refuses_keeps_no_other_of_its_delivery_out_and_can_be_replayed() {
    let folder = Folder::new();
    let inbox = Arc::new(folder.open().await);
    register(&*inbox, "ship").await;
    let shell = folder.shell();
    shell
        .execute_batch(
            "CREATE TRIGGER bad BEFORE INSERT ON event WHEN new.id = 'bad'
             BEGIN SELECT raise(ABORT, 'cannot be stored'); END",
        )
        .unwrap();
    let committer = Committer::start(inbox.clone(), CommitterOptions::new());
    let delivery = ["1", "bad", "2"].map(event).to_vec();
    let found = committer.insert_all_then(delivery, |_| ()).unwrap();
    let found = found.await.unwrap();
    assert!(matches!(found[0], Inserted::New { jobs: 1, .. }));
    assert!(matches!(found[1], Inserted::Unusable { .. }));
    assert!(matches!(found[2], Inserted::New { jobs: 1, .. }));
    let aside = inbox.get(found[1].seq()).await.unwrap().unwrap().event;
    assert_eq!(aside.unusable.as_deref(), Some("refused-by-inbox"));
    assert_eq!(aside.body, Some(event("bad").body));

    shell.execute_batch("DROP TRIGGER bad").unwrap();
    let mut reading = Reading::new(aside.seq);
    reading.id = Some("bad".into());
    reading.event_type = Some("order.paid".into());
    let selection = Selection {
        readings: vec![reading],
        ..Selection::default()
    };
    let replayed = inbox.replay(&selection).await.unwrap();
    assert!(replayed.runs.iter().any(|job| job.seq == aside.seq));
    let again = committer.insert(event("bad"), ()).unwrap().await.unwrap();
    assert_eq!(again, Inserted::Duplicate { seq: aside.seq });
}

#[tokio::test]
async fn while_another_process_writes_the_wait_is_bounded() {
    let folder = Folder::new();
    let wait = Duration::from_millis(50);
    let builder = folder.builder().with_busy_timeout(wait);
    let inbox = builder.open().await.unwrap();
    insert(&inbox, "1").await;
    let shell = folder.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = try_insert(&inbox, event("2")).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Unavailable);
    assert!(inbox.stats().await.is_ok(), "reading goes on");
    shell.execute_batch("COMMIT").unwrap();
    insert(&inbox, "2").await;
}

#[tokio::test]
async fn a_transaction_that_is_taken_back_from_within_leaves_nothing() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    register(&inbox, "ship").await;
    folder
        .shell()
        .execute_batch(
            "CREATE TRIGGER bad AFTER INSERT ON job WHEN new.seq = 2
             BEGIN SELECT raise(ROLLBACK, 'all of it'); END",
        )
        .unwrap();
    let batch = |ids: &[&str]| Batch {
        inserts: ids.iter().map(|id| event(id)).collect(),
        ..Batch::default()
    };
    let failed = inbox.apply(batch(&["1", "2", "3"])).await;
    let failed = failed.map(drop).unwrap_err();
    assert_eq!(failed.kind(), InboxErrorKind::Data);
    assert_eq!(folder.count("SELECT count(*) FROM event"), 0);
    let stored = inbox.apply(batch(&["1"])).await.unwrap().inserts;
    assert!(matches!(stored[0], Inserted::New { jobs: 1, .. }));
}

#[tokio::test]
async fn a_reader_that_stays_stops_nobody_and_the_log_shrinks_when_it_has_gone() {
    const LIMIT: u64 = 1024 * 1024;
    let folder = Folder::new();
    let builder = folder.builder().with_checkpoint_pages(50);
    let inbox = builder.with_max_log_bytes(LIMIT).open().await.unwrap();
    insert(&inbox, "first").await;
    let log = || {
        std::fs::metadata(folder.file("webhooks.db-wal"))
            .unwrap()
            .len()
    };
    let large = |number: u32| {
        let mut event = event(&number.to_string());
        event.body = Bytes::from(vec![b'x'; 64 * 1024]);
        event
    };

    let reader = folder.shell();
    reader.execute_batch("BEGIN; SELECT * FROM event").unwrap();
    let held = reader.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0));
    assert_eq!(held, Ok(1));
    let most = Duration::from_secs(20);
    let started = Instant::now();
    for number in 0..60 {
        try_insert(&inbox, large(number)).await.unwrap();
    }
    assert!(started.elapsed() < most, "{:?}", started.elapsed());
    assert!(log() > LIMIT, "the reader holds {} bytes", log());
    reader.execute_batch("COMMIT").unwrap();

    tokio::time::sleep(Duration::from_millis(2_100)).await;
    for number in 100..110 {
        try_insert(&inbox, large(number)).await.unwrap();
    }
    assert!(log() <= LIMIT, "{} bytes", log());
}

#[tokio::test]
async fn a_pause_moves_the_log_into_the_database() {
    let folder = Folder::new();
    let inbox = folder.open().await;
    let mut large = event("1");
    large.body = Bytes::from(vec![b'x'; 1024 * 1024]);
    try_insert(&inbox, large).await.unwrap();
    let size = || std::fs::metadata(folder.path()).unwrap().len();
    let started = Instant::now();
    while size() < 1024 * 1024 {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", size());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_erased_is_in_no_file() {
    const SECRET: &[u8] = b"a very personal sentence that nobody may find";
    let folder = Folder::new();
    let inbox = folder.open().await;
    let mut personal = event("1");
    personal.body = Bytes::from([SECRET; 200].concat());
    let seq = try_insert(&inbox, personal).await.unwrap().seq();
    let found = || {
        ["webhooks.db", "webhooks.db-wal"].iter().any(|file| {
            let bytes = std::fs::read(folder.file(file)).unwrap_or_default();
            bytes.windows(SECRET.len()).any(|window| window == SECRET)
        })
    };
    assert!(found(), "or the test sees nothing");
    assert_eq!(inbox.erase(&Erase::Event(seq)).await.unwrap(), 1);
    assert!(!found());
}

#[tokio::test]
async fn what_could_be_erased_but_from_the_log_is_said_and_erased_when_asked_again() {
    const SECRET: &[u8] = b"a very personal sentence that nobody may find";
    let folder = Folder::new();
    let inbox = folder.open().await;
    let mut personal = event("1");
    personal.body = Bytes::from_static(SECRET);
    let seq = try_insert(&inbox, personal).await.unwrap().seq();
    let in_the_log = || {
        let bytes = std::fs::read(folder.file("webhooks.db-wal")).unwrap_or_default();
        bytes.windows(SECRET.len()).any(|window| window == SECRET)
    };
    let backup = folder.shell();
    backup.execute_batch("BEGIN").unwrap();
    let seen: i64 = backup
        .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
        .unwrap();
    assert_eq!(seen, 1);
    let refused = inbox.erase(&Erase::Event(seq)).await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Unavailable);
    let erased = inbox.get(seq).await.unwrap().unwrap().event;
    assert!(erased.erased && erased.body.is_none());
    assert!(in_the_log());

    backup.execute_batch("COMMIT").unwrap();
    assert_eq!(inbox.erase(&Erase::Event(seq)).await.unwrap(), 0, "it was");
    assert!(!in_the_log());
}
