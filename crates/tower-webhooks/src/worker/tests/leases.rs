//! Leases: held while a handler runs, never outlived.

use std::num::NonZeroU32;

use tower_webhooks_inbox::{Claim, Erase, Want};

use super::*;
use crate::{Attempt, Handler, HandlerError, Retry};

const LEASE: Duration = Duration::from_secs(60);

/// Notes when a handler was dropped before it ended.
struct Stopped(Log, bool);

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.1 {
            self.0.note("stopped");
        }
    }
}

/// A handler that takes `length` and notes how it fared.
fn slow_events(log: &Log, length: Duration) -> EventRouter {
    let log = log.clone();
    let slow = move |attempt: Attempt| {
        let log = log.clone();
        async move {
            let mut guard = Stopped(log.clone(), false);
            log.note(format!("begun {}", attempt.number));
            tokio::time::sleep(length).await;
            log.note("ended");
            guard.1 = true;
        }
    };
    EventRouter::new().on("*", slow.timeout(Duration::from_secs(24 * 60 * 60)))
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_for_as_long_as_its_handler_runs() {
    let shop = Shop::durable();
    let log = Log::default();
    let events = slow_events(&log, 10 * LEASE);
    let _worker = shop.worker(events).with_lease(LEASE).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 1);
    assert_eq!(log.lines(), ["begun 1", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_lease_cannot_be_extended_is_stopped_before_it_ends() {
    let shop = Shop::durable();
    let log = Log::default();
    let events = slow_events(&log, 100 * SECOND);
    let _worker = shop.worker(events).with_lease(LEASE).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(SECOND).await;
    shop.set_away(true);
    tokio::time::sleep(52 * SECOND).await;
    assert_eq!(log.lines(), ["begun 1"], "stopped too early");
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(log.lines(), ["begun 1", "stopped"], "outlives its lease");

    shop.set_away(false);
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 2);
    assert_eq!(log.lines(), ["begun 1", "stopped", "begun 2", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_lease_was_taken_away_is_stopped() {
    let shop = Shop::durable();
    let log = Log::default();
    let events = slow_events(&log, 10 * LEASE);
    let _worker = shop.worker(events).with_lease(LEASE).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(SECOND).await;
    shop.store.erase(&Erase::Event(seq)).await.unwrap();
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(log.lines(), ["begun 1", "stopped"]);
    assert_eq!(shop.job(seq, "*").await.state, JobState::Dead);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_inbox_was_away_is_settled_when_it_is_back() {
    let shop = Shop::durable();
    let log = Log::default();
    let events = slow_events(&log, 10 * SECOND);
    let _worker = shop.worker(events).with_lease(LEASE).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(SECOND).await;
    shop.set_away(true);
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(log.lines(), ["begun 1", "ended"]);
    shop.set_away(false);
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 1);
    assert_eq!(log.lines(), ["begun 1", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_kills_its_process_runs_out_of_attempts() {
    let shop = Shop::durable();
    let log = Log::default();
    let ran = log.clone();
    let events = EventRouter::new().on(
        "*",
        (move || {
            ran.note("ran");
            async {}
        })
        .retry(Retry::exponential().max_attempts(NonZeroU32::new(2).unwrap())),
    );
    let worker = shop.worker(events);
    let registered = shop.committer.register(worker.lanes.registrations());
    registered.unwrap().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    for attempt in 1..=2 {
        let claim = Claim {
            worker: Text::from("crashing"),
            wants: vec![Want {
                endpoint: Text::from("shop"),
                handler: Text::from("*"),
                free: 1,
            }],
            lease: SECOND,
        };
        let worked = shop.committer.work(vec![], vec![], Some(claim));
        let worked = worked.unwrap().await.unwrap();
        assert_eq!(worked.claimed[0].attempt, attempt);
        tokio::time::sleep(2 * SECOND).await;
    }
    let _worker = worker.spawn().await.unwrap();
    let job = shop.until(seq, "*", JobState::Dead).await;
    assert_eq!(
        job.last_error.as_deref(),
        Some("attempt 2 ended without a result, and no attempt is left")
    );
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_stops_handlers_and_leaves_their_jobs_to_the_lease() {
    let shop = Shop::durable();
    let log = Log::default();
    let worker = shop
        .worker(slow_events(&log, 10 * SECOND))
        .with_lease(LEASE);
    let worker = worker.spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(SECOND).await;
    drop(worker);
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.lines(), ["begun 1", "stopped"]);
    assert_eq!(shop.job(seq, "*").await.state, JobState::Running);

    let successor = shop.worker(slow_events(&log, SECOND)).with_lease(LEASE);
    let _worker = successor.spawn().await.unwrap();
    let job = shop.until(seq, "*", JobState::Done).await;
    assert_eq!(job.attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_runs_no_job_twice_at_once() {
    let clock = tower_webhooks_core::ManualClock::at(SystemTime::UNIX_EPOCH);
    let shop = Shop::over(true, clock.clone());
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let events = EventRouter::new().on("*", move || {
        let inside = inside.clone();
        async move { inside.visit(10 * SECOND).await }
    });
    let _worker = shop.worker(events).with_lease(LEASE).spawn().await.unwrap();
    shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(SECOND).await;
    clock.advance(2 * LEASE);
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(crowd.most(), 1, "one job, and this many runs of it at once");
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_of_attempts_keeps_why_the_handler_failed() {
    let shop = Shop::durable();
    let with_limit = |attempts| {
        let retry = Retry::fixed(SECOND).max_attempts(NonZeroU32::new(attempts).unwrap());
        let fails = || async { Err::<(), _>(HandlerError::msg("the card was declined")) };
        EventRouter::new().on("*", fails.retry(retry))
    };
    let worker = shop.worker(with_limit(25)).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(10 * SECOND + SECOND / 2).await;
    worker.drain(SECOND).await;
    let before = shop.job(seq, "*").await;
    assert_eq!(before.last_error.as_deref(), Some("the card was declined"));
    let _worker = shop.worker(with_limit(5)).spawn().await.unwrap();
    let job = shop.until(seq, "*", JobState::Dead).await;
    let error = job.last_error.unwrap();
    assert!(error.contains("the card was declined"), "{error}");
}
