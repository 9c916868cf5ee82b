//! Plays a fault and judges the answers.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use tower_webhooks_core::{Clock, Provider, Secret, Signer, SystemClock, provider::Place};

use super::{
    Fault,
    wire::{Reply, Step, Target},
};
use crate::{Trigger, TriggerError, event::Outgoing};

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
    url: String,
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

/// A fault that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Played {
    /// Which.
    pub fault: Fault,
    /// What was sent and answered, in order.
    pub exchanges: Vec<Exchange>,
    /// Whether the answers are right.
    pub verdict: Verdict,
}

/// One request of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Exchange {
    /// What was sent, in words.
    pub sent: &'static str,
    /// What came back.
    pub reply: Reply,
}

/// Whether a receiver answered rightly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// This provider cannot send such a thing, and why.
    NotApplicable(&'static str),
    /// It did.
    Right,
    /// It did not; this is what would have been right.
    Wrong(&'static str),
}

/// A request that is ready to go.
#[derive(Debug, Clone)]
struct Ready {
    headers: HeaderMap,
    body: Bytes,
}

impl FaultPlayer {
    /// As that provider, with its right secret, to that `http` URL.
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
            target: Target::parse(&url).ok_or(FaultError::Url)?,
            url,
            timeout: Duration::from_secs(30),
            oversize_bytes: DEFAULT_OVERSIZE_BYTES,
            clock: Arc::new(SystemClock),
        })
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
        let whole = self.ready(event)?;
        Ok(self.send(&whole).await)
    }

    /// Plays a fault with new events of that kind.
    ///
    /// # Errors
    ///
    /// [`FaultError`] when the event cannot be made or signed.
    pub async fn play(&self, fault: Fault, event: &Trigger) -> Result<Played, FaultError> {
        if let Some(why) = self.cannot(fault) {
            return Ok(Played {
                fault,
                exchanges: Vec::new(),
                verdict: Verdict::NotApplicable(why),
            });
        }
        let exchanges = self.exchanges(fault, event).await?;
        let verdict = if is_right(fault, &exchanges) {
            Verdict::Right
        } else {
            Verdict::Wrong(fault.expected())
        };
        Ok(Played {
            fault,
            exchanges,
            verdict,
        })
    }

    /// Why this provider cannot send such a thing.
    fn cannot(&self, fault: Fault) -> Option<&'static str> {
        let scheme = self.provider.scheme();
        let id_in_body = self
            .provider
            .envelope()
            .id()
            .is_some_and(|id| id.places().any(|place| matches!(place, Place::Pointer(_))));
        let type_in_body = self
            .provider
            .envelope()
            .event_type()
            .places()
            .any(|place| matches!(place, Place::Pointer(_)));
        match fault {
            Fault::BodyChanged if !scheme.covers_body() => Some("its signature covers no body"),
            Fault::StaleTimestamp if scheme.timestamp().is_none() => Some("it signs no time"),
            Fault::SameIdOtherBody if !id_in_body => Some("it sends no id in the body"),
            Fault::DuplicateKeys if !type_in_body => Some("it sends no type in the body"),
            _ => None,
        }
    }

    async fn exchanges(&self, fault: Fault, event: &Trigger) -> Result<Vec<Exchange>, FaultError> {
        let ready = self.ready(event)?;
        Ok(match fault {
            Fault::BodyChanged => {
                let changed = Ready {
                    body: with_a_space(&ready.body),
                    ..ready
                };
                vec![self.sent("a body with one more space", &changed).await]
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
                let body = twice(&self.provider, &ready.body);
                let twice = self.sign(&ready.headers, body, self.clock.now())?;
                vec![self.sent("a type that stands there twice", &twice).await]
            }
            Fault::Gzip => {
                let zipped = self.sign(&ready.headers, gzip(&ready.body), self.clock.now())?;
                let gzip = HeaderValue::from_static("gzip");
                let zipped = zipped.with(header::CONTENT_ENCODING, gzip);
                vec![self.sent("a compressed body", &zipped).await]
            }
            Fault::InvalidJson => {
                let half = ready.body.slice(..ready.body.len() / 2);
                let half = self.sign(&ready.headers, half, self.clock.now())?;
                vec![self.sent("half an event, signed", &half).await]
            }
            Fault::Oversize => {
                let mut body = ready.body.to_vec();
                body.resize(body.len().max(self.oversize_bytes), b' ');
                let large = self.sign(&ready.headers, body.into(), self.clock.now())?;
                vec![self.sent("a huge body, signed", &large).await]
            }
            Fault::Reorder => {
                let first = self.ready(event)?;
                vec![
                    self.sent("the younger event", &ready).await,
                    self.sent("the older event", &first).await,
                ]
            }
            Fault::SameIdOtherBody => {
                let other = with_a_space(&ready.body);
                let other = self.sign(&ready.headers, other, self.clock.now())?;
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
                let then = self
                    .clock
                    .now()
                    .checked_sub(A_DAY)
                    .unwrap_or(std::time::UNIX_EPOCH);
                let old = self.sign(&ready.headers, ready.body, then)?;
                vec![self.sent("the event as signed a day ago", &old).await]
            }
            Fault::TruncatedBody => {
                let [head, body] = self.parts(&ready);
                let half = body.slice(..body.len() / 2);
                let steps = [Step::Send(head), Step::Send(half), Step::Finish];
                vec![self.took("half a body, ended", &steps).await]
            }
            Fault::WrongContentType => {
                let plain = HeaderValue::from_static("text/plain");
                let typed = ready.with(header::CONTENT_TYPE, plain);
                vec![self.sent("the event as text/plain", &typed).await]
            }
            Fault::WrongSecret => {
                let wrong = Self {
                    secret: Secret::new(format!("whsec_{}", crate::text::new_key()))
                        .map_err(|error| FaultError::Sign(error.to_string()))?,
                    ..self.clone()
                };
                let forged = wrong.ready(event)?;
                vec![self.sent("the event under another secret", &forged).await]
            }
        })
    }

    /// A new event, signed.
    fn ready(&self, event: &Trigger) -> Result<Ready, FaultError> {
        let event = Outgoing::new(&self.provider, event)?;
        self.sign(&event.headers, event.body, self.clock.now())
    }

    /// Signs a body anew; of the headers, the scheme's are replaced.
    fn sign(&self, headers: &HeaderMap, body: Bytes, at: SystemTime) -> Result<Ready, FaultError> {
        let mut signer = Signer::new(Arc::clone(&self.provider), self.secret.clone());
        signer = signer.with_url(self.url.as_str());
        for (name, value) in headers {
            signer = signer.with_header(name.clone(), value.clone());
        }
        let headers = signer
            .sign(&body, at)
            .map_err(|error| FaultError::Sign(error.to_string()))?;
        Ok(Ready { headers, body })
    }

    async fn send(&self, ready: &Ready) -> Reply {
        let [head, body] = self.parts(ready);
        let steps = [Step::Send(head), Step::Send(body)];
        self.target.exchange(&steps, self.timeout).await
    }

    async fn sent(&self, sent: &'static str, ready: &Ready) -> Exchange {
        let reply = self.send(ready).await;
        Exchange { sent, reply }
    }

    async fn took(&self, sent: &'static str, steps: &[Step]) -> Exchange {
        let reply = self.target.exchange(steps, self.timeout).await;
        Exchange { sent, reply }
    }

    /// Head and body, with the body's true length.
    fn parts(&self, ready: &Ready) -> [Bytes; 2] {
        let mut headers = ready.headers.clone();
        let length = HeaderValue::from(ready.body.len());
        headers.insert(header::CONTENT_LENGTH, length);
        [self.target.head(&headers), ready.body.clone()]
    }
}

