use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tower_webhooks_core::Text;

use crate::WebhooksBuilder;

/// One job that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// The endpoint.
    pub endpoint: Text,
    /// The handler's durable name.
    pub handler: Text,
    /// The event's type.
    pub event_type: Text,
    /// The event's id.
    pub event_id: Text,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Why it is dead; nothing where it is done.
    pub error: Option<String>,
}

/// The run that a job ended with: done and dead ones have the same fields.
macro_rules! run {
    ($job:expr, $error:expr) => {
        Run {
            endpoint: $job.endpoint.clone(),
            handler: $job.handler.clone(),
            event_type: $job.event_type.clone().unwrap_or_default(),
            event_id: $job.event_id.clone(),
            attempt: $job.attempt,
            error: $error,
        }
    };
}

/// Tells when handlers have run to their end: done, or dead. Clones share one
/// list.
#[derive(Debug, Clone)]
pub struct Runs {
    ended: mpsc::UnboundedSender<Run>,
    list: Arc<Mutex<mpsc::UnboundedReceiver<Run>>>,
}

impl Runs {
    /// A list that nothing writes to yet.
    #[must_use]
    pub fn new() -> Self {
        let (ended, list) = mpsc::unbounded_channel();
        Self {
            ended,
            list: Arc::new(Mutex::new(list)),
        }
    }

    /// Lets a receiver write to the list.
    pub fn watch(&self, webhooks: WebhooksBuilder) -> WebhooksBuilder {
        let (done, dead) = (self.ended.clone(), self.ended.clone());
        webhooks
            .on_done(move |job| {
                // The list may be gone before the receiver.
                let _ = done.send(run!(job, None));
            })
            .on_dead(move |job| {
                let _ = dead.send(run!(job, Some(job.error.to_string())));
            })
    }

    /// Waits for the next job to end. Put a time-out around it where it may
    /// never come.
    ///
    /// # Panics
    ///
    /// Never: the list holds its own end of the channel.
    #[expect(
        clippy::expect_used,
        reason = "the sender lives as long as the receiver"
    )]
    pub async fn next(&self) -> Run {
        let mut list = self.list.lock().await;
        list.recv().await.expect("the list keeps a sender")
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}
