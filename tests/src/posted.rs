//! A receiver of any provider's deliveries behind a socket, and what its handler
//! was given.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{body::Body, middleware::map_response};
use http::{HeaderValue, Request, Response};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tower_webhooks::{
    Endpoint, Event, EventRouter, Inbox, ManualClock, MemoryInbox, Provider, Rejection, Secrets,
    SqliteInbox, Text, Webhooks, WebhooksBuilder,
    testing::{Runs, Sender},
};
use tower_webhooks_inbox::{EventRecord, Filter, Page};

use crate::{Form, Server, head_of, soon};

/// In which the receiver under test shows why it refused.
const KIND: &str = "x-kind";

/// A running receiver of one provider, mounted at `/<its name>`. Its one handler
/// takes every event and tells what it was given.
#[derive(Debug)]
pub struct Posted {
    /// The receiver.
    pub webhooks: Webhooks,
    /// Where the events go.
    pub inbox: Arc<dyn Inbox>,
    /// The clock of receiver and sender; it stands still.
    pub clock: ManualClock,
    /// The jobs that ended.
    pub runs: Runs,
    provider: Provider,
    server: Server,
    seen: Mutex<mpsc::UnboundedReceiver<Seen>>,
    /// Gone with the receiver.
    folder: Option<TempDir>,
}

/// What the handler was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The event's type.
    pub event_type: String,
    /// Its id.
    pub id: String,
    /// Its payload, as JSON text.
    pub data: String,
}

impl Seen {
    /// What a handler is given of such an event.
    #[must_use]
    pub fn new(event_type: &str, id: &str, data: &str) -> Self {
        Self {
            event_type: event_type.to_owned(),
            id: id.to_owned(),
            data: data.to_owned(),
        }
    }
}

impl Posted {
    /// A receiver that keeps its events in memory.
    pub async fn start(
        form: Form,
        provider: Provider,
        secret: &str,
        change: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Self {
        let build = |builder| builder;
        Self::over(MemoryInbox::new(), form, provider, secret, build, change).await
    }

    /// A receiver that keeps its events on the disk, with their bodies when they are
    /// done.
    ///
    /// # Panics
    ///
    /// When there is no room.
    pub async fn on_disk(
        form: Form,
        provider: Provider,
        secret: &str,
        change: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let inbox = SqliteInbox::open(folder.path().join("inbox.db"))
            .await
            .unwrap();
        let build = |builder| builder;
        let mut posted = Self::over(inbox, form, provider, secret, build, change).await;
        posted.folder = Some(folder);
        posted
    }

    /// A receiver with other settings.
    pub async fn start_with(
        form: Form,
        provider: Provider,
        secret: &str,
        build: impl FnOnce(WebhooksBuilder) -> WebhooksBuilder,
    ) -> Self {
        let change = |endpoint| endpoint;
        Self::over(MemoryInbox::new(), form, provider, secret, build, change).await
    }

    /// A receiver over this inbox.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn over(
        inbox: impl Inbox,
        form: Form,
        provider: Provider,
        secret: &str,
        build: impl FnOnce(WebhooksBuilder) -> WebhooksBuilder,
        change: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Self {
        let (tell, seen) = mpsc::unbounded_channel();
        let events = EventRouter::new().on("*", move |event: Event<Box<RawValue>>| {
            let told = tell.send(Seen::new(event.event_type(), event.id(), event.data.get()));
            async move { drop(told) }
        });
        let name = provider.name().clone();
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let runs = Runs::new();
        let secrets = Secrets::new(secret).unwrap();
        let endpoint = Endpoint::new(name.clone(), provider.clone(), secrets).events(events);
        let builder = runs.watch(Webhooks::builder().with_clock(clock.clone()));
        let webhooks = build(builder)
            .start(inbox, [change(endpoint)])
            .await
            .unwrap();
        let app = form.mount(&webhooks, &name).layer(map_response(show_kind));
        Self {
            inbox: Arc::clone(webhooks.inbox()),
            webhooks,
            clock,
            runs,
            provider,
            server: Server::start(app).await,
            seen: Mutex::new(seen),
            folder: None,
        }
    }

    /// Signs as the provider does, with this secret.
    ///
    /// # Panics
    ///
    /// When the secret is empty.
    #[must_use]
    pub fn sender(&self, secret: &str) -> Sender {
        Sender::new(self.provider.clone(), secret)
            .unwrap()
            .to(&format!("/{}", self.provider.name()))
            .at(&self.clock)
    }

    /// Posts a request and returns the answer's status and body, and why it was
    /// refused, if it was.
    ///
    /// # Panics
    ///
    /// When the answer is none.
    pub async fn post(&self, request: Request<Body>) -> (u16, String, Option<String>) {
        let (head, body) = head_of(request).await;
        let mut wire = self.server.connect().await;
        let length = body.len();
        wire.send(format!("{head}content-length: {length}\r\n\r\n").as_bytes())
            .await;
        wire.send(&body).await;
        let answer = wire.answer().await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head
            .lines()
            .find_map(|line| line.strip_prefix(KIND)?.strip_prefix(": "));
        (status, body.to_owned(), kind.map(str::to_owned))
    }

    /// What the handler was given next.
    ///
    /// # Panics
    ///
    /// When it is given nothing soon.
    pub async fn seen(&self) -> Seen {
        soon(self.seen.lock().await.recv()).await.unwrap()
    }

    /// What it was given so many times, sorted.
    pub async fn all_seen(&self, times: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        for _ in 0..times {
            all.push(self.seen().await);
        }
        all.sort();
        all
    }

    /// Whether it was given nothing more so far.
    pub async fn saw_nothing_more(&self) -> bool {
        self.seen.lock().await.try_recv().is_err()
    }

    /// All events with their bodies, in order.
    ///
    /// # Panics
    ///
    /// When the inbox is away.
    pub async fn stored(&self) -> Vec<EventRecord> {
        let page = Page {
            limit: 100_000,
            ..Page::default()
        };
        let listing = self.inbox.list(&Filter::default(), page).await.unwrap();
        let mut records = Vec::new();
        for listed in listing.events {
            records.extend(self.inbox.get(listed.event.seq).await.unwrap());
        }
        records
    }

    /// The types, or else the reasons why they are unusable, of all events.
    ///
    /// # Panics
    ///
    /// When the inbox is away.
    pub async fn outline(&self) -> Vec<Text> {
        let outline = self.stored().await.into_iter().map(|record| {
            let event = &record.event;
            let reason = event.unusable.as_ref();
            reason.or(event.event_type.as_ref()).cloned().unwrap()
        });
        outline.collect()
    }
}

async fn show_kind(mut response: Response<Body>) -> Response<Body> {
    if let Some(rejection) = response.extensions().get::<Rejection>() {
        let kind = HeaderValue::from_static(rejection.kind().as_str());
        response.headers_mut().insert(KIND, kind);
    }
    response
}
