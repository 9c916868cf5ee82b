use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::body::Body;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tower_service::Service;
use tower_webhooks_core::RejectionKind;
use tower_webhooks_inbox::Reply;

use super::{
    decide::Decision,
    future::{answer_decided, reply_route},
    gate::Gate,
    intake::Storing,
    receive::{Receive, Received},
};

/// A whole endpoint, ready to mount: `route_service("/hooks", …)`. Answers
/// what the provider's preset says.
#[derive(Clone)]
#[must_use = "a service does nothing until it is mounted"]
pub struct EndpointService {
    gate: Arc<Gate>,
}

impl EndpointService {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

impl<ReqBody: http_body::Body> Service<Request<ReqBody>> for EndpointService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = EndpointFuture<ReqBody>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (parts, body) = request.into_parts();
        EndpointFuture {
            gate: Arc::clone(&self.gate),
            started: self.gate.accepting_since(),
            state: State::Receiving {
                receive: Receive::new(&self.gate, parts, body),
            },
        }
    }
}

impl fmt::Debug for EndpointService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointService")
            .field("gate", &self.gate)
            .finish()
    }
}

pin_project! {
    /// The answer of an [`EndpointService`].
    pub struct EndpointFuture<ReqBody> {
        gate: Arc<Gate>,
        started: Option<Instant>,
        #[pin]
        state: State<ReqBody>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<ReqBody> {
        Receiving { #[pin] receive: Receive<ReqBody> },
        Storing { storing: Storing },
        Deciding { decision: oneshot::Receiver<Result<Reply, RejectionKind>> },
    }
}

impl<ReqBody: http_body::Body> Future for EndpointFuture<ReqBody> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let refused = match this.state.as_mut().project() {
                StateProj::Receiving { receive } => match ready!(receive.poll(this.gate, cx)) {
                    Err(kind) => kind,
                    Ok(received) => {
                        if let Some(route) = reply_route(this.gate, &received) {
                            let decision = Decision::new(this.gate, route, received).spawn();
                            this.state.set(State::Deciding { decision });
                            continue;
                        }
                        match store(this.gate, received) {
                            Err(kind) => kind,
                            Ok(storing) => {
                                this.state.set(State::Storing { storing });
                                continue;
                            }
                        }
                    }
                },
                StateProj::Storing { storing } => match ready!(storing.poll(cx)) {
                    Err(kind) => kind,
                    Ok(()) => {
                        this.gate.meter.answered(*this.started);
                        return Poll::Ready(Ok(this.gate.answers.acknowledge()));
                    }
                },
                StateProj::Deciding { decision } => {
                    let decided = ready!(Pin::new(decision).poll(cx));
                    return Poll::Ready(Ok(answer_decided(this.gate, *this.started, decided)));
                }
            };
            return Poll::Ready(Ok(this.gate.refuse(refused)));
        }
    }
}

fn store(gate: &Gate, received: Received) -> Result<Storing, RejectionKind> {
    let Some(intake) = &gate.intake else {
        return Err(RejectionKind::InboxUnavailable);
    };
    let headers = &received.parts.headers;
    intake.store(&received.delivery, headers, received.permit)
}

impl<ReqBody> fmt::Debug for EndpointFuture<ReqBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointFuture")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
