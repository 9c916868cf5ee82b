//! Handlers that fail, or take their process with them, over an inbox on disk:
//! what they do not harm.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the figures are what a run is for"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tower_webhooks::{
    Attempt, Completion, Endpoint, EventRouter, Handler as _, HandlerError, Job, ManualClock,
    Retry, Secrets, SqliteInbox, Webhooks, sqlite::SqliteWork, testing::Runs,
};
use tower_webhooks_tests::{
    ACCEPTED, Acme, Form, KILLING_ATTEMPTS, ORDERS, SECRET, Shop, acme, ask, body, books,
    disk_folder, soon,
};

/// On each side of the event whose handler ends the process.
const NEIGHBOURS: u64 = 3;

#[tokio::test]
async fn of_two_handlers_on_disk_one_fails_five_times_and_the_other_runs_once() {
    let folder = disk_folder();
    let path = folder.path().join("webhooks.db");
    let inbox = SqliteInbox::builder(&path)
        .with_tables("CREATE TABLE effect (handler TEXT NOT NULL) STRICT")
        .open()
        .await
        .unwrap();
    let [tries, calls] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let (tried, called) = (Arc::clone(&tries), Arc::clone(&calls));
    let flaky = move |attempt: Attempt| {
        tried.fetch_add(1, Ordering::SeqCst);
        async move {
            if attempt.number <= 5 {
                return Err(HandlerError::msg("not yet"));
            }
            Ok(effect("flaky"))
        }
    };
    let steady = move |_: Job| {
        called.fetch_add(1, Ordering::SeqCst);
        async { effect("steady") }
    };
    let events = EventRouter::new()
        .on(
            "order.paid",
            flaky.named("flaky").retry(Retry::fixed(Duration::ZERO)),
        )
        .on("order.paid", steady.named("steady"));
    let endpoint = Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events);
    let clock = ManualClock::at(std::time::SystemTime::now());
    let runs = Runs::new();
    let webhooks = runs
        .watch(Webhooks::builder().with_clock(clock.clone()))
        .start(inbox.clone(), [endpoint])
        .await
        .unwrap();
    let app = Form::Terminal.mount(&webhooks, "acme");
    let request = Acme::sender(SECRET, &clock).request(body("order.paid", "evt_1"));
    assert_eq!(ask(app, request.unwrap()).await.summary(), ACCEPTED);
    for _ in 0..2 {
        assert_eq!(soon(runs.next()).await.error, None);
    }
    webhooks.drain(Duration::from_secs(10)).await;
    inbox.close().await;

    assert_eq!(
        (tries.load(Ordering::SeqCst), calls.load(Ordering::SeqCst)),
        (6, 1)
    );
    let file = books::open(&path);
    let lines = |sql: &str| {
        let mut lines = file.prepare(sql).unwrap();
        let lines = lines.query_map([], |row| row.get(0)).unwrap();
        lines.collect::<Result<Vec<String>, _>>().unwrap()
    };
    assert_eq!(
        lines("SELECT concat_ws(' ', handler, state, attempts) FROM job ORDER BY handler"),
        ["flaky done 6", "steady done 1"]
    );
    assert_eq!(
        lines("SELECT handler FROM effect ORDER BY handler"),
        ["flaky", "steady"]
    );
}

/// A row that commits with the job.
fn effect(handler: &'static str) -> Completion {
    let insert = "INSERT INTO effect VALUES (?1)";
    let work = SqliteWork::new(move |tx| tx.execute(insert, [handler]).map(drop));
    Completion::with_work(work.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ends receivers; run with `scripts/crash`"]
async fn a_handler_that_ends_the_process_is_dead_after_its_attempts_and_harms_no_other() {
    let mut shop = Shop::aborting(ORDERS, env!("CARGO_BIN_EXE_aborting-receiver"));
    // Its handlers are known from here on.
    shop.settle().await;
    let inbox = SqliteInbox::open(shop.file()).await.unwrap();
    shop.put(&inbox, NEIGHBOURS).await;
    let lost = body("order.lost", "lost");
    books::put(&inbox, ORDERS, [lost]).await;
    shop.put(&inbox, NEIGHBOURS).await;
    inbox.close().await;

    let attempts = KILLING_ATTEMPTS.get() as usize;
    let began = Instant::now();
    for _ in 0..attempts {
        shop.aborts().await;
    }
    println!("{attempts} ends of the process in {:?}", began.elapsed());

    let file = shop.settle().await;
    let ends = shop.notes();
    assert_eq!(ends, vec!["ended by lost"; attempts]);
    let mut dead = file
        .prepare("SELECT handler, last_error FROM dead_letter")
        .unwrap();
    let dead = dead
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let dead: Vec<(String, String)> = dead.map(Result::unwrap).collect();
    let error = format!("attempt {attempts} ended without a result, and no attempt is left");
    assert_eq!(dead, [("kills".to_owned(), error)]);
    for (sql, rows) in [
        ("SELECT count(*) FROM job WHERE state <> 'done'", 1),
        // The other handler of the lost order, those beside it, and the first and last event.
        ("SELECT count(*) FROM book", 2 * NEIGHBOURS + 3),
    ] {
        assert_eq!(books::count(&file, sql), rows, "{sql}");
    }
}
