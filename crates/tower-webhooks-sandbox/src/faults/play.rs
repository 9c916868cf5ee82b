//! Plays a fault and judges the answers.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_webhooks_core::{
    Clock, Provider, Secret, SecretPair, SystemClock,
    provider::{BodyFormat, Opens, Place, Scheme, SentValue},
};

use super::{
    Exchange, Fault, Played, alter,
    wire::{Reply, Step, Target},
};
use crate::{Draft, EventSigner, Trigger, TriggerError, event::Outgoing, text::new_random};

/// How old a stale signature is. Older than any tolerance that is documented.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Larger than anything that a provider is known to send, and than the limit of
/// most receivers.
const DEFAULT_OVERSIZE_BYTES: usize = 16 << 20;

/// In how many pieces a slow body comes, and how long after each other.
const SLOW_PIECES: usize = 12;
const SLOW_PAUSE: Duration = Duration::from_millis(100);

/// Plays faults as one provider, to one receiver.
#[derive(Debug, Clone)]
pub struct FaultPlayer {
    provider: Arc<Provider>,
    secret: Secret,
    payload_secret: Option<Secret>,
    public_url: String,
    target: Target,
    timeout: Duration,
    oversize_bytes: usize,
    clock: Arc<dyn Clock>,
}

/// Why a fault could not be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// There is no sample, or the body is none of that type.
    #[error(transparent)]
    Event(#[from] TriggerError),
    /// The event cannot be signed.
    #[error("the event cannot be signed: {0}")]
    Sign(String),
    /// Faults are played over plain HTTP.
    #[error("faults are played over http: give a URL such as http://127.0.0.1:3000/hook")]
    Url,
}

/// An event, signed and ready to go: sent twice, it is the same event twice.
///
/// `Debug` prints the body's length in place of the body.
#[derive(Clone)]
pub struct Prepared {
    draft: Draft,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl FaultPlayer {
    /// As that provider, with its right secret (or private key), to that `http`
    /// URL.
    ///
    /// # Errors
    ///
    /// [`FaultError::Url`] when it is no such URL.
    pub fn new(
        provider: impl Into<Arc<Provider>>,
        secret: Secret,
        url: impl Into<String>,
    ) -> Result<Self, FaultError> {
        let url = url.into();
        Ok(Self {
            provider: provider.into(),
            secret,
            payload_secret: None,
            target: Target::parse(&url).ok_or(FaultError::Url)?,
            public_url: url,
            timeout: Duration::from_secs(30),
            oversize_bytes: DEFAULT_OVERSIZE_BYTES,
            clock: Arc::new(SystemClock),
        })
    }

    /// Encrypts payloads with this secret, for providers that have one of its
    /// own for that.
    #[must_use]
    pub fn with_payload_secret(mut self, secret: Secret) -> Self {
        self.payload_secret = Some(secret);
        self
    }

    /// Replaces the URL that is signed, where the provider signs it. The default
    /// is the one that is called.
    #[must_use]
    pub fn with_public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = url.into();
        self
    }

    /// Replaces how long an answer is waited for. The default is 30 s, which is
    /// what providers do who say so.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Replaces the size of [`Fault::Oversize`]. The default is 16 MiB.
    #[must_use]
    pub const fn with_oversize_bytes(mut self, bytes: usize) -> Self {
        self.oversize_bytes = bytes;
        self
    }

    /// Replaces the clock that dates signatures. The default is the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sends the event as it should be: what every fault is compared with.
    ///
    /// # Errors
    ///
    /// [`FaultError`] when the event cannot be made or signed.
    pub async fn play_none(&self, event: &Trigger) -> Result<Reply, FaultError> {
        let whole = self.prepare(event)?;
        Ok(self.send(&whole).await)
    }

    /// Plays a fault with new events of that kind.
    ///
    /// # Errors
    ///
    /// [`FaultError`] when the event cannot be made or signed.
    pub async fn play(&self, fault: Fault, event: &Trigger) -> Result<Played, FaultError> {
        if let Some(why) = self.cannot(fault) {
            return Ok(Played::not_applicable(fault, why));
        }
        Ok(match self.exchanges(fault, event).await? {
            Some(exchanges) => Played::judged(&self.provider, fault, exchanges),
            None => Played::not_applicable(fault, "this event has no place for it"),
        })
    }

    /// A new event of that kind, signed.
    ///
    /// # Errors
    ///
    /// [`FaultError`] when the event cannot be made or signed.
    pub fn prepare(&self, event: &Trigger) -> Result<Prepared, FaultError> {
        let event = Outgoing::new(&self.provider, event)?;
        self.sign(event.draft, self.clock.now())
    }

    /// Sends what was prepared, as it is.
    pub async fn send(&self, prepared: &Prepared) -> Reply {
        let [head, body] = self.parts(prepared);
        let steps = [Step::Send(head), Step::Send(body)];
        self.target.exchange(&steps, self.timeout).await
    }

