use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tower_service::Service;
use tower_webhooks_core::{Delivery, RejectionKind};
use tower_webhooks_inbox::Reply;

use super::{
    budget::BytePermit,
    decide::Decision,
    gate::Gate,
    intake::{Intake, Storing},
    receive::{Ending, Receive, Received},
};
use crate::{ack::ThroughGate, answer};

pin_project! {
    /// The answer of a [`WebhookService`](crate::WebhookService).
    pub struct ResponseFuture<S, B, ReqBody>
    where
        S: Service<Request<B>>,
    {
        gate: Arc<Gate>,
        started: Option<Instant>,
        inner: S,
        #[pin]
        state: State<S::Future, S::Response, Request<B>, ReqBody>,
        inner_body: PhantomData<fn() -> B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R, Q, ReqBody> {
        Ended { ending: Ending },
        Receiving { #[pin] receive: Receive<ReqBody> },
        // The inner service becomes ready for what is verified: before, an
        // unverified sender would hold its place.
        Waiting { request: Option<Q>, kept: Option<Kept> },
        // The inner service proposes the answer.
        Proposing { #[pin] proposal: F, kept: Option<Kept> },
        // The answer waits until the event is durable.
        Storing { storing: Storing, proposed: Option<R> },
        Deciding { decision: oneshot::Receiver<Result<Reply, RejectionKind>> },
    }
}

/// What is left to store once the inner service has agreed.
struct Kept {
    intake: Arc<Intake>,
    delivery: Delivery,
    headers: HeaderMap,
    permit: BytePermit,
}

impl Kept {
    fn store(self) -> Result<Storing, RejectionKind> {
        self.intake
            .store(&self.delivery, &self.headers, self.permit)
    }
}

impl<S, B, ReqBody> ResponseFuture<S, B, ReqBody>
where
    S: Service<Request<B>>,
    ReqBody: http_body::Body,
{
    pub(super) fn new(inner: S, gate: Arc<Gate>, parts: Parts, body: ReqBody) -> Self {
        Self {
            started: gate.accepting_since(),
            inner,
            state: match Receive::new(&gate, parts, body) {
                Ok(receive) => State::Receiving { receive },
                Err(kind) => State::Ended {
                    ending: kind.into(),
                },
            },
            gate,
            inner_body: PhantomData,
        }
    }
}

impl<S, B, ReqBody, ResBody> Future for ResponseFuture<S, B, ReqBody>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: From<Bytes>,
    ReqBody: http_body::Body,
    ResBody: From<Bytes>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // What was taken is missing only where the answer was given already: a
        // future that is polled again then has nothing more to say.
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Ended { ending } => {
                    return Poll::Ready(Ok(this.gate.end(ending)));
                }
                StateProj::Receiving { receive } => {
                    ready!(receive.poll(this.gate, cx)).map(|received| take_in(this.gate, received))
                }
                StateProj::Waiting { request, kept } => {
                    ready!(this.inner.poll_ready(cx))?;
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let proposal = this.inner.call(request);
                    let kept = kept.take();
                    Ok(State::Proposing { proposal, kept })
                }
                StateProj::Proposing { proposal, kept } => {
                    let proposed = ready!(proposal.poll(cx))?;
                    match kept.take() {
                        Some(kept) if proposed.status().is_success() => kept
                            .store()
                            .map(|storing| State::Storing {
                                storing,
                                proposed: Some(proposed),
                            })
                            .map_err(Ending::Refused),
                        _ => return Poll::Ready(Ok(proposed)),
                    }
                }
                StateProj::Storing { storing, proposed } => match ready!(storing.poll(cx)) {
                    Ok(()) => {
                        let Some(proposed) = proposed.take() else {
                            return Poll::Pending;
                        };
                        this.gate.meter.answered(*this.started);
                        return Poll::Ready(Ok(proposed));
                    }
                    Err(kind) => Err(Ending::Refused(kind)),
                },
                StateProj::Deciding { decision } => {
                    let decided = ready!(Pin::new(decision).poll(cx));
                    return Poll::Ready(Ok(answer_decided(this.gate, *this.started, decided)));
                }
            };
            this.state
                .set(next.unwrap_or_else(|ending| State::Ended { ending }));
        }
    }
}

/// What follows for an authentic request.
fn take_in<F, R, B: From<Bytes>, ReqBody>(
    gate: &Arc<Gate>,
    received: Received,
) -> State<F, R, Request<B>, ReqBody> {
    if let Some(intake) = &gate.intake
        && let Some(route) = intake.reply_for(&received.delivery)
    {
        let decision = Decision::new(gate, intake, route.clone(), received).spawn();
        return State::Deciding { decision };
    }
    let (request, kept) = propose(gate, received);
    let request = Some(request);
    State::Waiting { request, kept }
}

pub(super) fn answer_decided<B: From<Bytes>>(
    gate: &Gate,
    started: Option<Instant>,
    decided: Result<Result<Reply, RejectionKind>, oneshot::error::RecvError>,
) -> Response<B> {
    match decided {
        Ok(Ok(reply)) => {
            gate.meter.answered(started);
            answer::decided(reply)
        }
        Ok(Err(kind)) => gate.refuse(kind),
        // The task was lost with its runtime.
        Err(_) => gate.refuse(RejectionKind::Draining),
    }
}

/// The request as the inner service sees it: the same head, the verified body.
fn propose<B: From<Bytes>>(gate: &Arc<Gate>, received: Received) -> (Request<B>, Option<Kept>) {
    let Received {
        mut parts,
        delivery,
        permit,
    } = received;
    let kept = gate.intake.as_ref().map(|intake| Kept {
        intake: Arc::clone(intake),
        delivery: delivery.clone(),
        headers: parts.headers.clone(),
        permit,
    });
    let body = B::from(delivery.body().clone());
    parts.extensions.insert(delivery);
    if kept.is_some() {
        parts.extensions.insert(ThroughGate(Arc::clone(gate)));
    }
    (Request::from_parts(parts, body), kept)
}

impl<S, B, ReqBody> fmt::Debug for ResponseFuture<S, B, ReqBody>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
