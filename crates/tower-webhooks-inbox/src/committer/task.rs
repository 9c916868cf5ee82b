//! The tasks that write.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, watch};

use super::{
    CommitterOptions,
    request::{Answers, Request, too_short},
};
use crate::{Applied, Batch, Inbox, InboxError, InboxErrorKind};

/// One of those who write: each gathers what waits, one after another, and applies it
/// while the next one gathers.
pub(super) struct Task {
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) queues: Arc<Mutex<Queues>>,
    pub(super) wakeups: watch::Sender<u64>,
}

/// What waits.
pub(super) struct Queues {
    pub(super) options: CommitterOptions,
    pub(super) intake: mpsc::Receiver<Request>,
    pub(super) rest: mpsc::UnboundedReceiver<Request>,
    pub(super) close: watch::Receiver<bool>,
    pub(super) closing: bool,
    /// A second claim, kept for the next batch.
    pub(super) held: Option<Request>,
}

impl Task {
    pub(super) async fn run(mut self) {
        loop {
            // Given back before the commit, so that the next one gathers meanwhile.
            let gathered = self.queues.lock().await.gather().await;
            let Some(mut requests) = gathered else { break };
            for request in &mut requests {
                for event in request.events_mut() {
                    event.hash_body();
                }
            }
            self.commit(requests).await;
        }
    }

    /// Applies the requests, in one transaction if it can be.
    async fn commit(&mut self, requests: Vec<Request>) {
        let mut waiting = vec![requests];
        while let Some(mut requests) = waiting.pop() {
            let error = match apply(&*self.inbox, batch_of(&requests)).await {
                Ok(applied) => {
                    self.answer(requests, applied);
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                InboxErrorKind::Data if requests.len() > 1 => {
                    requests.sort_by_key(Request::rank);
                    let later = requests.split_off(requests.len() / 2);
                    waiting.push(later);
                    waiting.push(requests);
                }
                InboxErrorKind::Data => {
                    for request in requests {
                        self.commit_apart(request, &error).await;
                    }
                }
                InboxErrorKind::Full if requests.iter().any(|one| one.events().is_empty()) => {
                    let (intake, rest) = requests
                        .into_iter()
                        .partition::<Vec<_>, _>(|one| !one.events().is_empty());
                    // What finishes work makes room, so it must not fail with the intake.
                    if intake.is_empty() {
                        refuse(rest, &error);
                    } else {
                        refuse(intake, &error);
                        waiting.push(rest);
                    }
                }
                _ => refuse(requests, &error),
            }
        }
    }

    /// Does piece by piece what failed on its data alone. Who waits for an answer may
    /// be gone.
    async fn commit_apart(&mut self, request: Request, error: &InboxError) {
        match request {
            Request::Insert {
                event,
                stored,
                answer,
            } => {
                let apart = self.events_apart(vec![event], error).await;
                let inserted = apart.found.first().copied();
                if let Some(inserted) = inserted {
                    stored(inserted);
                }
                let _ = answer.send(inserted.ok_or_else(|| apart.error.unwrap_or_else(too_short)));
            }
            Request::InsertAll {
                events,
                stored,
                answer,
            } => {
                let apart = self.events_apart(events, error).await;
                if !apart.found.is_empty() {
                    stored(&apart.found);
                }
                let _ = answer.send(apart.error.map_or(Ok(apart.found), Err));
            }
            Request::Work {
                settles,
                extends,
                claim,
                answer,
            } => {
                let _ = answer.send(self.work_apart(settles, extends, claim).await);
            }
            Request::Record { .. } | Request::Register { .. } | Request::Reserve { .. } => {
                refuse(vec![request], error);
            }
        }
    }

    fn answer(&self, requests: Vec<Request>, applied: Applied) {
        let mut answers = Answers::new(applied);
        for request in requests {
            answers.give(request);
        }
        if answers.freed_work {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        super::wake(&self.wakeups);
    }
}

impl Queues {
    /// Waits for a request, and drains what waits with it, up to the limits. Whatever
    /// comes during the commit waits for the next one. `None` when there is no more to
    /// come.
    async fn gather(&mut self) -> Option<Vec<Request>> {
        let first = self.first().await?;
        let limits = self.options;
        let mut claims = first.claims();
        let mut bytes = weight_bytes(&first);
        let mut events = first.events().len().max(1);
        let mut requests = vec![first];
        while events < limits.max_batch_events && bytes < limits.max_batch_bytes {
            let Ok(request) = self.intake.try_recv() else {
                break;
            };
            events = events.saturating_add(request.events().len());
            bytes = bytes.saturating_add(weight_bytes(&request));
            requests.push(request);
        }
        // Counted apart, so that a full intake does not keep workers from settling.
        for _ in 0..limits.max_batch_events {
            let Ok(request) = self.rest.try_recv() else {
                break;
            };
            if claims && request.claims() {
                self.held = Some(request);
                break;
            }
            claims |= request.claims();
            requests.push(request);
        }
        Some(requests)
    }

    async fn first(&mut self) -> Option<Request> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        loop {
            tokio::select! {
                biased;
                _ = self.close.wait_for(|close| *close), if !self.closing => {
                    // Also when every handle is dropped: nobody can ask for more.
                    self.closing = true;
                    self.intake.close();
                    self.rest.close();
                }
                Some(request) = self.intake.recv() => return Some(request),
                Some(request) = self.rest.recv() => return Some(request),
                else => return None,
            }
        }
    }
}

fn batch_of(requests: &[Request]) -> Batch {
    let mut batch = Batch::default();
    for request in requests {
        request.add_to(&mut batch);
    }
    batch
}

pub(super) async fn apply(inbox: &dyn Inbox, batch: Batch) -> Result<Applied, InboxError> {
    let events = batch.inserts.len() + batch.reserves.len();
    if events > 0 {
        // Exact: a batch is far below 2^32 events.
        let events = u32::try_from(events).map_or(f64::MAX, f64::from);
        metrics::histogram!("webhooks_commit_batch_size").record(events);
    }
    // A store's panic must not end intake for good.
    AssertUnwindSafe(async { inbox.apply(batch).await })
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            Err(InboxError::new(
                InboxErrorKind::Unavailable,
                "the store panicked",
            ))
        })
}

fn weight_bytes(request: &Request) -> usize {
    let weights = request.events().iter().map(crate::NewEvent::weight_bytes);
    weights.fold(0, usize::saturating_add)
}

fn refuse(requests: Vec<Request>, error: &InboxError) {
    tracing::warn!(
        requests = requests.len(),
        kind = ?error.kind(),
        reason = std::error::Error::source(error).map(tracing::field::display),
        "the inbox refused a batch"
    );
    for request in requests {
        request.refuse(error.clone());
    }
}
