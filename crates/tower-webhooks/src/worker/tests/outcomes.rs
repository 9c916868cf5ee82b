//! What follows from how handlers end.

use std::{num::NonZeroU32, num::NonZeroUsize, sync::Arc};

use axum::Extension;
use tokio::time::Instant;
use tower_webhooks_inbox::Work;

use super::*;
use crate::{Attempt, Completion, Event, Handler, HandlerError, Job, Retry};

#[tokio::test(start_paused = true)]
async fn a_panic_a_hang_and_an_error_leave_the_others_untouched() {
    let shop = Shop::durable();
    let log = Log::default();
    let fine = log.clone();
    let events = EventRouter::new()
        .on(
            "order.*",
            (|| async { assert_eq!(1, 2, "boom") })
                .named("panics")
                .retry(Retry::none()),
        )
        .on(
            "order.*",
            std::future::pending::<()>
                .named("hangs")
                .timeout(SECOND)
                .retry(Retry::none()),
        )
        .on(
            "order.*",
            (|| async { Err::<(), _>(HandlerError::msg("no")) })
                .named("errs")
                .retry(Retry::none()),
        )
        .on("order.paid", move || {
            fine.note("ran");
            async {}
        });
    let worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;

    for (handler, error) in [
        (
            "panics",
            r"the handler panicked: assertion `left == right` failed: boom\n  left: 1\n right: 2",
        ),
        ("hangs", "the handler took longer than 1s"),
        ("errs", "no"),
    ] {
        let job = shop.until(seq, handler, JobState::Dead).await;
        assert_eq!(job.last_error.as_deref(), Some(error));
        assert_eq!(job.attempts, 1);
    }
    shop.until(seq, "order.paid", JobState::Done).await;
    assert_eq!(log.lines(), ["ran"]);
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn one_of_two_handlers_fails_five_times_and_the_other_runs_once() {
    let shop = Shop::durable();
    let log = Log::default();
    let (flaky, steady) = (log.clone(), log.clone());
    let events = EventRouter::new()
        .on("order.paid", move |attempt: Attempt| {
            flaky.note(format!("flaky {}", attempt.number));
            async move {
                if attempt.number <= 5 {
                    return Err(std::io::Error::other("away"));
                }
                Ok(())
            }
        })
        .on("*", move || {
            steady.note("steady");
            async {}
        });
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "order.paid", JobState::Done).await;
    assert_eq!(job.attempts, 6);
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| *line == "steady").count(), 1);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("flaky"))
            .count(),
        6
    );
    assert_eq!(lines.last().unwrap(), "flaky 6");
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_at_once_than_a_handler_allows() {
    let shop = Shop::durable();
    let (narrow, wide) = (Crowd::default(), Crowd::default());
    let (in_narrow, in_wide) = (narrow.clone(), wide.clone());
    let events = EventRouter::new()
        .on(
            "order.paid",
            (async move || in_narrow.visit(SECOND).await)
                .concurrency(NonZeroUsize::new(3).unwrap()),
        )
        .on("*", async move || in_wide.visit(SECOND).await);
    let worker = shop
        .worker(events)
        .with_concurrency(NonZeroUsize::new(10).unwrap());
    let _worker = worker.spawn().await.unwrap();
    let mut seqs = Vec::new();
    for number in 0..30 {
        seqs.push(
            shop.receive("order.paid", &format!("evt_{number}"), "{}")
                .await,
        );
    }
    let begun = Instant::now();
    for seq in seqs {
        shop.until(seq, "order.paid", JobState::Done).await;
        shop.until(seq, "*", JobState::Done).await;
    }
    assert_eq!(narrow.most(), 3);
    // ten together: the narrow one's three slots are filled, the rest is the other's
    assert!((5..=10).contains(&wide.most()), "{}", wide.most());
    assert!(
        begun.elapsed() < 12 * SECOND,
        "slots stood idle: {:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_the_handler_asks_for_is_kept_exactly() {
    let shop = Shop::durable();
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let events = EventRouter::new().on("order.paid", move |attempt: Attempt| {
        seen.lock().unwrap().push(Instant::now());
        async move {
            match attempt.number {
                1 => Err(HandlerError::retry_after(
                    Duration::from_millis(4321),
                    "busy",
                )),
                _ => Ok(()),
            }
        }
    });
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "order.paid", JobState::Done).await;
    let times = times.lock().unwrap();
    let waited = times[1] - times[0];
    assert!(waited >= Duration::from_millis(4321), "{waited:?}");
    // sleeping until it is due, not until the next poll
    assert!(waited < Duration::from_millis(4340), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_decode_is_dead_at_once_with_its_path() {
    let shop = Shop::durable();
    let log = Log::default();
    let ran = log.clone();
    #[derive(serde::Deserialize)]
    #[allow(dead_code, reason = "only its decoding is looked at")]
    struct Order {
        lines: Vec<u32>,
    }
    let events = EventRouter::new().on("order.paid", move |_: Event<Order>| {
        ran.note("ran");
        async {}
    });
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop
        .receive("order.paid", "evt_1", r#"{"lines":[1,"secret"]}"#)
        .await;
    let job = shop.until(seq, "order.paid", JobState::Dead).await;
    assert_eq!(
        job.last_error.as_deref(),
        Some("the payload does not fit its type at `lines[1]`: expected u32")
    );
    assert_eq!(job.attempts, 1);
    assert!(log.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn work_that_the_inbox_refuses_is_a_failed_attempt() {
    let shop = Shop::durable();
    let events = EventRouter::new().on(
        "order.paid",
        (async || Completion::with_work(Work::new("insert")))
            .retry(Retry::fixed(SECOND).max_attempts(NonZeroU32::new(2).unwrap())),
    );
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    let job = shop.until(seq, "order.paid", JobState::Dead).await;
    assert_eq!(job.attempts, 2);
    let error = job.last_error.unwrap();
    assert!(
        error.starts_with("the inbox did not commit the handler's work: "),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn hooks_hear_of_every_end_and_may_panic() {
    let shop = Shop::durable();
    let log = Log::default();
    let (dead, done) = (log.clone(), log.clone());
    let events = EventRouter::new()
        .on("good", async || {})
        .on("bad", async || {
            Err::<(), _>(HandlerError::permanent("never"))
        });
    let worker = shop
        .worker(events)
        .on_dead(|_| panic!("in a hook"))
        .on_dead(move |job| {
            dead.note(format!(
                "{} {} {} {}",
                job.handler, job.event_id, job.attempt, job.error
            ));
        })
        .on_done(move |job| {
            done.note(format!(
                "{} {:?} {}",
                job.endpoint,
                job.event_type.as_deref(),
                job.attempt
            ));
        });
    let _worker = worker.spawn().await.unwrap();
    let bad = shop.receive("bad", "evt_1", "{}").await;
    shop.until(bad, "bad", JobState::Dead).await;
    let good = shop.receive("good", "evt_2", "{}").await;
    shop.until(good, "good", JobState::Done).await;
    assert_eq!(log.lines(), ["bad evt_1 1 never", "shop Some(\"good\") 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_starts_a_new_job_at_once() {
    let shop = Shop::durable();
    let started = Arc::new(Mutex::new(None));
    let seen = started.clone();
    let events = EventRouter::new().on("*", move || {
        *seen.lock().unwrap() = Some(Instant::now());
        async {}
    });
    let worker = shop
        .worker(events)
        .with_poll_interval(Duration::from_secs(3600));
    let _worker = worker.spawn().await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let received = Instant::now();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "*", JobState::Done).await;
    assert_eq!(started.lock().unwrap().unwrap(), received);
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_looks_no_more_often_than_its_poll_interval() {
    let shop = Shop::durable();
    let events = EventRouter::new().on("*", async || {});
    let _worker = shop.worker(events).spawn().await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let claims = shop.store.claims.load(Ordering::SeqCst);
    assert!((99..=103).contains(&claims), "{claims}");
}

#[tokio::test(start_paused = true)]
async fn handlers_see_what_the_inbox_kept() {
    let shop = Shop::durable();
    let log = Log::default();
    let events = EventRouter::new().on(
        "order.*",
        (|Extension(log): Extension<Log>, job: Job, event: Event<serde_json::Value>| async move {
            log.note(format!(
                "{} {} {} {} {:?}",
                job.endpoint(),
                job.handler(),
                event.event_type(),
                event.id(),
                job.delivery().headers().get("x-kept").unwrap(),
            ));
        })
        .named("keeper"),
    );
    let worker = shop.worker(events).with_extension(log.clone());
    let _worker = worker.spawn().await.unwrap();
    let mut event = NewEvent::new(
        "shop",
        fixtures::body("order.paid", "evt_9", "{}"),
        SystemTime::UNIX_EPOCH,
    );
    event.id = Some(Text::from("evt_9"));
    event.event_type = Some(Text::from("order.paid"));
    event.headers = Arc::from([(Text::from("x-kept"), bytes::Bytes::from_static(b"yes"))]);
    let seq = shop
        .committer
        .insert(event, ())
        .unwrap()
        .await
        .unwrap()
        .seq();
    shop.until(seq, "keeper", JobState::Done).await;
    assert_eq!(log.lines(), ["shop keeper order.paid evt_9 \"yes\""]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_inbox_cannot_store_is_told_in_other_words() {
    let shop = Shop::durable();
    *shop.store.forbidden.lock().unwrap() = Some("odd");
    let permanent = || async { Err::<(), _>(HandlerError::permanent("an odd order")) };
    let passing = || async { Err::<(), _>(HandlerError::retry_after(SECOND, "an odd order")) };
    let events = EventRouter::new()
        .on("*", permanent.named("permanent"))
        .on("*", passing.named("passing").retry(Retry::none()))
        .on("*", (|| async {}).named("fine"));
    let worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "fine", JobState::Done).await;
    for handler in ["permanent", "passing"] {
        let job = shop.until(seq, handler, JobState::Dead).await;
        let error = "the inbox could not store how the attempt ended";
        assert_eq!((job.attempts, job.last_error.as_deref()), (1, Some(error)));
    }
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_no_words_help_leaves_the_job_to_its_lease() {
    let shop = Shop::durable();
    // Stands in the other words too.
    *shop.store.forbidden.lock().unwrap() = Some("the attempt ended");
    let odd = || async { Err::<(), _>(HandlerError::msg("the attempt ended oddly")) };
    let events = EventRouter::new()
        .on("*", odd.named("odd").retry(Retry::none()))
        .on("*", (|| async {}).named("fine"));
    let worker = shop.worker(events).with_lease(SECOND * 60);
    let worker = worker.spawn().await.unwrap();
    let began = Instant::now();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "fine", JobState::Done).await;
    let job = shop.until(seq, "odd", JobState::Dead).await;
    assert!(began.elapsed() >= SECOND * 60, "when its lease had ended");
    assert_eq!(job.attempts, 2);
    let settles = shop.store.refused.load(Ordering::SeqCst);
    assert!(settles < 10, "and was not tried for ever: {settles}");
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_job_in_use_is_settled_later_and_no_other_waits_for_it() {
    let shop = Shop::durable();
    shop.store.busy.store(6, Ordering::SeqCst);
    let log = Log::default();
    let noting = log.clone();
    let events = EventRouter::new().on("*", move |job: Job| {
        noting.note(job.event_id().to_string());
        async {}
    });
    let worker = shop.worker(events).spawn().await.unwrap();
    let begun = Instant::now();
    let first = shop.receive("order.paid", "evt_1", "{}").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(shop.job(first, "*").await.state, JobState::Running);
    let second = shop.receive("order.paid", "evt_2", "{}").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(log.lines(), ["evt_1", "evt_2"], "claims go on");
    shop.until(first, "*", JobState::Done).await;
    let job = shop.until(second, "*", JobState::Done).await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(job.attempts, 1);
    assert_eq!(log.lines(), ["evt_1", "evt_2"], "neither ran again");

    // A drain waits for it, and does not spin.
    shop.store.busy.store(3, Ordering::SeqCst);
    let begun = Instant::now();
    let third = shop.receive("order.paid", "evt_3", "{}").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    worker.drain(20 * SECOND).await;
    assert_eq!(shop.job(third, "*").await.state, JobState::Done);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(4 + 8 + 16), "{waited:?}");
}
