//! What one endpoint decides before a body is read, and after.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Method, header, request::Parts};
use http_body::SizeHint;
use tower_webhooks_core::{Clock, Delivery, Provider, RejectionKind, Screened, Text, Verifier};
use tower_webhooks_inbox::BoxFuture;

use super::{
    budget::{ByteBudget, BytePermit},
    intake::Intake,
    meter::Meter,
};
use crate::{answer::AnswerBook, source::Lookup};

/// One endpoint, ready for requests.
pub(crate) struct Gate {
    pub(crate) name: Text,
    pub(crate) provider: Arc<Provider>,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) budget: ByteBudget,
    pub(crate) meter: Arc<Meter>,
    pub(crate) answers: AnswerBook,
    /// Nothing where deliveries are only verified.
    pub(crate) intake: Option<Arc<Intake>>,
}

/// Where the secrets come from.
#[derive(Debug)]
pub(crate) enum Keyring {
    Fixed(Arc<Verifier>),
    Lookup(Lookup),
}

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_body_bytes: usize,
    pub(crate) body_deadline: Duration,
}

/// A request whose head passed.
pub(crate) struct Admission {
    pub(crate) screened: Screened,
    pub(crate) verifier: Verifying,
    pub(crate) permit: BytePermit,
    /// The time that it was compared with.
    pub(crate) at: SystemTime,
}

/// The verifier, or the lookup that will find it.
pub(crate) enum Verifying {
    Ready(Arc<Verifier>),
    Waiting(BoxFuture<'static, Result<Arc<Verifier>, RejectionKind>>),
}

impl Admission {
    /// Waits for the verifier where it is looked up, and for as long as that
    /// took compares the time again.
    pub(crate) fn verifier(
        &mut self,
        gate: &Gate,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<Verifier>, RejectionKind>> {
        let lookup = match &mut self.verifier {
            Verifying::Ready(verifier) => return Poll::Ready(Ok(Arc::clone(verifier))),
            Verifying::Waiting(lookup) => lookup,
        };
        let verifier = ready!(lookup.as_mut().poll(cx))?;
        self.at = gate.now();
        verifier
            .admit(&self.screened, self.at)
            .map_err(|rejection| rejection.kind())?;
        self.verifier = Verifying::Ready(Arc::clone(&verifier));
        Poll::Ready(Ok(verifier))
    }
}

impl Gate {
    /// Cheapest refusal first; nothing here touches the body.
    pub(crate) fn admit(&self, parts: &Parts, size: &SizeHint) -> Result<Admission, RejectionKind> {
        if parts.method != Method::POST {
            return Err(RejectionKind::MethodNotAllowed);
        }
        let now = self.clock.now();
        let screened = self
            .provider
            .screen(&parts.headers, now)
            .map_err(|rejection| rejection.kind())?;
        let verifier = match &self.keyring {
            Keyring::Fixed(verifier) => {
                verifier
                    .admit(&screened, now)
                    .map_err(|rejection| rejection.kind())?;
                Verifying::Ready(Arc::clone(verifier))
            }
            Keyring::Lookup(lookup) => Verifying::Waiting(lookup.start(parts)?),
        };
        if self.budget.is_refusing() {
            return Err(RejectionKind::Draining);
        }
        framing(&parts.headers)?;
        self.declared_size(&parts.headers, size)?;
        Ok(Admission {
            screened,
            verifier,
            permit: self.budget.permit(),
            at: now,
        })
    }

    /// Believes a declared size only where it is too large.
    fn declared_size(&self, headers: &HeaderMap, size: &SizeHint) -> Result<(), RejectionKind> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or(0)
            .max(size.lower());
        let max = u64::try_from(self.limits.max_body_bytes).unwrap_or(u64::MAX);
        if declared > max {
            return Err(RejectionKind::BodyTooLarge);
        }
        Ok(())
    }

    pub(crate) fn verify(
        &self,
        verifier: &Verifier,
        parts: &Parts,
        screened: &Screened,
        body: Bytes,
        now: SystemTime,
    ) -> Result<Delivery, RejectionKind> {
        let delivery = verifier
            .verify(parts.into(), screened, body, now)
            .map_err(|rejection| rejection.kind())?;
        self.meter.matched(delivery.secret_label(), now);
        Ok(delivery)
    }

    /// When a request came that may be accepted; where it is only verified,
    /// nothing is accepted and nobody asks how long that took.
    pub(crate) fn accepting_since(&self) -> Option<Instant> {
        self.intake.is_some().then(Instant::now)
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Counts a refusal and makes its answer.
    pub(crate) fn refuse<B: From<Bytes>>(&self, kind: RejectionKind) -> http::Response<B> {
        self.meter.rejected(kind);
        tracing::debug!(endpoint = %self.name, kind = kind.as_str(), "webhook refused");
        self.answers.refuse(kind)
    }
}

/// Two readers of an ambiguous message could see two bodies.
fn framing(headers: &HeaderMap) -> Result<(), RejectionKind> {
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        let only_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked")
            && headers.get_all(header::TRANSFER_ENCODING).iter().count() == 1;
        if !only_chunked || headers.contains_key(header::CONTENT_LENGTH) {
            return Err(RejectionKind::FramingAmbiguous);
        }
    }
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(RejectionKind::ContentEncodingUnsupported);
    }
    Ok(())
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("name", &self.name)
            .field("provider", &self.provider.name())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
