use std::{fmt, marker::PhantomData, sync::Arc};

use axum::body::Body;
use tower_layer::Layer;
use tower_webhooks_core::{Provider, Secrets, SetupError};

use super::{gate::Gate, service::WebhookService};
use crate::Endpoint;

/// Lets only authentic deliveries through. See the [module](super).
///
/// `B` is the body that the inner service takes: axum's by default,
/// [another](Self::with_inner_body) where it is not axum.
#[must_use = "a layer does nothing until it is applied"]
pub struct WebhookLayer<B = Body> {
    gate: Arc<Gate>,
    inner_body: PhantomData<fn() -> B>,
}

impl WebhookLayer {
    /// Only verifies: nothing is stored and no handler runs. The inner service
    /// finds the [`Delivery`](crate::Delivery) in the request's extensions,
    /// and takes its payload with [`Event<T>`](crate::Event).
    ///
    /// For limits, tenants or another clock, build an
    /// [`Endpoint`] and call its [`verify_only`](Endpoint::verify_only).
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a secret does not fit the provider's scheme.
    pub fn verify(
        provider: impl Into<Arc<Provider>>,
        secrets: Secrets,
    ) -> Result<Self, SetupError> {
        Endpoint::new("verify", provider, secrets).verify_only()
    }

    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self {
            gate,
            inner_body: PhantomData,
        }
    }
}

impl<B> WebhookLayer<B> {
    /// Replaces the body type that the inner service takes; it must be
    /// `From<Bytes>`.
    pub fn with_inner_body<Other>(self) -> WebhookLayer<Other> {
        WebhookLayer {
            gate: self.gate,
            inner_body: PhantomData,
        }
    }
}

impl<S, B> Layer<S> for WebhookLayer<B> {
    type Service = WebhookService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        WebhookService::new(inner, Arc::clone(&self.gate))
    }
}

impl<B> Clone for WebhookLayer<B> {
    fn clone(&self) -> Self {
        Self {
            gate: Arc::clone(&self.gate),
            inner_body: PhantomData,
        }
    }
}

impl<B> fmt::Debug for WebhookLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookLayer")
            .field("gate", &self.gate)
            .finish()
    }
}
