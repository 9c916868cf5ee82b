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
    future::answer_decided,
    gate::Gate,
    intake::{Intake, Storing},
    receive::{Ending, Receive, Received},
};
use crate::endpoint::Opened;

/// A whole endpoint, ready to mount: `route_service("/hooks", …)`. Answers
/// what the provider's preset says.
#[derive(Clone)]
#[must_use = "a service does nothing until it is mounted"]
pub struct EndpointService {
    gate: Arc<Gate>,
    intake: Arc<Intake>,
}

impl EndpointService {
    pub(crate) fn new(opened: &Opened) -> Self {
        Self {
            gate: Arc::clone(&opened.gate),
            intake: Arc::clone(&opened.intake),
        }
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
            intake: Arc::clone(&self.intake),
            started: self.gate.accepting_since(),
            state: match Receive::new(&self.gate, parts, body) {
                Ok(receive) => State::Receiving { receive },
                Err(kind) => State::Ended {
                    ending: kind.into(),
                },
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
        intake: Arc<Intake>,
        started: Option<Instant>,
        #[pin]
        state: State<ReqBody>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<ReqBody> {
        Ended { ending: Ending },
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
            let next = match this.state.as_mut().project() {
                StateProj::Ended { ending } => {
                    return Poll::Ready(Ok(this.gate.end(ending)));
                }
                StateProj::Receiving { receive } => {
                    ready!(receive.poll(this.gate, cx)).and_then(|received| {
                        take_in(this.gate, this.intake, received).map_err(Ending::Refused)
                    })
                }
                StateProj::Storing { storing } => match ready!(storing.poll(cx)) {
                    Ok(()) => {
                        this.gate.meter.answered(*this.started);
                        return Poll::Ready(Ok(this.gate.answers.acknowledge()));
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

fn take_in<ReqBody>(
    gate: &Arc<Gate>,
    intake: &Arc<Intake>,
    received: Received,
) -> Result<State<ReqBody>, RejectionKind> {
    if let Some(route) = intake.reply_for(&received.delivery) {
        let decision = Decision::new(gate, intake, route.clone(), received).spawn();
        return Ok(State::Deciding { decision });
    }
    let headers = &received.parts.headers;
    let storing = intake.store(&received.delivery, headers, received.permit)?;
    Ok(State::Storing { storing })
}

impl<ReqBody> fmt::Debug for EndpointFuture<ReqBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointFuture")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
