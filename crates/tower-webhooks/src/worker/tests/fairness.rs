//! Slots, when there are not enough for all.

use std::num::NonZeroUsize;

use super::*;
use crate::{Handler, Job};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test(start_paused = true)]
async fn one_slot_serves_the_only_handler_with_jobs_without_pauses() {
    let shop = Shop::durable();
    // An even number of handlers, so that turns may miss each other.
    let idle = || async |_: Job| {};
    let events = EventRouter::new()
        .on("a", idle())
        .on("b", idle())
        .on("c", idle())
        .on("d", idle());
    let worker = shop.worker(events).with_concurrency(NonZeroUsize::MIN);
    let _worker = worker.spawn().await.unwrap();
    let mut last = shop.receive("d", "0", "{}").await;
    for id in 1..20 {
        last = shop.receive("d", &id.to_string(), "{}").await;
    }
    let received = Instant::now();
    shop.until(last, "d", JobState::Done).await;
    assert!(received.elapsed() < SECOND, "{:?}", received.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_slow_jobs_keeps_no_other_handler_waiting() {
    let shop = Shop::durable();
    let all = NonZeroUsize::new(256).unwrap();
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let flooded = move |_: Job| {
        let inside = inside.clone();
        async move { inside.visit(HOUR).await }
    };
    let events = EventRouter::new()
        .on("flood", flooded.timeout(2 * HOUR).concurrency(all))
        .on("other", async |_: Job| {});
    let _worker = shop.worker(events).spawn().await.unwrap();
    for id in 0..400 {
        shop.receive("flood", &id.to_string(), "{}").await;
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(crowd.most(), 255, "all slots but one");

    let claims = shop.store.claims.load(Ordering::SeqCst);
    tokio::time::sleep(60 * SECOND).await;
    let claims = shop.store.claims.load(Ordering::SeqCst) - claims;
    assert!(
        claims < 200,
        "{claims} claims in a minute, of which none could give a job"
    );

    let other = shop.receive("other", "first", "{}").await;
    let received = Instant::now();
    shop.until(other, "other", JobState::Done).await;
    assert!(received.elapsed() < SECOND, "{:?}", received.elapsed());
}
