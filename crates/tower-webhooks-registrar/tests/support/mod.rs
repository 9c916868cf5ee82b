//! A sandbox on a socket, and a server that answers what it is told.

use axum::{Router, response::IntoResponse};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_webhooks_registrar::{Confidential, CryptoMate, Devdraft, M2m, Monterrey, MppCash, Wish};
use tower_webhooks_sandbox::Sandbox;

/// Something that listens for as long as it is held.
pub(crate) struct Listening {
    pub(crate) base: String,
    task: JoinHandle<()>,
}

impl Listening {
    /// An address where nobody listens.
    pub(crate) fn nobody(base: String) -> Self {
        let task = tokio::spawn(async {});
        Self { base, task }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve(sandbox: &Sandbox) -> Listening {
    listen(sandbox.router()).await
}

/// Answers everything alike.
pub(crate) async fn answering<A, F, R>(answer: A) -> Listening
where
    A: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = R> + Send,
    R: IntoResponse,
{
    listen(Router::new().fallback(answer)).await
}

pub(crate) async fn listen(app: Router) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Listening { base, task }
}

pub(crate) fn mppcash(at: &Listening) -> MppCash {
    let client = MppCash::new(Confidential::new("mpp_test_sandbox")).unwrap();
    client
        .with_base_url(&format!("{}/mppcash", at.base))
        .unwrap()
}

pub(crate) fn monterrey(at: &Listening) -> Monterrey {
    let client = Monterrey::new(Confidential::new("mk_test_sandbox")).unwrap();
    client
        .with_base_url(&format!("{}/monterrey", at.base))
        .unwrap()
}

pub(crate) fn cryptomate(at: &Listening) -> CryptoMate {
    let client = CryptoMate::new(Confidential::new("cm_test_sandbox")).unwrap();
    client
        .with_base_url(&format!("{}/cryptomate", at.base))
        .unwrap()
}

pub(crate) fn devdraft(at: &Listening) -> Devdraft {
    let key = Confidential::new("ck_test_sandbox");
    let client = Devdraft::new(key, Confidential::new("cs_test_sandbox")).unwrap();
    client
        .with_base_url(&format!("{}/devdraft", at.base))
        .unwrap()
}

pub(crate) fn m2m(at: &Listening) -> M2m {
    let client = M2m::new(Confidential::new("m2m_test_sandbox")).unwrap();
    client.with_base_url(&format!("{}/m2m", at.base)).unwrap()
}

pub(crate) const URL: &str = "http://127.0.0.1:9/hook";

/// 32 characters, which every provider takes.
pub(crate) fn secret() -> Confidential {
    Confidential::new("swordfish-swordfish-swordfish-01")
}

pub(crate) fn wish() -> Wish {
    Wish::new(URL)
}
