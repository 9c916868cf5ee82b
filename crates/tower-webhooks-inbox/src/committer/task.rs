//! The task that writes.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use super::{
    CommitterOptions,
    request::{Answers, Request},
};
use crate::{Applied, Batch, Inbox, InboxError, InboxErrorKind};

pub(super) struct Task {
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) options: CommitterOptions,
    pub(super) intake: mpsc::Receiver<Request>,
    pub(super) rest: mpsc::UnboundedReceiver<Request>,
    /// A second claim, kept for the next batch.
    pub(super) held: Option<Request>,
    pub(super) wakeups: watch::Sender<u64>,
}

impl Task {
    pub(super) async fn run(mut self, mut close: watch::Receiver<bool>) {
        let mut closing = false;
        loop {
            let first = match self.held.take() {
                Some(held) => Some(held),
                None => tokio::select! {
                    biased;
                    _ = close.wait_for(|close| *close), if !closing => {
                        // Also when every handle is dropped: nobody can ask for more.
                        closing = true;
                        self.intake.close();
                        self.rest.close();
                        continue;
                    }
                    Some(request) = self.intake.recv() => Some(request),
                    Some(request) = self.rest.recv() => Some(request),
                    else => None,
                },
            };
            let Some(first) = first else { break };
            let requests = self.gather(first);
            self.commit(requests).await;
        }
    }

    /// Drains what waits, up to the limits. Whatever comes during the commit
    /// waits for the next one.
    fn gather(&mut self, first: Request) -> Vec<Request> {
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
        for request in &mut requests {
            for event in request.events_mut() {
                event.hash_body();
            }
        }
        requests
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
                InboxErrorKind::Data => match requests.pop() {
                    Some(Request::Work {
                        settles,
                        extends,
                        claim,
                        answer,
                    }) => {
                        let worked = self.work_apart(settles, extends, claim).await;
                        // Nobody may be waiting.
                        let _ = answer.send(worked);
                    }
                    other => refuse(other.into_iter().collect(), &error),
                },
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
