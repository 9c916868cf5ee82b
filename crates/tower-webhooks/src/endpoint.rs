//! One mounted receiver: a name, a provider, its secrets, its handlers.

use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;
use tower_webhooks_core::{
    Clock, Opener, Provider, Secret, Secrets, SetupError, SystemClock, Text, provider::SignedAnew,
};
use tower_webhooks_inbox::Committer;

use crate::{
    EventRouter, SecretSource, WebhookLayer,
    answer::AnswerBook,
    layer::{
        budget::ByteBudget,
        gate::{Gate, Keyring, Limits},
        intake::Intake,
        keys::KeyMaker,
        meter::Meter,
    },
    router::Routes,
    source::Lookup,
};

/// The largest body where neither the endpoint nor its provider says: far
/// beyond any event of the presets, far below what hurts.
const DEFAULT_MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take: senders give up after 5 to 30 s.
const DEFAULT_BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How many bytes of all bodies may be in flight or wait to be stored.
pub(crate) const DEFAULT_MAX_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;

/// One receiver before it is mounted.
///
/// ```
/// use tower_webhooks::{Endpoint, Event, EventRouter, Secrets, providers};
///
/// let events = EventRouter::new().on("transfer.settled", |event: Event<serde_json::Value>| async move {
///     println!("settled: {}", event.data);
/// });
/// let endpoint = Endpoint::new("mppcash", providers::mppcash(), Secrets::new("the-shared-secret")?)
///     .events(events)
///     .with_max_body_bytes(64 * 1024);
/// # let _ = endpoint;
/// # Ok::<(), tower_webhooks::SecretError>(())
/// ```
#[must_use = "an endpoint does nothing until it is started"]
pub struct Endpoint {
    pub(crate) name: Text,
    pub(crate) provider: Arc<Provider>,
    pub(crate) events: EventRouter,
    keys: KeySource,
    max_body_bytes: Option<usize>,
    body_deadline: Duration,
    public_url: Option<Text>,
    handshake_secrets: Option<Secrets>,
    payload_secrets: Option<Secrets>,
    dedup_span: Option<Duration>,
    clock: Arc<dyn Clock>,
}

enum KeySource {
    Fixed(Secrets),
    Lookup(Box<dyn FnOnce(KeyMaker) -> Lookup + Send>),
}

/// What the endpoints of one receiver have in common.
pub(crate) struct Common {
    pub(crate) committer: Committer,
    pub(crate) budget: ByteBudget,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) extensions: Extensions,
    /// How long a delivery waits to be stored.
    pub(crate) store_timeout: Duration,
}

/// An endpoint whose deliveries go into the inbox.
pub(crate) struct Opened {
    pub(crate) gate: Arc<Gate>,
    /// The gate's own.
    pub(crate) intake: Arc<Intake>,
}

impl Endpoint {
    /// An endpoint with secrets of its own. The name is durable: events are
    /// stored under it.
    pub fn new(
        name: impl Into<Text>,
        provider: impl Into<Arc<Provider>>,
        secrets: Secrets,
    ) -> Self {
        Self::with_keys(name.into(), provider.into(), KeySource::Fixed(secrets))
    }

    /// An endpoint whose tenants each have their own secrets, looked up for
    /// each request before its body is read.
    pub fn multi_tenant(
        name: impl Into<Text>,
        provider: impl Into<Arc<Provider>>,
        source: impl SecretSource,
    ) -> Self {
        Self::with_keys(
            name.into(),
            provider.into(),
            KeySource::Lookup(Box::new(Lookup::new(source))),
        )
    }

