use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::{ResponseFuture, gate::Gate};

/// What [`WebhookLayer`](crate::WebhookLayer) makes of a service.
pub struct WebhookService<S, B = Body> {
    inner: S,
    gate: Arc<Gate>,
    inner_body: PhantomData<fn() -> B>,
}

impl<S, B> WebhookService<S, B> {
    pub(super) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self {
            inner,
            gate,
            inner_body: PhantomData,
        }
    }
}

impl<S, B, ReqBody, ResBody> Service<Request<ReqBody>> for WebhookService<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    B: From<Bytes>,
    ReqBody: http_body::Body,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, ReqBody>;

    /// Always ready: the inner service is asked once a request is verified,
    /// so that a sender who proves nothing holds no place in it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // A clone starts without readiness, and becomes ready in the future.
        let inner = self.inner.clone();
        let (parts, body) = request.into_parts();
        ResponseFuture::new(inner, Arc::clone(&self.gate), parts, body)
    }
}

impl<S: Clone, B> Clone for WebhookService<S, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: Arc::clone(&self.gate),
            inner_body: PhantomData,
        }
    }
}

impl<S, B> fmt::Debug for WebhookService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
