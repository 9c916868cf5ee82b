//! What is seen of each request: what the library let in, and what it answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};
use tower_webhooks_core::{Delivery, Rejection};

use super::report::{Forwarded, Report, Verdict};
use crate::post::Poster;

/// Prints what comes, and passes on what was let in.
pub(super) struct Tap {
    forward: Option<Poster>,
    /// For those that are on their way to the app: each keeps its body.
    places: Semaphore,
    json: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How many requests came.
    requests: u64,
    tasks: JoinSet<()>,
}

/// What the library let in, with its headers as they came.
#[derive(Clone)]
struct Kept {
    delivery: Delivery,
    headers: HeaderMap,
}

/// Keeps what was let in with the answer that is proposed for it.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let kept = request.extensions().get::<Delivery>().map(|delivery| Kept {
        delivery: delivery.clone(),
        headers: request.headers().clone(),
    });
    let mut response = next.run(request).await;
    if let Some(kept) = kept {
        response.extensions_mut().insert(kept);
    }
    response
}

/// Says what a request is and is answered, and then passes it on. A sender that hangs up
/// changes nothing of that: what it sent may be stored.
pub(super) async fn look(State(tap): State<Arc<Tap>>, request: Request, next: Next) -> Response {
    let (answer, answered) = oneshot::channel();
    let looking = Arc::clone(&tap);
    tap.spawn(async move {
        let mut response = next.run(request).await;
        looking.tell(&mut response);
        // The sender may have hung up.
        let _ = answer.send(response);
    });
    let gone = |_| StatusCode::SERVICE_UNAVAILABLE.into_response();
    answered.await.unwrap_or_else(gone)
}

impl Tap {
    pub(super) fn new(forward: Option<Poster>, json: bool) -> Self {
        Self {
            forward,
            places: Semaphore::new(PLACES),
            json,
            known: Mutex::default(),
        }
    }

    /// Waits for all that is under way.
    pub(super) async fn finish(&self) {
        loop {
            // Those may bring others.
            let mut tasks = std::mem::take(&mut self.lock().tasks);
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    fn tell(self: &Arc<Self>, response: &mut Response) {
        let kept = response.extensions_mut().remove::<Kept>();
        let verdict = match (&kept, response.extensions().get::<Rejection>()) {
            (Some(kept), None) => Verdict::Authentic(kept.delivery.clone()),
            (_, Some(rejection)) => Verdict::Rejected(rejection.kind()),
            (None, None) => Verdict::Handshake,
        };
        let report = Report {
            request: self.next_number(),
            answered: response.status(),
            verdict,
        };
        report.print(self.json);
        // The provider does not wait for an app that is tried out.
        if let (Verdict::Authentic(_), Some(kept)) = (&report.verdict, kept)
            && self.forward.is_some()
        {
            let tap = Arc::clone(self);
            self.spawn(async move {
                if let Some(forwarded) = tap.forward(kept).await {
                    report.print_forwarded(&forwarded, tap.json);
                }
            });
        }
    }

    async fn forward(&self, kept: Kept) -> Option<Forwarded> {
        let poster = self.forward.as_ref()?;
        let Ok(_place) = self.places.try_acquire() else {
            let full = format!("the app has {PLACES} others to answer");
            return Some(Forwarded::Failed(full));
        };
        let Kept {
            delivery,
            mut headers,
        } = kept;
        for name in [
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ] {
            headers.remove(name);
        }
        let body = delivery.body().clone();
        Some(match poster.post(headers, body, None).await {
            Ok(answer) => Forwarded::Answered(answer.status),
            Err(failure) => Forwarded::Failed(failure.line().unwrap_or_default()),
        })
    }

    fn next_number(&self) -> u64 {
        let mut known = self.lock();
        known.requests = known.requests.saturating_add(1);
        known.requests
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut known = self.lock();
        while known.tasks.try_join_next().is_some() {}
        known.tasks.spawn(task);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider that is told 200 goes on sending, however slow the app is.
const PLACES: usize = 32;
