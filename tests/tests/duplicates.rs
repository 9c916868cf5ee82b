//! One id, sent often and at once, into a file.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{collections::BTreeMap, env, time::Duration};

use tower_webhooks::{
    Endpoint, EventRouter, Job, ManualClock, Secrets, SqliteInbox, Webhooks, inbox::JobState,
    testing::Runs,
};
use tower_webhooks_tests::{ACCEPTED, Acme, Form, SECRET, acme, ask, body, disk_folder, soon};

/// `DUPLICATE_IDS` and `DUPLICATE_SENDS` make it larger: `scripts/crash` sends
/// 1,000 ids 100 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_sent_often_and_at_once_are_one_event_and_one_run_of_each_handler() {
    let (ids, sends) = (
        setting("DUPLICATE_IDS", 100),
        setting("DUPLICATE_SENDS", 20),
    );
    let folder = disk_folder();
    let inbox = SqliteInbox::open(folder.path().join("webhooks.db"))
        .await
        .unwrap();
    let clock = ManualClock::at(std::time::SystemTime::now());
    let runs = Runs::new();
    let events = EventRouter::new()
        .on("order.paid", |_: Job| async {})
        .on("order.*", |_: Job| async {});
    let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events);
    let webhooks = runs
        .watch(Webhooks::builder().with_clock(clock.clone()))
        .start(inbox.clone(), [endpoint])
        .await
        .unwrap();
    let app = Form::Terminal.mount(&webhooks, "acme");

    // Each goes through the ids in the same order, so that they meet.
    let senders: Vec<_> = (0..sends)
        .map(|_| {
            let (app, sender) = (app.clone(), Acme::sender(SECRET, &clock));
            tokio::spawn(async move {
                for id in 0..ids {
                    let request = sender.request(body("order.paid", &format!("evt_{id}")));
                    let answered = ask(app.clone(), request.unwrap()).await;
                    assert_eq!(answered.summary(), ACCEPTED);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }

    let mut ran: BTreeMap<(String, String), u64> = BTreeMap::new();
    for _ in 0..ids * 2 {
        let run = soon(runs.next()).await;
        assert_eq!(run.error, None);
        let key = (run.handler.to_string(), run.event_id.to_string());
        *ran.entry(key).or_default() += 1;
    }
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    webhooks.drain(Duration::from_secs(10)).await;
    let stats = tower_webhooks::Inbox::stats(&inbox).await.unwrap();
    assert_eq!(stats.jobs(JobState::Done), ids * 2);
    inbox.close().await;

    let file = folder.path().join("webhooks.db");
    let file = tower_webhooks::sqlite::rusqlite::Connection::open(file).unwrap();
    let count = |sql: &str| -> i64 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM event") as u64, ids);
    assert_eq!(count("SELECT count(*) FROM job") as u64, ids * 2);
    assert_eq!(count("SELECT count(*) FROM job WHERE attempts <> 1"), 0);
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}
