//! The receivers that are compared.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    routing::{post, post_service},
};
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use tower::Service;
use tower_webhooks::{
    Delivery, Endpoint, Event, EventRouter, MemoryInbox, Provider, Secrets, WebhookLayer, Webhooks,
    provider::{Envelope, HmacScheme, Scheme},
};

use crate::{
    event::{self, Settled, Till},
    hand::{self, Shop},
    load::{PATH, SECRET, SIGNATURE, key},
};

/// One way to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// (a) axum reads the body and answers: the floor.
    Bytes,
    /// (b) [`hand::receive`]: what all others are compared with.
    Hand,
    /// (c) `WebhookLayer::verify` around a bare tower service.
    Terminal,
    /// (d) `WebhookLayer::verify` around an axum handler.
    Layer,
    /// (e) an endpoint with an inbox in memory: deduplicated, stored, handled by the worker.
    Inbox,
}

impl Mode {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Bytes,
        Self::Hand,
        Self::Terminal,
        Self::Layer,
        Self::Inbox,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Hand => "hand",
            Self::Terminal => "terminal",
            Self::Layer => "layer",
            Self::Inbox => "inbox",
        }
    }

    /// Its name in the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bytes => "(a) axum with `Bytes`, nothing verified",
            Self::Hand => "(b) by hand",
            Self::Terminal => "(c) layer around a tower service",
            Self::Layer => "(d) layer around an axum handler",
            Self::Inbox => "(e) endpoint with `MemoryInbox` and worker",
        }
    }

    /// The mode of that name.
    ///
    /// # Errors
    ///
    /// None has that name.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == name);
        found.with_context(|| format!("no mode is named {name:?}"))
    }

    /// Whether the events' work is done, and not only the answer given.
    #[must_use]
    pub fn settles(self) -> bool {
        self != Self::Bytes
    }
}

/// A receiver, and where its work ends up.
#[derive(Debug)]
pub struct Receiver {
    /// The application.
    pub router: Router,
    /// Counts the work.
    pub till: Arc<Till>,
    /// Runs the handlers of [`Mode::Inbox`] until it is dropped.
    _webhooks: Option<Webhooks>,
}

impl Receiver {
    /// Mounts a mode. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The library refuses its set-up.
    pub async fn start(mode: Mode) -> anyhow::Result<Self> {
        let till = Arc::new(Till::default());
        let mut running = None;
        let router = match mode {
            Mode::Bytes => Router::new().route(PATH, post(floor)),
            Mode::Hand => {
                let shop = Arc::new(Shop {
                    key: key()?,
                    till: Arc::clone(&till),
                });
                Router::new()
                    .route(PATH, post(hand::receive))
                    .with_state(shop)
            }
            Mode::Terminal => {
                let terminal = Terminal {
                    till: Arc::clone(&till),
                };
                let service = tower::Layer::layer(&verify()?, terminal);
                Router::new().route(PATH, post_service(service))
            }
            Mode::Layer => Router::new()
                .route(PATH, post(behind_the_layer).layer(verify()?))
                .with_state(Arc::clone(&till)),
            Mode::Inbox => {
                let events = EventRouter::new()
                    .on(event::TYPE, handle)
                    .with_state(Arc::clone(&till));
                let secrets = Secrets::new(SECRET)?;
                let endpoint = Endpoint::new("acme", provider(), secrets).events(events);
                let webhooks = Webhooks::start(MemoryInbox::new(), [endpoint]).await?;
                let router = Router::new().route_service(PATH, webhooks.endpoint("acme")?);
                running = Some(webhooks);
                router
            }
        };
        Ok(Self {
            router,
            till,
            _webhooks: running,
        })
    }
}

/// Describes the sender of [`load`](crate::load) to the library.
#[must_use]
pub fn provider() -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static(SIGNATURE)).with_prefix("sha256=");
    let envelope = Envelope::new("/type").with_id("/id").with_data("/data");
    Provider::new("acme", Scheme::Hmac(scheme), envelope)
}

fn verify() -> anyhow::Result<WebhookLayer> {
    Ok(WebhookLayer::verify(provider(), Secrets::new(SECRET)?)?)
}

async fn floor(_: Bytes) -> StatusCode {
    StatusCode::OK
}

async fn behind_the_layer(
    State(till): State<Arc<Till>>,
    Extension(delivery): Extension<Delivery>,
) -> StatusCode {
    settle(&till, &delivery)
}

async fn handle(State(till): State<Arc<Till>>, event: Event<Settled>) {
    till.settle(event.id(), &event.data);
}

/// What [`hand::receive`] does once it has verified.
fn settle(till: &Arc<Till>, delivery: &Delivery) -> StatusCode {
    let Ok(head) = delivery.event() else {
        return StatusCode::BAD_REQUEST;
    };
    match head.event_type().as_str() {
        event::TYPE => {
            let id = head.id().cloned().unwrap_or_default();
            let data = head.data().clone();
            let till = Arc::clone(till);
            tokio::spawn(async move {
                if let Ok(settled) = serde_json::from_str(&data) {
                    till.settle(&id, &settled);
                }
            });
            StatusCode::OK
        }
        _ => StatusCode::OK,
    }
}

/// The smallest service that can stand behind the layer.
#[derive(Clone)]
struct Terminal {
    till: Arc<Till>,
}

impl Service<Request<Body>> for Terminal {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let status = match request.extensions().get::<Delivery>() {
            Some(delivery) => settle(&self.till, delivery),
            None => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        ready(Ok(response))
    }
}
