//! A receiver that verifies, and a caller of management APIs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use serde_json::Value;
use tower::ServiceExt as _;
use tower_webhooks_core::{Delivery, EventHead, Head, Provider, Secrets, Verifier, providers};
use tower_webhooks_sandbox::{Registration, Sandbox};

/// What a receiver got.
type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver of everything on a socket.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Received,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// One that answers what `answer` says to the how-manieth request.
    pub(crate) async fn start<A, F, R>(answer: A) -> Self
    where
        A: Fn(usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send,
        R: IntoResponse,
    {
        Self::on("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn on<A, F, R>(address: SocketAddr, answer: A) -> Self
    where
        A: Fn(usize) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send,
        R: IntoResponse,
    {
        let received = Received::default();
        let keep =
            async move |State(received): State<Received>, headers: HeaderMap, body: Bytes| {
                let number = {
                    let mut received = received.lock().unwrap();
                    received.push((headers, body));
                    received.len()
                };
                answer(number).await
            };
        let app = Router::new().fallback(keep).with_state(received.clone());
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            received,
            task,
        }
    }

    /// One that accepts everything.
    pub(crate) async fn willing() -> Self {
        Self::start(async |_| "OK").await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        let received = self.received.lock().unwrap();
        let parse = |(_, body): &(HeaderMap, Bytes)| serde_json::from_slice(body).unwrap();
        received.iter().map(parse).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let value = |(headers, _): &(HeaderMap, Bytes)| headers[name].to_str().unwrap().to_owned();
        received.iter().map(value).collect()
    }

    /// What came, verified with what the receiver was given.
    pub(crate) fn deliveries(&self, registered: &Registration) -> Vec<Delivery> {
        let provider = providers::find(&registered.provider).unwrap();
        self.deliveries_as(provider, registered)
    }

    /// The same, read by that description.
    pub(crate) fn deliveries_as(
        &self,
        provider: Provider,
        registered: &Registration,
    ) -> Vec<Delivery> {
        let verifier = Verifier::new(provider, &Secrets::new(registered.secret()).unwrap())
            .unwrap()
            .with_public_url(Some(registered.url.clone().into()));
        let verifier = match registered.payload_secret() {
            Some(secret) => verifier
                .with_payload_secrets(&Secrets::new(secret).unwrap())
                .unwrap(),
            None => verifier,
        };
        let received = self.received.lock().unwrap();
        let verify = |(headers, body): &(HeaderMap, Bytes)| {
            let now = SystemTime::now();
            let (method, uri) = (Method::POST, Uri::from_static("/hook"));
            let head = Head::new(&method, &uri, headers);
            let screened = verifier.provider().screen(headers, now).unwrap();
            let delivery = verifier.verify(head, &screened, body.clone(), now).unwrap();
            delivery.with_headers(headers.clone())
        };
        received.iter().map(verify).collect()
    }
}

/// The one event of a delivery, of one that may hold several too.
pub(crate) fn event(delivery: &Delivery) -> &EventHead {
    match delivery.items() {
        Some([item]) => item.event().unwrap(),
        Some(items) => panic!("{items:?}"),
        None => delivery.event().unwrap(),
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls a management API: the status, the headers and the body.
pub(crate) async fn call(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "127.0.0.1:4000");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response: Response = sandbox.router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (parts.status, parts.headers, body)
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
