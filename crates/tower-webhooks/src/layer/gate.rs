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
use tower_webhooks_core::{
    Clock, Delivery, Handshaker, Provider, RejectionKind, Screened, Text, provider::Handshake,
};
use tower_webhooks_inbox::BoxFuture;

use super::{
    budget::{ByteBudget, BytePermit},
    intake::Intake,
    keys::Keys,
    meter::Meter,
    receive::Ending,
};
use crate::{
    answer::{self, AnswerBook},
    source::Lookup,
};

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
    Fixed(Arc<Keys>),
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
    pub(crate) claim: Claim,
    pub(crate) keys: Finding,
    pub(crate) permit: BytePermit,
    /// The time that it was compared with.
    pub(crate) at: SystemTime,
}

/// What a request is, as far as its head says.
pub(crate) enum Claim {
    /// A handshake that the head is: its body is not read.
    Head,
    /// Signed, or with its signature in the body.
    Signed(Screened),
    /// A handshake without a signature, or else refused for this.
    Unsigned(RejectionKind),
}

/// The keys, or the lookup that will find them.
pub(crate) enum Finding {
    Ready(Arc<Keys>),
    Waiting(BoxFuture<'static, Result<Arc<Keys>, RejectionKind>>),
}

impl Claim {
    /// What can be refused with the keys and without the body.
    fn admit(&self, keys: &Keys, now: SystemTime) -> Result<(), RejectionKind> {
        match self {
            Self::Head | Self::Unsigned(_) => Ok(()),
            Self::Signed(screened) => keys
                .verifier
                .admit(screened, now)
                .map_err(|rejection| rejection.kind()),
        }
    }

    /// How many bytes of the body are read.
    pub(crate) fn max_body_bytes(&self, limits: Limits) -> usize {
        match self {
            Self::Head | Self::Signed(_) => limits.max_body_bytes,
            Self::Unsigned(_) => limits
                .max_body_bytes
                .min(Handshaker::MAX_UNSIGNED_BODY_BYTES),
        }
    }

    /// Why a body with more is refused.
    pub(crate) const fn too_large(&self) -> RejectionKind {
        match self {
            Self::Head | Self::Signed(_) => RejectionKind::BodyTooLarge,
            Self::Unsigned(kind) => *kind,
        }
    }
}

impl Admission {
    /// Waits for the keys where they are looked up, and for as long as that took
    /// compares the time again.
    pub(crate) fn keys(
        &mut self,
        gate: &Gate,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<Keys>, RejectionKind>> {
        let lookup = match &mut self.keys {
            Finding::Ready(keys) => return Poll::Ready(Ok(Arc::clone(keys))),
            Finding::Waiting(lookup) => lookup,
        };
        let keys = ready!(lookup.as_mut().poll(cx))?;
        self.at = gate.now();
        self.claim.admit(&keys, self.at)?;
        self.keys = Finding::Ready(Arc::clone(&keys));
        Poll::Ready(Ok(keys))
    }
}

impl Gate {
    /// Cheapest refusal first; nothing here touches the body.
    pub(crate) fn admit(&self, parts: &Parts, size: &SizeHint) -> Result<Admission, RejectionKind> {
        let now = self.clock.now();
        let claim = self.claim(parts, now)?;
        let keys = match &self.keyring {
            Keyring::Fixed(keys) => {
                claim.admit(keys, now)?;
                Finding::Ready(Arc::clone(keys))
            }
            Keyring::Lookup(lookup) => Finding::Waiting(lookup.start(parts)?),
        };
        if self.budget.is_refusing() {
            return Err(RejectionKind::Draining);
        }
        framing(&parts.headers)?;
        self.coding(&parts.headers)?;
        self.declared_size(&claim, &parts.headers, size)?;
        Ok(Admission {
            claim,
            keys,
            permit: self.budget.permit(),
            at: now,
        })
    }

    fn claim(&self, parts: &Parts, now: SystemTime) -> Result<Claim, RejectionKind> {
        let handshakes = self.provider.handshakes();
        let is_asked = |one: &Handshake| one.is_asked_by(&parts.method, &parts.uri);
        if handshakes.iter().any(is_asked) {
            return Ok(Claim::Head);
        }
        if parts.method != Method::POST {
            return Err(RejectionKind::MethodNotAllowed);
        }
        match self.provider.screen(&parts.headers, now) {
            Ok(screened) => Ok(Claim::Signed(screened)),
            Err(rejection) => match rejection.kind() {
                kind @ RejectionKind::SignatureMissing
                    if handshakes.iter().any(Handshake::has_body_token) =>
                {
                    Ok(Claim::Unsigned(kind))
                }
                kind => Err(kind),
            },
        }
    }

    /// Refuses a coding that the provider does not declare.
    fn coding(&self, headers: &HeaderMap) -> Result<(), RejectionKind> {
        if let Some(compression) = self.provider.compression() {
            compression.coding(headers)?;
            return Ok(());
        }
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(RejectionKind::ContentEncodingUnsupported);
        }
        Ok(())
    }

    /// Believes a declared size only where it is too large.
    fn declared_size(
        &self,
        claim: &Claim,
        headers: &HeaderMap,
        size: &SizeHint,
    ) -> Result<(), RejectionKind> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or(0)
            .max(size.lower());
        let max = u64::try_from(claim.max_body_bytes(self.limits)).unwrap_or(u64::MAX);
        if declared > max {
            return Err(claim.too_large());
        }
        Ok(())
    }

    pub(crate) fn verify(
        &self,
        keys: &Keys,
        parts: &Parts,
        screened: &Screened,
        body: Bytes,
        now: SystemTime,
    ) -> Result<Delivery, RejectionKind> {
        let delivery = keys
            .verifier
            .verify(parts.into(), screened, body, now)
            .map_err(|rejection| rejection.kind())?;
        self.meter.matched(&delivery, now);
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

    /// The answer to a request that brought nothing to take in.
    pub(crate) fn end<B: From<Bytes>>(&self, ending: &Ending) -> http::Response<B> {
        match ending {
            Ending::Handshake(answer) => {
                self.meter.handshake();
                tracing::debug!(endpoint = %self.name, "webhook handshake answered");
                answer::handshake(answer)
            }
            Ending::Refused(kind) => self.refuse(*kind),
        }
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
