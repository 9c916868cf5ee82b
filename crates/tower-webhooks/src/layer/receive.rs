//! Reads a body within its limits and verifies it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_webhooks_core::{Delivery, RejectionKind, Screened, Verifier};

use super::{
    budget::BytePermit,
    gate::{Admission, Gate, Verifying},
};

pin_project! {
    /// From a request's head and unread body to a delivery.
    pub(crate) struct Receive<B> {
        gate: Arc<Gate>,
        state: State,
        #[pin]
        body: B,
        collected: Collected,
        // Set only when the body makes us wait: most bodies arrive with the head.
        #[pin]
        deadline: Option<Sleep>,
    }
}

enum State {
    Finding(Parts, Admission),
    Reading(Parts, Screened, Arc<Verifier>, BytePermit),
    Refused(RejectionKind),
    Done,
}

/// An authentic request and the permit for its bytes.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) delivery: Delivery,
    pub(crate) permit: BytePermit,
}

impl<B: Body> Receive<B> {
    pub(crate) fn new(gate: Arc<Gate>, parts: Parts, body: B) -> Self {
        let state = match gate.admit(&parts, &body.size_hint()) {
            Ok(admission) => match admission.verifier {
                Verifying::Ready(verifier) => {
                    State::Reading(parts, admission.screened, verifier, admission.permit)
                }
                Verifying::Waiting(_) => State::Finding(parts, admission),
            },
            Err(kind) => State::Refused(kind),
        };
        Self {
            gate,
            state,
            body,
            collected: Collected::default(),
            deadline: None,
        }
    }
}

impl<B: Body> Future for Receive<B> {
    type Output = Result<Received, RejectionKind>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state {
                State::Finding(_, admission) => {
                    let Verifying::Waiting(lookup) = &mut admission.verifier else {
                        return Poll::Ready(Err(RejectionKind::SecretLookupFailed));
                    };
                    let found = ready!(lookup.as_mut().poll(cx));
                    let State::Finding(parts, admission) =
                        std::mem::replace(this.state, State::Done)
                    else {
                        return Poll::Ready(Err(RejectionKind::SecretLookupFailed));
                    };
                    *this.state = match found.and_then(|verifier| {
                        verifier
                            .admit(&admission.screened, this.gate.now())
                            .map_err(|rejection| rejection.kind())?;
                        Ok(verifier)
                    }) {
                        Ok(verifier) => {
                            State::Reading(parts, admission.screened, verifier, admission.permit)
                        }
                        Err(kind) => State::Refused(kind),
                    };
                }
                State::Reading(_, _, _, permit) => {
                    let read = read(
                        this.body.as_mut(),
                        this.collected,
                        permit,
                        this.gate.limits.max_body_bytes,
                        cx,
                    );
                    match read {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(kind)) => {
                            *this.state = State::Refused(kind);
                            continue;
                        }
                        Poll::Pending => {
                            if this.deadline.is_none() {
                                let deadline = sleep(this.gate.limits.body_deadline);
                                this.deadline.set(Some(deadline));
                            }
                            if let Some(deadline) = this.deadline.as_mut().as_pin_mut() {
                                ready!(deadline.poll(cx));
                            }
                            *this.state = State::Refused(RejectionKind::BodyTimeout);
                            continue;
                        }
                    }
                    let State::Reading(parts, screened, verifier, permit) =
                        std::mem::replace(this.state, State::Done)
                    else {
                        return Poll::Ready(Err(RejectionKind::BodyIncomplete));
                    };
                    let body = std::mem::take(this.collected).into_bytes();
                    return Poll::Ready(this.gate.verify(&verifier, &parts, &screened, body).map(
                        |delivery| Received {
                            parts,
                            delivery,
                            permit,
                        },
                    ));
                }
                State::Refused(kind) => {
                    let kind = *kind;
                    *this.state = State::Done;
                    return Poll::Ready(Err(kind));
                }
                // Polled again after it was ready: nothing is left to read.
                State::Done => return Poll::Ready(Err(RejectionKind::BodyIncomplete)),
            }
        }
    }
}

/// Counts each frame as it comes, whatever size was declared.
fn read<B: Body>(
    mut body: Pin<&mut B>,
    collected: &mut Collected,
    permit: &mut BytePermit,
    max: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), RejectionKind>> {
    while let Some(frame) = ready!(body.as_mut().poll_frame(cx)) {
        let frame = frame.map_err(|_| RejectionKind::BodyIncomplete)?;
        // Trailers are no headers: nothing is ever read from them.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let len = data.remaining();
        if len > max.saturating_sub(collected.len()) {
            return Poll::Ready(Err(RejectionKind::BodyTooLarge));
        }
        if !permit.grow(len) {
            return Poll::Ready(Err(RejectionKind::Overloaded));
        }
        collected.push(data);
    }
    Poll::Ready(Ok(()))
}

/// A body so far. One that came in one frame is not copied.
#[derive(Default)]
enum Collected {
    #[default]
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Collected {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, mut data: impl Buf) {
        let len = data.remaining();
        if len == 0 {
            return;
        }
        let bytes = data.copy_to_bytes(len);
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(bytes),
            Self::One(first) => {
                let mut many = BytesMut::from(first);
                many.extend_from_slice(&bytes);
                Self::Many(many)
            }
            Self::Many(mut many) => {
                many.extend_from_slice(&bytes);
                Self::Many(many)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}
