//! One event for one handler.

use std::{fmt, sync::Arc};

use http::Extensions;
use tower_webhooks_core::{Delivery, Text};
use tower_webhooks_inbox::{EventSeq, Work};

use crate::{HandlerError, transaction::Transaction};

/// Which try of a job this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// How often the handler is run at most, this try included.
    pub max: u32,
}

impl Attempt {
    pub(crate) fn new(number: u32, max: u32) -> Self {
        Self { number, max }
    }

    /// Whether the job is dead if this try fails.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.number >= self.max
    }
}

/// The lease that an attempt runs under: with the handler's name, what a statement
/// names that completes the job in a transaction of the handler's own; see the page
/// `more_than_one_machine` of [the guide](crate::guide), which feature `postgres` brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The event's number in the inbox.
    pub seq: EventSeq,
    /// Fences the lease: once another worker has the job, this is not its token any
    /// more.
    pub token: u64,
}

impl Lease {
    pub(crate) fn new(seq: EventSeq, token: u64) -> Self {
        Self { seq, token }
    }
}

/// One event for one handler, as an attempt sees it. Cloning is cheap.
///
/// Extractors ([`FromJob`](crate::FromJob)) take their part of it; a handler
/// may also take it whole.
#[derive(Clone)]
pub struct Job(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) delivery: Delivery,
    pub(crate) endpoint: Text,
    pub(crate) handler: Text,
    pub(crate) event_id: Text,
    pub(crate) attempt: Attempt,
    pub(crate) extensions: Extensions,
    pub(crate) lease: Option<Lease>,
    pub(crate) transaction: Transaction,
}

impl Job {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The delivery that carried the event.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.0.delivery
    }

    /// The endpoint that received it.
    #[must_use]
    pub fn endpoint(&self) -> &Text {
        &self.0.endpoint
    }

    /// The handler's durable name.
    #[must_use]
    pub fn handler(&self) -> &Text {
        &self.0.handler
    }

    /// The event's id: the provider's, or where it sends none the key that the
    /// inbox gave the event; that also where the id is not signed and was another
    /// body's before. The same in every attempt and every replay, so it serves as
    /// an idempotency key.
    #[must_use]
    pub fn event_id(&self) -> &Text {
        &self.0.event_id
    }

    /// Which try this is.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.0.attempt
    }

    /// The lease that it runs under; `None` where no job is settled: in reply
    /// handlers and, unless they say otherwise, in tests.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.0.lease
    }

    /// What the worker was given for its handlers, by type.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// The inbox's transaction for what this attempt writes, begun by the first
    /// call. When the handler succeeds, the worker commits it together with the
    /// job's completion; otherwise it is rolled back. For extractors, which know
    /// what the store put into it: they [take](Work::take) that, and
    /// [give it back](Work::give_back) before the handler returns.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached; permanent where it has no transactions
    /// for handlers, or no job is being settled, as in a reply handler.
    pub async fn transaction(&self) -> Result<&Work, HandlerError> {
        self.0.transaction.begin().await
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("endpoint", &self.0.endpoint)
            .field("handler", &self.0.handler)
            .field("event_id", &self.0.event_id)
            .field("attempt", &self.0.attempt)
            .field("delivery", &self.0.delivery)
            .finish_non_exhaustive()
    }
}
