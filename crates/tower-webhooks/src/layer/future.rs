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
    intake::Storing,
    receive::{Receive, Received},
};
use crate::{ack::ThroughGate, answer, router::ReplyRoute};

pin_project! {
    /// The answer of a [`WebhookService`](super::WebhookService).
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
        Receiving { #[pin] receive: Receive<ReqBody> },
        // The inner service becomes ready for what is verified: before, an
        // unverified sender would hold its place.
        Waiting { waiting: Option<Waiting<Q>> },
        // The inner service proposes the answer.
        Proposing { #[pin] proposal: F, kept: Option<Kept> },
        // The answer waits until the event is durable.
        Storing { storing: Storing, proposed: Option<R> },
        Deciding { decision: oneshot::Receiver<Result<Reply, RejectionKind>> },
    }
}

/// A verified request and what is to be stored of it.
struct Waiting<Q> {
    request: Q,
    kept: Option<Kept>,
}

/// What is left to store once the inner service has agreed.
struct Kept {
    delivery: Delivery,
    headers: HeaderMap,
    permit: BytePermit,
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
            state: State::Receiving {
                receive: Receive::new(&gate, parts, body),
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
        loop {
            match this.state.as_mut().project() {
                StateProj::Receiving { receive } => {
                    let received = match ready!(receive.poll(this.gate, cx)) {
                        Ok(received) => received,
                        Err(kind) => return Poll::Ready(Ok(this.gate.refuse(kind))),
                    };
                    this.state.set(match reply_route(this.gate, &received) {
                        Some(route) => State::Deciding {
                            decision: Decision::new(this.gate, route, received).spawn(),
                        },
                        None => {
                            let (request, kept) = propose(this.gate, received);
                            let waiting = Some(Waiting { request, kept });
                            State::Waiting { waiting }
                        }
                    });
                }
                StateProj::Waiting { waiting } => {
                    ready!(this.inner.poll_ready(cx))?;
                    let Some(Waiting { request, kept }) = waiting.take() else {
                        return Poll::Ready(Ok(this.gate.refuse(RejectionKind::Draining)));
                    };
                    let proposal = this.inner.call(request);
                    this.state.set(State::Proposing { proposal, kept });
                }
                StateProj::Proposing { proposal, kept } => {
                    let proposed = ready!(proposal.poll(cx))?;
                    let intake = this.gate.intake.as_ref();
                    let (Some(intake), Some(kept)) = (intake, kept.take()) else {
                        return Poll::Ready(Ok(proposed));
                    };
                    if !proposed.status().is_success() {
                        return Poll::Ready(Ok(proposed));
                    }
                    match intake.store(&kept.delivery, &kept.headers, kept.permit) {
                        Ok(storing) => {
                            let proposed = Some(proposed);
                            this.state.set(State::Storing { storing, proposed });
                        }
                        Err(kind) => return Poll::Ready(Ok(this.gate.refuse(kind))),
                    }
                }
                StateProj::Storing { storing, proposed } => {
                    let stored = ready!(storing.poll(cx));
                    return Poll::Ready(Ok(match (stored, proposed.take()) {
                        (Ok(()), Some(proposed)) => {
                            this.gate.meter.answered(*this.started);
                            proposed
                        }
                        (Ok(()), None) => this.gate.answers.acknowledge(),
                        (Err(kind), _) => this.gate.refuse(kind),
                    }));
                }
                StateProj::Deciding { decision } => {
                    let decided = ready!(Pin::new(decision).poll(cx));
                    return Poll::Ready(Ok(answer_decided(this.gate, *this.started, decided)));
                }
            }
        }
    }
}

/// The delivery's reply handler, if it has one.
pub(super) fn reply_route(gate: &Gate, received: &Received) -> Option<ReplyRoute> {
    gate.intake.as_ref()?.reply_for(&received.delivery).cloned()
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
    let kept = gate.intake.is_some().then(|| Kept {
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
