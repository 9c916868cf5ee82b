//! What a user is told about ended jobs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tower_webhooks_core::Text;
use tower_webhooks_inbox::EventSeq;

use super::{attempt::event_id, trip::Finished};

/// What the types below have in common, written once.
macro_rules! ended_job {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub struct $name {
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
            /// Which attempt ended the job, from 1.
            pub attempt: u32,
            /// How long that attempt took; zero if the handler was not run.
            pub elapsed: Duration,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            pub(super) fn new(finished: &Finished, $($field: $type,)*) -> Self {
                let event = &finished.leased.event;
                Self {
                    endpoint: finished.lane.endpoint.clone(),
                    tenant: event.tenant.clone(),
                    handler: finished.lane.handler().clone(),
                    seq: event.seq,
                    event_type: event.event_type.clone(),
                    event_id: event_id(event),
                    attempt: finished.leased.attempt,
                    elapsed: finished.elapsed,
                    $($field,)*
                }
            }
        }
    };
}

ended_job! {
    /// A job that will not run again by itself.
    DeadJob {
        /// What the last attempt said: the chain of errors in one line.
        error: Text,
    }
}

ended_job! {
    /// A job whose handler succeeded.
    DoneJob {}
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
