//! Requests without a socket.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tower::{Service, ServiceExt as _};
use tower_webhooks::{Rejection, RejectionKind, Webhooks, ack};

use crate::{NO, YES};

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Why the request was refused, if it was.
    pub kind: Option<RejectionKind>,
}

impl Answered {
    /// What most tests compare: status, body and kind.
    #[must_use]
    pub fn summary(&self) -> (u16, &str, Option<RejectionKind>) {
        let body = std::str::from_utf8(&self.body).unwrap_or("not text");
        (self.status.as_u16(), body, self.kind)
    }
}

/// The summary of what is stored, or was before.
pub const ACCEPTED: (u16, &str, Option<RejectionKind>) = (200, YES, None);

/// The summary of a refusal by the receiver of `Acme`.
#[must_use]
pub fn refused(status: u16, kind: RejectionKind) -> (u16, &'static str, Option<RejectionKind>) {
    let body = if status == 401 { NO } else { "" };
    (status, body, Some(kind))
}

/// Sends a request to a service and reads the answer.
///
/// # Panics
///
/// When the service or the answer's body fails, or there is none after 30 s,
/// which is beyond every limit of the receivers under test.
pub async fn ask<S, B>(service: S, request: Request<B>) -> Answered
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Error: fmt::Debug,
{
    let answered = tokio::time::timeout(Duration::from_secs(30), service.oneshot(request));
    let (parts, body) = answered.await.expect("an answer").unwrap().into_parts();
    Answered {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
        kind: parts.extensions.get::<Rejection>().map(Rejection::kind),
    }
}

/// Waits for what must come soon.
///
/// # Panics
///
/// When it has not come after 10 s.
pub async fn soon<F: Future>(awaited: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), awaited)
        .await
        .expect("it comes within 10 s")
}

/// Lets every other task of this runtime run as far as it can.
pub async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Gives a request a body without an end, in frames of 1 KiB, and counts how
/// many of them are taken.
#[must_use]
pub fn endless(request: Request<Body>) -> (Request<Body>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let body = Body::new(Endless(Arc::clone(&taken)));
    (request.map(|_| body), taken)
}

struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 1024])))))
    }
}

/// How an endpoint is mounted. Both must answer the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The layer, around axum's route with the ready-made answer.
    Layer,
    /// The endpoint as a service.
    Terminal,
}

impl Form {
    /// Both forms.
    pub const BOTH: [Self; 2] = [Self::Layer, Self::Terminal];

    /// An app with the endpoint `name` at `/name`.
    ///
    /// # Panics
    ///
    /// When there is no such endpoint.
    pub fn mount(self, webhooks: &Webhooks, name: &str) -> Router {
        let path = format!("/{name}");
        match self {
            Self::Layer => {
                let layer = webhooks.layer(name).unwrap();
                // `any` would do; `post` alone answers other methods itself.
                Router::new().route(&path, post(ack).fallback(ack).layer(layer))
            }
            Self::Terminal => Router::new().route_service(&path, webhooks.endpoint(name).unwrap()),
        }
    }
}