impl Ready {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

fn is_right(fault: Fault, exchanges: &[Exchange]) -> bool {
    let accepted = |reply: Reply| matches!(reply, Reply::Status(200..300));
    let refused = |reply: Reply| matches!(reply, Reply::Status(400..500));
    let last = exchanges.last().map_or(Reply::Closed, |last| last.reply);
    match fault {
        Fault::BodyChanged | Fault::StaleTimestamp | Fault::WrongSecret | Fault::Oversize => {
            refused(last)
        }
        Fault::Chunked => accepted(last) || last == Reply::Status(411),
        Fault::ConcurrentDuplicate | Fault::Duplicate | Fault::Reorder => {
            exchanges.iter().all(|one| accepted(one.reply))
        }
        Fault::CutConnection => accepted(last),
        Fault::DuplicateKeys | Fault::Gzip | Fault::InvalidJson | Fault::WrongContentType => {
            accepted(last) || refused(last)
        }
        Fault::SameIdOtherBody => {
            exchanges.first().is_some_and(|first| accepted(first.reply))
                && (accepted(last) || refused(last))
        }
        Fault::SlowBody => accepted(last) || last == Reply::Status(408),
        // A connection that ends, and one that never answers, accept nothing.
        Fault::TruncatedBody => !accepted(last),
    }
}

/// White space at the end: another body of the same meaning.
fn with_a_space(body: &Bytes) -> Bytes {
    let mut changed = body.to_vec();
    changed.push(b' ');
    changed.into()
}

/// The first member that is part of the type once more, with another value, at
/// the object's end: readers disagree which one counts.
fn twice(provider: &Provider, body: &Bytes) -> Bytes {
    let mut places = provider.envelope().event_type().places();
    let member = places.find_map(|place| match place {
        Place::Pointer(pointer) => {
            let member = pointer.strip_prefix('/')?;
            let is_there = serde_json::from_slice::<serde_json::Value>(body)
                .is_ok_and(|whole| whole.get(member).is_some());
            is_there.then(|| member.to_owned())
        }
        _ => None,
    });
    let text = String::from_utf8_lossy(body);
    match (member, text.trim_end().strip_suffix('}')) {
        (Some(member), Some(open)) => {
            let member = serde_json::Value::from(member);
            format!("{open},{member}:\"another.type\"}}").into()
        }
        _ => body.clone(),
    }
}

fn gzip(body: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.map_or_else(|_| body.clone(), Bytes::from)
}

fn chunked(target: &Target, ready: &Ready) -> Vec<Step> {
    let mut headers = ready.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    let chunked = HeaderValue::from_static("chunked");
    headers.insert(header::TRANSFER_ENCODING, chunked);
    let mut steps = vec![Step::Send(target.head(&headers))];
    for chunk in ready.body.chunks(64) {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
        steps.push(Step::Send(framed.into()));
    }
    steps.push(Step::Send(Bytes::from_static(b"0\r\n\r\n")));
    steps
}
