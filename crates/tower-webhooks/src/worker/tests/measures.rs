//! What a worker measures.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use tower_webhooks_inbox::{Pattern, Registration};

use super::*;
use crate::{Handler, HandlerError, Retry};

/// Keeps the sum of every metric, by name and labels.
#[derive(Debug, Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

struct Sum(Sums, String);

impl Sum {
    fn of(sums: &Sums, key: &Key) -> Arc<Self> {
        let labels = key.labels().map(|label| label.value()).collect::<Vec<_>>();
        Arc::new(Self(
            sums.clone(),
            format!("{} {}", key.name(), labels.join(" ")),
        ))
    }

    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Sum {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Sum::of(self, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Sum::of(self, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Sum::of(self, key))
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_how_it_ended() {
    let sums = Sums::default();
    let _recorder = metrics::set_default_local_recorder(&sums);
    let shop = Shop::durable();
    let twice = Retry::fixed(SECOND).max_attempts(NonZeroU32::new(2).unwrap());
    let events = EventRouter::new()
        .on(
            "*",
            (async || tokio::time::sleep(3 * SECOND).await).named("fine"),
        )
        .on(
            "*",
            (async || Err::<(), _>(HandlerError::msg("no")))
                .named("errs")
                .retry(twice),
        )
        .on(
            "*",
            (async || assert_eq!(1, 2)).named("panics").retry(twice),
        )
        .on(
            "*",
            std::future::pending::<()>
                .named("hangs")
                .retry(twice)
                .timeout(SECOND),
        )
        .on(
            "*",
            (async || Err::<(), _>(HandlerError::retry_after(Duration::from_secs(9999), "no")))
                .named("waits"),
        );
    let _worker = shop.worker(events).spawn().await.unwrap();
    let seq = shop.receive("order.paid", "evt_1", "{}").await;
    shop.until(seq, "fine", JobState::Done).await;
    for handler in ["errs", "panics", "hangs"] {
        shop.until(seq, handler, JobState::Dead).await;
    }
    tokio::time::sleep(10 * SECOND).await;
    let sums = sums.0.lock().unwrap();
    for (key, sum) in [
        ("webhooks_attempts_total shop fine done", 1.0),
        ("webhooks_attempts_total shop errs retry", 1.0),
        ("webhooks_attempts_total shop errs dead", 1.0),
        ("webhooks_attempts_total shop panics panic", 2.0),
        ("webhooks_attempts_total shop hangs timeout", 2.0),
        ("webhooks_attempts_total shop waits retry", 1.0),
        ("webhooks_dead_total shop errs", 1.0),
        ("webhooks_dead_total shop panics", 1.0),
        ("webhooks_dead_total shop hangs", 1.0),
        ("webhooks_jobs_pending shop waits", 1.0),
        ("webhooks_jobs_pending shop fine", 0.0),
    ] {
        assert_eq!(sums.get(key), Some(&sum), "{key}: {sums:?}");
    }
    assert_eq!(sums.get("webhooks_dead_total shop fine"), None);
    let seconds = sums["webhooks_handler_seconds shop fine"];
    assert!((3.0..3.1).contains(&seconds), "{seconds}");
    let oldest = sums["webhooks_oldest_pending_seconds "];
    assert!(oldest > 5.0, "{oldest}");
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_handler_that_no_worker_has_are_orphaned_and_those_of_a_busy_one_are_not() {
    let sums = Sums::default();
    let _recorder = metrics::set_default_local_recorder(&sums);
    let shop = Shop::durable();
    let gone = Registration {
        endpoint: Text::from("shop"),
        handler: Text::from("gone"),
        pattern: Pattern::all(),
        fallback: false,
        ordering: tower_webhooks_inbox::Ordering::None,
    };
    let registered = shop.committer.register(vec![gone]).unwrap();
    registered.await.unwrap();
    let busy = std::future::pending::<()>
        .named("busy")
        .timeout(3_600 * SECOND)
        .concurrency(NonZeroUsize::MIN);
    let _worker = shop
        .worker(EventRouter::new().on("*", busy))
        .spawn()
        .await
        .unwrap();
    for id in ["evt_1", "evt_2"] {
        shop.receive("order.paid", id, "{}").await;
    }
    let gauges = || {
        let sums = sums.0.lock().unwrap();
        ["gone", "busy"].map(|handler| sums[&format!("webhooks_jobs_orphaned shop {handler}")])
    };
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(gauges(), [2.0, 0.0]);
    assert_eq!(
        sums.0.lock().unwrap()["webhooks_jobs_pending shop busy"],
        1.0
    );
}
