//! A receiver on a socket.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::IntoResponse};
use tower_webhooks_core::{Delivery, Head, Secrets, Verifier, providers};

use super::{
    SECRET,
    flawed::{Flaw, Flawed},
};

/// What a receiver got.
pub(crate) type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that gives one answer to everything, as long as it is held.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) received: Received,
    _runtime: tokio::runtime::Runtime,
}

impl Receiver {
    pub(crate) fn answering<R: IntoResponse + Clone + Send + Sync + 'static>(answer: R) -> Self {
        Self::new(move |_| {
            let answer = answer.clone();
            async move { answer }
        })
    }

    pub(crate) fn new<A, F, R>(answer: A) -> Self
    where
        A: Fn(HeaderMap) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send,
        R: IntoResponse,
    {
        Self::bind("127.0.0.1:0".parse().unwrap(), answer)
    }

    /// One that accepts everything, at this address.
    pub(crate) fn on(address: SocketAddr) -> Self {
        Self::bind(address, |_| async { "OK" })
    }

    /// One that decides its status by the whole request.
    pub(crate) fn verifying(
        decide: impl Fn(&HeaderMap, Bytes) -> u16 + Clone + Send + Sync + 'static,
    ) -> Self {
        let app = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            http::StatusCode::from_u16(decide(&headers, body)).unwrap()
        });
        Self::running(app)
    }

    /// One that is this app.
    pub(crate) fn running(app: Router) -> Self {
        Self::serve("127.0.0.1:0".parse().unwrap(), app, Received::default())
    }

    /// One that keeps what it gets in a folder, with a flaw.
    pub(crate) fn flawed(flaw: Flaw, folder: PathBuf) -> Self {
        Self::serve_with(
            "127.0.0.1:0".parse().unwrap(),
            || Flawed::open(flaw, folder).app(),
            Received::default(),
        )
    }

    fn bind<A, F, R>(address: SocketAddr, answer: A) -> Self
    where
        A: Fn(HeaderMap) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = R> + Send,
        R: IntoResponse,
    {
        let received = Received::default();
        let keep = async move |State(received): State<Received>, headers: HeaderMap, body| {
            received.lock().unwrap().push((headers.clone(), body));
            answer(headers).await
        };
        let app = Router::new().fallback(keep).with_state(received.clone());
        Self::serve(address, app, received)
    }

    fn serve(address: SocketAddr, app: Router, received: Received) -> Self {
        Self::serve_with(address, || app, received)
    }

    /// Makes the app inside of the runtime.
    fn serve_with(address: SocketAddr, app: impl FnOnce() -> Router, received: Received) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = {
            let _inside = runtime.enter();
            app()
        };
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            received,
            _runtime: runtime,
        }
    }

    /// What came, verified with the secret.
    pub(crate) fn deliveries(&self, provider: &str) -> Vec<Delivery> {
        let provider = providers::find(provider).unwrap();
        let verifier = Verifier::new(provider, &Secrets::new(SECRET).unwrap()).unwrap();
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|(headers, body)| {
                let now = SystemTime::now();
                let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
                let head = Head::new(&method, &uri, headers);
                let screened = verifier.provider().screen(headers, now).unwrap();
                verifier.verify(head, &screened, body.clone(), now).unwrap()
            })
            .collect()
    }
}
