//! What a worker measures.

use std::{collections::HashSet, sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use tokio::time::{MissedTickBehavior, interval};
use tower_webhooks_core::Text;
use tower_webhooks_inbox::{HandlerStats, Inbox};

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
    let mut orphans = HashSet::new();
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
            metrics::gauge!(
                "webhooks_jobs_orphaned",
                "endpoint" => handler.endpoint.to_string(),
                "handler" => handler.handler.to_string(),
            )
            .set(count(handler.orphaned()));
        }
        warn_of_orphans(&stats.handlers, &mut orphans);
        let oldest = stats.oldest_pending.unwrap_or_default();
        metrics::gauge!("webhooks_oldest_pending_seconds").set(oldest.as_secs_f64());
    }
}

/// Says once of each handler that its jobs wait for nobody.
fn warn_of_orphans(handlers: &[HandlerStats], known: &mut HashSet<(Text, Text)>) {
    for handler in handlers {
        let name = (handler.endpoint.clone(), handler.handler.clone());
        let orphaned = handler.orphaned();
        if orphaned == 0 {
            known.remove(&name);
        } else if known.insert(name) {
            tracing::warn!(
                endpoint = %handler.endpoint,
                handler = %handler.handler,
                jobs = orphaned,
                "no worker has asked for this handler's jobs for a minute: register it again \
                 under this name, or erase their events"
            );
        }
    }
}

/// Exact below 2^32, which is beyond what an inbox holds.
fn count(jobs: u64) -> f64 {
    f64::from(u32::try_from(jobs).unwrap_or(u32::MAX))
}
