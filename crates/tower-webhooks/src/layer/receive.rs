//! Reads a body within its limits and verifies it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_webhooks_core::{Delivery, RejectionKind};

use super::{
    budget::BytePermit,
    gate::{Admission, Gate, Verifying},
};

pin_project! {
    /// From a request's head and unread body to a delivery.
    pub(crate) struct Receive<B> {
        // Stays where it is until it is handed on: it is large.
        parts: Option<Parts>,
        admitted: Result<Admission, RejectionKind>,
        #[pin]
        body: B,
        collected: Collected,
        // Set only when the body makes us wait: most bodies arrive with the head.
        deadline: Option<Pin<Box<Sleep>>>,
    }
}

/// An authentic request and the permit for its bytes.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) delivery: Delivery,
    pub(crate) permit: BytePermit,
}

impl<B: Body> Receive<B> {
    pub(crate) fn new(gate: &Gate, parts: Parts, body: B) -> Self {
        Self {
            admitted: gate.admit(&parts, &body.size_hint()),
            parts: Some(parts),
            body,
            collected: Collected::default(),
            deadline: None,
        }
    }

    /// `gate` is the one that it was made with.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        gate: &Gate,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, RejectionKind>> {
        let this = self.project();
        let admission = match this.admitted {
            Ok(admission) => admission,
            Err(kind) => return Poll::Ready(Err(*kind)),
        };
        if let Verifying::Waiting(lookup) = &mut admission.verifier {
            let verifier = ready!(lookup.as_mut().poll(cx))?;
            admission.at = gate.now();
            verifier
                .admit(&admission.screened, admission.at)
                .map_err(|rejection| rejection.kind())?;
            admission.verifier = Verifying::Ready(verifier);
        }
        let max = gate.limits.max_body_bytes;
        let read = read(this.body, this.collected, &mut admission.permit, max, cx);
        if read.is_pending() {
            let deadline = this
                .deadline
                .get_or_insert_with(|| Box::pin(sleep(gate.limits.body_deadline)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(RejectionKind::BodyTimeout));
        }
        ready!(read)?;
        if this.deadline.is_some() {
            admission.at = gate.now();
        }
        // Polled again after it was ready, there is nothing left.
        let polled_again = Err(RejectionKind::BodyIncomplete);
        let (Some(parts), Ok(admission)) = (
            this.parts.take(),
            std::mem::replace(this.admitted, polled_again),
        ) else {
            return Poll::Ready(Err(RejectionKind::BodyIncomplete));
        };
        let Verifying::Ready(verifier) = admission.verifier else {
            return Poll::Ready(Err(RejectionKind::SecretLookupFailed));
        };
        let body = std::mem::take(this.collected).into_bytes();
        let delivery = gate.verify(&verifier, &parts, &admission.screened, body, admission.at)?;
        let mut permit = admission.permit;
        if !permit.enter() {
            return Poll::Ready(Err(RejectionKind::Draining));
        }
        Poll::Ready(Ok(Received {
            parts,
            delivery,
            permit,
        }))
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
