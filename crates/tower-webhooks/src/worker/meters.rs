//! What a worker measures.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use tokio::time::{MissedTickBehavior, interval};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::Inbox;

/// How often the inbox is asked for its counts.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// How an attempt ended, as a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Dead,
    Done,
    Lost,
    Panic,
    Retry,
    Timeout,
}

/// One handler's metrics, looked up once.
pub(super) struct Meters {
    pub(super) dead: Counter,
    pub(super) seconds: Histogram,
    attempts: [Counter; 6],
}

impl Meters {
    pub(super) fn of(endpoint: &Text, handler: &Text) -> Self {
        let (endpoint, handler) = (endpoint.to_string(), handler.to_string());
        let attempts = |outcome: &'static str| {
            metrics::counter!(
                "webhooks_attempts_total",
                "endpoint" => endpoint.clone(),
                "handler" => handler.clone(),
                "outcome" => outcome,
            )
        };
        Self {
            attempts: ["dead", "done", "lost", "panic", "retry", "timeout"].map(attempts),
            dead: metrics::counter!(
                "webhooks_dead_total",
                "endpoint" => endpoint.clone(),
                "handler" => handler.clone(),
            ),
            seconds: metrics::histogram!(
                "webhooks_handler_seconds",
                "endpoint" => endpoint.clone(),
                "handler" => handler.clone(),
            ),
        }
    }

    pub(super) fn attempt(&self, label: Label) {
        let [dead, done, lost, panic, retry, timeout] = &self.attempts;
        let counter = match label {
            Label::Dead => dead,
            Label::Done => done,
            Label::Lost => lost,
            Label::Panic => panic,
            Label::Retry => retry,
            Label::Timeout => timeout,
        };
        counter.increment(1);
    }
}

/// Keeps the gauges of the inbox up to date, until it is aborted.
pub(super) async fn watch(inbox: Arc<dyn Inbox>) {
    let mut ticks = interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let stats = match inbox.stats().await {
            Ok(stats) => stats,
            Err(error) => {
                tracing::debug!(%error, "the inbox did not say how much it holds");
                continue;
            }
        };
        for handler in &stats.handlers {
            metrics::gauge!(
                "webhooks_jobs_pending",
                "endpoint" => handler.endpoint.to_string(),
                "handler" => handler.handler.to_string(),
            )
            .set(count(handler.pending));
        }
        let oldest = stats.oldest_pending.unwrap_or_default();
        metrics::gauge!("webhooks_oldest_pending_seconds").set(oldest.as_secs_f64());
    }
}

/// Exact below 2^32, which is beyond what an inbox holds.
fn count(jobs: u64) -> f64 {
    f64::from(u32::try_from(jobs).unwrap_or(u32::MAX))
}