    /// Whether anybody takes connections there.
    pub async fn is_there(&self) -> bool {
        self.target.is_there(self.timeout).await
    }

    /// Why this provider cannot send such a thing.
    fn cannot(&self, fault: Fault) -> Option<&'static str> {
        let (scheme, envelope) = (self.provider.scheme(), self.provider.envelope());
        let type_in_body = || {
            let mut places = envelope.event_type().places();
            places.any(|place| matches!(place, Place::Pointer(_)))
        };
        let type_twice = || {
            let mut sent = self.provider.also_sent().iter();
            sent.any(|sent| sent.value == SentValue::EventType)
        };
        let is_form = envelope.format() == BodyFormat::Form;
        match fault {
            Fault::DuplicateKeys if !type_in_body() => Some("it sends no type in the body"),
            Fault::InvalidJson if is_form => Some("it sends no JSON"),
            Fault::InvalidJson if alter::is_proven_inside(&self.provider) => {
                Some("what proves it stands in the JSON")
            }
            Fault::MalformedSignature if matches!(scheme, Scheme::Token(_)) => {
                Some("its token may be any text")
            }
            Fault::SameIdOtherBody if envelope.id().is_none() => Some("it sends no id"),
            Fault::StaleTimestamp => match scheme.timestamp() {
                None => Some("it signs no time"),
                Some(rule) if rule.tolerance().is_none() => Some("its time may be of any age"),
                Some(_) => None,
            },
            Fault::UnsignedType if !type_twice() => Some("it names its type once"),
            Fault::BodyChanged if matches!(scheme, Scheme::Token(_)) => {
                Some("its signature covers no body")
            }
            _ => None,
        }
    }

    /// Nothing where the event turns out to have no place for that fault.
    async fn exchanges(
        &self,
        fault: Fault,
        event: &Trigger,
    ) -> Result<Option<Vec<Exchange>>, FaultError> {
        let now = self.clock.now();
        let ready = self.prepare(event)?;
        Ok(Some(match fault {
            Fault::BodyChanged => {
                let Some(body) = alter::tampered(&self.provider, &ready.body) else {
                    return Ok(None);
                };
                let changed = Prepared { body, ..ready };
                vec![
                    self.sent("the event, changed after signing", &changed)
                        .await,
                ]
            }
            Fault::Chunked => {
                let steps = chunked(&self.target, &ready);
                vec![self.took("a body in chunks", &steps).await]
            }
            Fault::ConcurrentDuplicate => {
                let (first, second) = tokio::join!(
                    self.sent("the event", &ready),
                    self.sent("the same, at once", &ready)
                );
                vec![first, second]
            }
            Fault::CutConnection => {
                let [head, body] = self.parts(&ready);
                let half = body.slice(..body.len() / 2);
                let steps = [Step::Send(head), Step::Send(half), Step::Cut];
                vec![
                    self.took("half a body, cut", &steps).await,
                    self.sent("the whole event", &ready).await,
                ]
            }
            Fault::Duplicate => vec![
                self.sent("the event", &ready).await,
                self.sent("the same", &ready).await,
            ],
            Fault::DuplicateKeys => {
                let Some(body) = alter::type_twice(&self.provider, &ready.draft.body) else {
                    return Ok(None);
                };
                let twice = self.sign(ready.draft.with_body(body), now)?;
                vec![self.sent("a type that stands there twice", &twice).await]
            }
            Fault::Gzip => {
                let zipped = alter::gzip(&ready.body);
                let zipped = if alter::is_proven_inside(&self.provider) {
                    Prepared {
                        body: zipped,
                        ..ready
                    }
                } else {
                    self.sign_as_it_is(ready.draft.with_body(zipped), now)?
                };
                let gzip = HeaderValue::from_static("gzip");
                let zipped = zipped.with(header::CONTENT_ENCODING, gzip);
                vec![self.sent("a compressed body", &zipped).await]
            }
            Fault::InvalidJson => {
                let half = ready.draft.body.slice(..ready.draft.body.len() / 2);
                let half = ready.draft.with_body(half);
                let sealed = self.provider.encryption().map(|one| one.opens());
                let half = match sealed {
                    Some(Opens::Data) => self.sign_as_it_is(half, now)?,
                    _ => self.sign(half, now)?,
                };
                vec![self.sent("half an event, signed", &half).await]
            }
            Fault::MalformedSignature => {
                let Some(misspelt) = alter::misspelt(&self.provider, &ready) else {
                    return Ok(None);
                };
                vec![self.sent("a signature in no encoding", &misspelt).await]
            }
            Fault::MissingSignature => {
                let Some(unproven) = alter::unproven(&self.provider, &ready) else {
                    return Ok(None);
                };
                vec![
                    self.sent("the event without its signature", &unproven)
                        .await,
                ]
            }
            Fault::Oversize => {
                let mut body = ready.draft.body.to_vec();
                body.resize(body.len().max(self.oversize_bytes), b' ');
                let large = self.sign(ready.draft.with_body(body.into()), now)?;
                vec![self.sent("a huge body, signed", &large).await]
            }
            Fault::Reorder => {
                let first = self.prepare(event)?;
                vec![
                    self.sent("the younger event", &ready).await,
                    self.sent("the older event", &first).await,
                ]
            }
            Fault::SameIdOtherBody => {
                let other = alter::reworded(&self.provider, &ready.draft.body);
                let other = self.sign(ready.draft.with_body(other), now)?;
                vec![
                    self.sent("the event", &ready).await,
                    self.sent("its id with another body", &other).await,
                ]
            }
            Fault::SlowBody => {
                let [head, body] = self.parts(&ready);
                let mut steps = vec![Step::Send(head)];
                for piece in body.chunks(body.len().div_ceil(SLOW_PIECES).max(1)) {
                    steps.push(Step::Pause(SLOW_PAUSE));
                    steps.push(Step::Send(body.slice_ref(piece)));
                }
                vec![self.took("a slow body", &steps).await]
            }
            Fault::StaleTimestamp => {
                let then = now.checked_sub(A_DAY).unwrap_or(std::time::UNIX_EPOCH);
                let old = self.sign(ready.draft, then)?;
                vec![self.sent("the event as signed a day ago", &old).await]
            }
            Fault::TruncatedBody => {
                let [head, body] = self.parts(&ready);
                let half = body.slice(..body.len() / 2);
                let steps = [Step::Send(head), Step::Send(half), Step::Finish];
                vec![self.took("half a body, ended", &steps).await]
            }
            Fault::UnsignedType => {
                let Some(headers) = alter::with_other_type(&self.provider, &ready.headers) else {
                    return Ok(None);
                };
                let other = Prepared { headers, ..ready };
                vec![
                    self.sent("the event under another unsigned type", &other)
                        .await,
                ]
            }
            Fault::WrongContentType => {
                let plain = HeaderValue::from_static("text/plain");
                let typed = ready.with(header::CONTENT_TYPE, plain);
                vec![self.sent("the event as text/plain", &typed).await]
            }
            Fault::WrongSecret => {
                let sign = |error: &dyn std::error::Error| FaultError::Sign(error.to_string());
                let pair = SecretPair::generate(&self.provider, &new_random());
                let pair = pair.map_err(|error| sign(&error))?;
                let wrong = Self {
                    secret: Secret::new(pair.sender()).map_err(|error| sign(&error))?,
                    ..self.clone()
                };
                let forged = wrong.prepare(event)?;
                vec![self.sent("the event under another secret", &forged).await]
            }
        }))
    }

    fn sign(&self, draft: Draft, at: SystemTime) -> Result<Prepared, FaultError> {
        self.sign_as(Arc::clone(&self.provider), draft, at)
    }

    /// Signs a body that is sealed already, or that nothing could seal.
    fn sign_as_it_is(&self, draft: Draft, at: SystemTime) -> Result<Prepared, FaultError> {
        let open = Provider::clone(&self.provider).without_encryption();
        self.sign_as(Arc::new(open), draft, at)
    }

    fn sign_as(
        &self,
        provider: Arc<Provider>,
        draft: Draft,
        at: SystemTime,
    ) -> Result<Prepared, FaultError> {
        let url = self.public_url.as_str();
        let mut signer = EventSigner::new(provider, self.secret.clone(), url);
        if let Some(secret) = &self.payload_secret {
            signer = signer.with_payload_secret(secret.clone());
        }
        let request = signer.sign(&draft, at);
        let request = request.map_err(|error| FaultError::Sign(error.to_string()))?;
        Ok(Prepared {
            draft,
            headers: request.headers,
            body: request.body,
        })
    }

    async fn sent(&self, sent: &'static str, prepared: &Prepared) -> Exchange {
        let reply = self.send(prepared).await;
        Exchange { sent, reply }
    }

    async fn took(&self, sent: &'static str, steps: &[Step]) -> Exchange {
        let reply = self.target.exchange(steps, self.timeout).await;
        Exchange { sent, reply }
    }

    /// Head and body, with the body's true length.
    fn parts(&self, prepared: &Prepared) -> [Bytes; 2] {
        let mut headers = prepared.headers.clone();
        let length = HeaderValue::from(prepared.body.len());
        headers.insert(header::CONTENT_LENGTH, length);
        [self.target.head(&headers), prepared.body.clone()]
    }
}

impl Prepared {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

fn chunked(target: &Target, prepared: &Prepared) -> Vec<Step> {
    let mut headers = prepared.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    let chunked = HeaderValue::from_static("chunked");
    headers.insert(header::TRANSFER_ENCODING, chunked);
    let mut steps = vec![Step::Send(target.head(&headers))];
    for chunk in prepared.body.chunks(64) {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        steps.push(Step::Send(framed.into()));
    }
    steps.push(Step::Send(Bytes::from_static(b"0\r\n\r\n")));
    steps
}
