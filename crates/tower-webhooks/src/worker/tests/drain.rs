//! Stopping without losing anything.

use std::num::NonZeroUsize;

use super::*;
use crate::{DrainReport, Event, Handler, HandlerError};

/// Events whose data says for how many seconds their handler runs.
fn events(log: &Log) -> EventRouter {
    let log = log.clone();
    EventRouter::new().on(
        "*",
        (move |event: Event<u64>| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(event.data)).await;
                log.note(event.id().to_string());
            }
        })
        .concurrency(NonZeroUsize::new(2).unwrap()),
    )
}

#[tokio::test(start_paused = true)]
async fn running_handlers_finish_and_waiting_jobs_stay_in_a_durable_inbox() {
    let shop = Shop::durable();
    let log = Log::default();
    let worker = shop.worker(events(&log)).spawn().await.unwrap();
    let first = shop.receive("a", "evt_1", "3").await;
    let second = shop.receive("a", "evt_2", "4").await;
    let third = shop.receive("a", "evt_3", "1").await;
    tokio::time::sleep(SECOND).await;

    let begun = Instant::now();
    let report = worker.drain(20 * SECOND).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(
        report,
        DrainReport {
            finished: 2,
            released: 0,
            dropped: 0
        }
    );
    assert_eq!(log.lines(), ["evt_1", "evt_2"]);
    assert_eq!(shop.job(first, "*").await.state, JobState::Done);
    assert_eq!(shop.job(second, "*").await.state, JobState::Done);
    let waiting = shop.job(third, "*").await;
    assert_eq!((waiting.state, waiting.attempts), (JobState::Pending, 0));
    assert!(worker.is_stopped());
    assert_eq!(worker.drain(SECOND).await, DrainReport::default());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_gives_back_what_still_runs_without_counting_it() {
    let shop = Shop::durable();
    let log = Log::default();
    let worker = shop.worker(events(&log)).spawn().await.unwrap();
    let short = shop.receive("a", "evt_1", "2").await;
    let long = shop.receive("a", "evt_2", "25").await;
    tokio::time::sleep(SECOND).await;

    let begun = Instant::now();
    let report = worker.drain(20 * SECOND).await;
    assert_eq!(begun.elapsed().as_secs(), 20);
    assert_eq!(
        report,
        DrainReport {
            finished: 1,
            released: 1,
            dropped: 0
        }
    );
    assert_eq!(shop.job(short, "*").await.state, JobState::Done);
    let given_back = shop.job(long, "*").await;
    assert_eq!(given_back.state, JobState::Pending);
    assert_eq!(given_back.attempts, 0);
    assert_eq!(given_back.due_in, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_inbox_in_memory_runs_what_is_due_and_reports_what_is_lost() {
    let shop = Shop::open(false);
    let log = Log::default();
    let router = events(&log).on("later", async || {
        Err::<(), _>(HandlerError::retry_after(
            Duration::from_secs(3600),
            "later",
        ))
    });
    let worker = shop.worker(router).spawn().await.unwrap();
    for number in 0..7 {
        shop.receive("a", &format!("evt_{number}"), "1").await;
    }
    shop.receive("later", "evt_later", "0").await;

    let report = worker.drain(20 * SECOND).await;
    assert_eq!(
        report,
        DrainReport {
            finished: 8,
            released: 0,
            dropped: 1
        }
    );
    assert_eq!(log.lines().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_handlers_drains_at_once() {
    for durable in [true, false] {
        let shop = Shop::open(durable);
        let worker = shop.worker(EventRouter::new()).spawn().await.unwrap();
        shop.receive("a", "evt_1", "1").await;
        let begun = Instant::now();
        let report = worker.drain(20 * SECOND).await;
        assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
        assert_eq!(report, DrainReport::default());
    }
}

#[tokio::test(start_paused = true)]
async fn an_inbox_in_memory_reports_what_the_deadline_cut_off() {
    let shop = Shop::open(false);
    let log = Log::default();
    let worker = shop.worker(events(&log)).spawn().await.unwrap();
    for number in 0..9 {
        shop.receive("a", &format!("evt_{number}"), "2").await;
    }
    let report = worker.drain(5 * SECOND).await;
    assert_eq!(
        report,
        DrainReport {
            finished: 4,
            released: 2,
            dropped: 5
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_soon_after_its_deadline_though_the_inbox_is_away() {
    let shop = Shop::durable();
    let log = Log::default();
    let worker = shop.worker(events(&log)).spawn().await.unwrap();
    shop.receive("a", "evt_1", "2").await;
    tokio::time::sleep(SECOND).await;
    shop.set_away(true);
    let begun = Instant::now();
    let report = worker.drain(5 * SECOND).await;
    assert!(
        begun.elapsed() <= 6 * SECOND + SECOND / 10,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(report, DrainReport::default());
}

#[tokio::test(start_paused = true)]
async fn a_closed_committer_stops_the_worker() {
    let shop = Shop::durable();
    let worker = shop.worker(events(&Log::default())).spawn().await.unwrap();
    shop.committer.close().await;
    tokio::time::sleep(2 * SECOND).await;
    assert!(worker.is_stopped());
}
