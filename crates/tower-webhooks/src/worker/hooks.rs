//! What a user is told about ended jobs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::EventSeq;

/// A job that will not run again by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeadJob {
    /// The endpoint that received the event.
    pub endpoint: Text,
    /// The tenant, at an endpoint with tenants.
    pub tenant: Option<Text>,
    /// The handler's durable name.
    pub handler: Text,
    /// The event's number in the inbox.
    pub seq: EventSeq,
    /// The event's type.
    pub event_type: Option<Text>,
    /// The event's id, as [`Job::event_id`](crate::Job::event_id).
    pub event_id: Text,
    /// Which attempt was the last, from 1.
    pub attempt: u32,
    /// How long that attempt took; zero if the handler was not run.
    pub elapsed: Duration,
    /// What it said: the chain of errors in one line.
    pub error: Text,
}

/// A job whose handler succeeded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DoneJob {
    /// The endpoint that received the event.
    pub endpoint: Text,
    /// The tenant, at an endpoint with tenants.
    pub tenant: Option<Text>,
    /// The handler's durable name.
    pub handler: Text,
    /// The event's number in the inbox.
    pub seq: EventSeq,
    /// The event's type.
    pub event_type: Option<Text>,
    /// The event's id, as [`Job::event_id`](crate::Job::event_id).
    pub event_id: Text,
    /// Which attempt succeeded, from 1.
    pub attempt: u32,
    /// How long that attempt took.
    pub elapsed: Duration,
}

type Hook<J> = Arc<dyn Fn(&J) + Send + Sync>;

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) dead: Vec<Hook<DeadJob>>,
    pub(super) done: Vec<Hook<DoneJob>>,
}

/// Calls every hook; one that panics keeps none of the others from it.
pub(super) fn call<J>(hooks: &[Hook<J>], job: impl FnOnce() -> J) {
    if hooks.is_empty() {
        return;
    }
    let job = job();
    for hook in hooks {
        if catch_unwind(AssertUnwindSafe(|| hook(&job))).is_err() {
            tracing::warn!("a worker's hook panicked");
        }
    }
}
