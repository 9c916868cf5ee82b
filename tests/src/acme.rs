//! A provider that can be refused for every reason, and a receiver for it.

use std::time::{Duration, SystemTime};

use axum::{Router, body::Body};
use http::{HeaderName, Request};
use tower_webhooks::{
    Endpoint, EventRouter, Job, ManualClock, Provider, Secrets, Webhooks, WebhooksBuilder,
    provider::{Answer, Answers, Envelope, HmacScheme, Part, Scheme, SignedTimestamp},
    testing::{Runs, Sender},
};

use crate::{Answered, FaultyInbox, Form, ask};

/// The secret that it shares with the receiver under test.
pub const SECRET: &str = "acme-and-the-tests-share-this-1f0c2a9d";

/// The body that acknowledges.
pub const YES: &str = r#"{"received":true}"#;

/// The body of every 401.
pub const NO: &str = r#"{"received":false}"#;

/// Signs `timestamp.body` as `v1=<hex>` in `x-acme-signature`, with seconds in
/// `x-acme-timestamp` that may be 300 s off.
#[must_use]
pub fn acme() -> Provider {
    let timestamp = SignedTimestamp::in_header(HeaderName::from_static("x-acme-timestamp"))
        .with_tolerance(Duration::from_secs(300));
    let scheme = HmacScheme::new(HeaderName::from_static("x-acme-signature"))
        .with_prefix("v1=")
        .with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        .with_timestamp(timestamp);
    let envelope = Envelope::new("/type").with_id("/id").with_data("/data");
    Provider::new("acme", Scheme::Hmac(scheme), envelope)
        .with_answers(Answers::new(Answer::json(200, YES), Answer::json(401, NO)))
}

/// A body of that provider.
#[must_use]
pub fn body(event_type: &str, id: &str) -> String {
    format!(r#"{{"type":"{event_type}","id":"{id}","data":{{"n":1}}}}"#)
}

/// A running receiver of that provider's events, at `/acme`.
#[derive(Debug)]
pub struct Acme {
    /// Where the events go.
    pub inbox: FaultyInbox,
    /// The receiver.
    pub webhooks: Webhooks,
    /// The app that it is mounted in.
    pub app: Router,
    /// The clock of receiver and sender; it stands still.
    pub clock: ManualClock,
    /// The jobs that ended.
    pub runs: Runs,
    sender: Sender,
}

impl Acme {
    /// A receiver whose one handler, for `order.paid`, does nothing.
    pub async fn start(form: Form) -> Self {
        let events = EventRouter::new().on("order.paid", |_: Job| async {});
        Self::start_with(form, |builder| builder, |endpoint| endpoint.events(events)).await
    }

    /// A receiver with these handlers.
    pub async fn with_events(form: Form, events: EventRouter) -> Self {
        Self::start_with(form, |builder| builder, |endpoint| endpoint.events(events)).await
    }

    /// A receiver that is set up otherwise.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_with(
        form: Form,
        build: impl FnOnce(WebhooksBuilder) -> WebhooksBuilder,
        change: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Self {
        let inbox = FaultyInbox::new();
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let runs = Runs::new();
        let builder = runs.watch(Webhooks::builder().with_clock(clock.clone()));
        let endpoint = change(Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()));
        let webhooks = build(builder)
            .start(inbox.clone(), [endpoint])
            .await
            .unwrap();
        Self {
            app: form.mount(&webhooks, "acme"),
            sender: Self::sender(SECRET, &clock),
            inbox,
            webhooks,
            clock,
            runs,
        }
    }

    /// Signs as the provider does, with this secret and clock.
    ///
    /// # Panics
    ///
    /// When the secret is empty.
    #[must_use]
    pub fn sender(secret: &str, clock: &ManualClock) -> Sender {
        Sender::new(acme(), secret).unwrap().to("/acme").at(clock)
    }

    /// A signed request of this type and id.
    #[must_use]
    pub fn request(&self, event_type: &str, id: &str) -> Request<Body> {
        self.signed(body(event_type, id))
    }

    /// A signed request with this body.
    ///
    /// # Panics
    ///
    /// Never: the scheme signs no header.
    #[must_use]
    pub fn signed(&self, body: impl Into<bytes::Bytes>) -> Request<Body> {
        self.sender.request(body).unwrap()
    }

    /// The app's answer to a request.
    pub async fn ask(&self, request: Request<Body>) -> Answered {
        ask(self.app.clone(), request).await
    }
}
