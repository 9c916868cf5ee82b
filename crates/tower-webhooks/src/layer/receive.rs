//! Reads a body within its limits and verifies it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::sleep;
use tower_webhooks_core::{Delivery, RejectionKind, provider::Answer};
use tower_webhooks_inbox::BoxFuture;

use super::{
    budget::{ByteBudget, BytePermit},
    gate::{Admission, Claim, Gate},
    keys::Keys,
};

pin_project! {
    /// From a request's head and unread body to a delivery.
    pub(crate) struct Receive<B> {
        // Stays where it is until it is handed on: it is large.
        head: Option<Head>,
        #[pin]
        body: B,
        collected: Collected,
        // Set only when the body makes us wait: most bodies arrive with the head.
        stall: Option<BoxFuture<'static, RejectionKind>>,
    }
}

/// A request whose body is still coming.
struct Head {
    parts: Parts,
    admission: Admission,
}

/// An authentic request and the permit for its bytes.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) delivery: Delivery,
    pub(crate) permit: BytePermit,
}

/// How a request ends that brings nothing to take in.
pub(crate) enum Ending {
    Handshake(Answer),
    Refused(RejectionKind),
}

impl From<RejectionKind> for Ending {
    fn from(kind: RejectionKind) -> Self {
        Self::Refused(kind)
    }
}

impl<B: Body> Receive<B> {
    /// Reads what the gate admits.
    pub(crate) fn new(gate: &Gate, parts: Parts, body: B) -> Result<Self, RejectionKind> {
        let admission = gate.admit(&parts, &body.size_hint())?;
        Ok(Self {
            head: Some(Head { parts, admission }),
            body,
            collected: Collected::default(),
            stall: None,
        })
    }

    /// `gate` is the one that it was made with.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        gate: &Gate,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, Ending>> {
        let this = self.project();
        // Polled again after it was ready, there is nothing left to wait for.
        let Some(Head { admission, .. }) = this.head else {
            return Poll::Pending;
        };
        let keys = ready!(admission.keys(gate, cx))?;
        if matches!(admission.claim, Claim::Head) {
            return conclude(this.head, gate, &keys, Bytes::new());
        }
        let max = admission.claim.max_body_bytes(gate.limits);
        let read = read(this.body, this.collected, &mut admission.permit, max, cx);
        if read.is_pending() {
            let stall = this.stall.get_or_insert_with(|| {
                Box::pin(stall(gate.limits.body_deadline, gate.budget.clone()))
            });
            let kind = ready!(stall.as_mut().poll(cx));
            return Poll::Ready(Err(kind.into()));
        }
        ready!(read).map_err(|kind| match kind {
            RejectionKind::BodyTooLarge => admission.claim.too_large(),
            kind => kind,
        })?;
        if this.stall.is_some() {
            admission.at = gate.now();
        }
        let body = std::mem::take(this.collected).into_bytes();
        conclude(this.head, gate, &keys, body)
    }
}

fn conclude(
    head: &mut Option<Head>,
    gate: &Gate,
    keys: &Keys,
    body: Bytes,
) -> Poll<Result<Received, Ending>> {
    head.take().map_or(Poll::Pending, |head| {
        Poll::Ready(head.conclude(gate, keys, body))
    })
}

impl Head {
    /// Handshakes end here, whatever proves them, so that none is ever stored.
    fn conclude(self, gate: &Gate, keys: &Keys, body: Bytes) -> Result<Received, Ending> {
        let Self { parts, admission } = self;
        let at = admission.at;
        let screened = match &admission.claim {
            Claim::Signed(screened) => screened,
            Claim::Head => {
                let answer = keys.answer_head(&parts, at);
                return handshake(answer.unwrap_or(Err(RejectionKind::MethodNotAllowed)));
            }
            Claim::Unsigned(kind) => {
                let answer = keys.answer_unsigned(&body, at);
                return handshake(answer.unwrap_or(Err(*kind)));
            }
        };
        let delivery = gate.verify(keys, &parts, screened, body, at)?;
        if let Some(answer) = keys.answer_delivery(&delivery) {
            return handshake(answer);
        }
        let mut permit = admission.permit;
        if !permit.grow(delivery.restored_bytes()) {
            return Err(RejectionKind::Overloaded.into());
        }
        if !permit.enter() {
            return Err(RejectionKind::Draining.into());
        }
        Ok(Received {
            parts,
            delivery,
            permit,
        })
    }
}

fn handshake(answer: Result<Answer, RejectionKind>) -> Result<Received, Ending> {
    Err(answer.map_or_else(Ending::Refused, Ending::Handshake))
}

/// How long a body that makes us wait keeps its bytes even when others need
/// them. A sender that means well needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Frames that are taken in one go before other tasks, and the deadline, have
/// their turn.
const FRAMES_AT_ONCE: usize = 64;

/// Why a body is not waited for any longer.
async fn stall(deadline: Duration, budget: ByteBudget) -> RejectionKind {
    let dispensable = async {
        sleep(PATIENCE.min(deadline)).await;
        budget.pressed().await;
    };
    tokio::select! {
        () = sleep(deadline) => RejectionKind::BodyTimeout,
        () = dispensable => RejectionKind::Overloaded,
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
    let mut frames = 0_usize;
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
        frames += 1;
        if frames == FRAMES_AT_ONCE {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
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