    fn with_keys(name: Text, provider: Arc<Provider>, keys: KeySource) -> Self {
        Self {
            name,
            provider,
            events: EventRouter::new(),
            keys,
            max_body_bytes: None,
            body_deadline: DEFAULT_BODY_DEADLINE,
            public_url: None,
            handshake_secrets: None,
            payload_secrets: None,
            dedup_span: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets what handles the events. The default handles none: they are
    /// stored as unhandled.
    pub fn events(mut self, events: EventRouter) -> Self {
        self.events = events;
        self
    }

    /// Replaces the size limit, in bytes. The default is the provider's own,
    /// or 1 MiB.
    pub fn with_max_body_bytes(mut self, max_body_bytes: usize) -> Self {
        self.max_body_bytes = Some(max_body_bytes);
        self
    }

    /// Replaces how long a body may take to arrive. The default is 10 s.
    pub fn with_body_deadline(mut self, deadline: Duration) -> Self {
        self.body_deadline = deadline;
        self
    }

    /// Sets the URL that the provider calls, without its query, for providers
    /// that sign it. `Host` and forwarded headers are never believed.
    pub fn with_public_url(mut self, url: impl Into<Text>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Sets the tokens that prove the handshakes of providers which send one:
    /// Meta's verify token, Lark's verification token. The same for all tenants.
    /// A second one is for a rotation. Without any, such an endpoint does not
    /// start.
    ///
    /// A handshake is answered as the provider's description says, and never
    /// stored. One that is asked for by GET needs a route that lets GET through:
    /// `route_service`, or axum's `any`.
    pub fn with_handshake_secrets(mut self, tokens: Secrets) -> Self {
        self.handshake_secrets = Some(tokens);
        self
    }

    /// Sets the secrets that open the payloads of providers which encrypt them with
    /// one of their own, as WeChat Pay does. The same for all tenants. A second one is
    /// for a rotation: each is tried, and one that has expired still opens what came
    /// before. Without any, such an endpoint does not start.
    ///
    /// Changes nothing for a provider whose payloads the signing secret opens.
    pub fn with_payload_secrets(mut self, secrets: Secrets) -> Self {
        self.payload_secrets = Some(secrets);
        self
    }

    /// Replaces how long an equal body counts as the same event, where no signed
    /// id says so. The default follows from the provider's retries and is at least
    /// 72 h where no time is signed: see [`Provider::dedup_span`].
    ///
    /// Where neither an id nor a time is signed, a captured request can be
    /// replayed after this span; a longer one swallows events that truly repeat.
    pub fn with_dedup_span(mut self, span: Duration) -> Self {
        self.dedup_span = Some(span);
        self
    }

    /// Replaces the clock that timestamps are compared with.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A layer that only verifies: nothing is stored, and no handler runs.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a secret does not fit the provider's scheme.
    pub fn verify_only(self) -> Result<WebhookLayer, SetupError> {
        self.warn();
        let budget = ByteBudget::new(DEFAULT_MAX_BYTES_IN_FLIGHT);
        let clock = Arc::clone(&self.clock);
        Ok(WebhookLayer::new(Arc::new(self.gate(budget, clock)?)))
    }

    /// The endpoint, ready for requests that go into the inbox.
    pub(crate) fn open(self, common: &Common, routes: Arc<Routes>) -> Result<Opened, SetupError> {
        self.warn();
        let clock = common
            .clock
            .clone()
            .unwrap_or_else(|| Arc::clone(&self.clock));
        let dedup_span = self.dedup_span;
        let mut gate = self.gate(common.budget.clone(), clock)?;
        let intake = Arc::new(Intake::new(&gate, common, routes, dedup_span));
        gate.intake = Some(Arc::clone(&intake));
        Ok(Opened {
            gate: Arc::new(gate),
            intake,
        })
    }

    /// What opens its payloads when a handler runs.
    pub(crate) fn opener(&self) -> Result<Option<Opener>, SetupError> {
        let Some(encryption) = self.provider.encryption() else {
            return Ok(None);
        };
        let secrets = match &self.keys {
            _ if self.provider.needs_payload_secrets() => self
                .payload_secrets
                .as_ref()
                .ok_or(SetupError::PayloadSecretsMissing)?,
            KeySource::Fixed(secrets) => secrets,
            KeySource::Lookup(_) => return Err(SetupError::PayloadSecretsOfTenants),
        };
        Opener::new(encryption, secrets).map(Some)
    }

    fn gate(self, budget: ByteBudget, clock: Arc<dyn Clock>) -> Result<Gate, SetupError> {
        let maker = KeyMaker {
            provider: Arc::clone(&self.provider),
            public_url: self.public_url,
            handshake_secrets: self.handshake_secrets,
            payload_secrets: self.payload_secrets,
        };
        maker.check()?;
        let labels_of = |opener: Option<&Opener>| -> Vec<Text> {
            opener
                .into_iter()
                .flat_map(Opener::labels)
                .cloned()
                .collect()
        };
        let (keyring, labels, payload_labels) = match self.keys {
            KeySource::Fixed(secrets) => {
                let keys = maker.keys(&secrets, None)?;
                let labels: Vec<Text> = keys.verifier.labels().cloned().collect();
                let payload_labels = labels_of(keys.verifier.opener());
                (Keyring::Fixed(Arc::new(keys)), labels, payload_labels)
            }
            KeySource::Lookup(lookup) => {
                let payload_labels = labels_of(maker.opener()?.as_ref());
                (Keyring::Lookup(lookup(maker)), Vec::new(), payload_labels)
            }
        };
        let meter = Arc::new(Meter::new(&self.name, &labels, &payload_labels));
        Ok(Gate {
            intake: None,
            meter,
            answers: AnswerBook::new(self.provider.answers())
                .with_handshakes(self.provider.handshakes()),
            limits: Limits {
                max_body_bytes: self
                    .max_body_bytes
                    .or_else(|| self.provider.max_body_bytes())
                    .unwrap_or(DEFAULT_MAX_BODY_BYTES),
                body_deadline: self.body_deadline,
            },
            name: self.name,
            provider: self.provider,
            keyring,
            clock,
            budget,
        })
    }

    /// Says what is worth a word at start, though not an error.
    fn warn(&self) {
        let outer_whitespace = matches!(
            &self.keys,
            KeySource::Fixed(secrets) if secrets.iter().any(Secret::has_outer_whitespace)
        );
        if outer_whitespace {
            tracing::warn!(
                endpoint = %self.name,
                "a secret begins or ends with white space: if every signature fails, remove it"
            );
        }
        if self.provider.has_type_in_unsigned_header() {
            tracing::warn!(
                endpoint = %self.name,
                "the event's type comes from a header that is not signed: whoever captured a \
                 request can send it again as another event"
            );
        }
        if let Some(warning) = self.stale_redeliveries() {
            tracing::warn!(endpoint = %self.name, "{warning}");
        }
    }

    /// Redeliveries that keep their first timestamp go stale before the
    /// provider gives up.
    fn stale_redeliveries(&self) -> Option<String> {
        let tolerance = self.provider.scheme().timestamp()?.tolerance()?;
        let span = self.provider.retry_span();
        if self.provider.retries().signed_anew == SignedAnew::Yes || tolerance >= span {
            return None;
        }
        Some(format!(
            "the tolerance of {} s is shorter than the {} s over which {} redelivers, and it is \
             not known to sign redeliveries anew: late ones are refused as stale. Widen it with \
             `Provider::with_tolerance`, which is safe while the inbox remembers keys for longer",
            tolerance.as_secs(),
            span.as_secs(),
            self.provider.title(),
        ))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("provider", &self.provider.name())
            .field("events", &self.events.event_types())
            .finish_non_exhaustive()
    }
}
