//! The whole way without an account or a network: the sandbox is the provider,
//! the registrar registers, a receiver handles.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{collections::BTreeSet, net::SocketAddr};

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};
use tower_webhooks::{
    Endpoint, EventRouter, Job, MemoryInbox, Provider, Secrets, Webhooks, providers, testing::Runs,
};
use tower_webhooks_registrar::{
    Confidential, CryptoMate, Devdraft, Ensure, Error, ManagementApi, Monterrey, MppCash, Plan,
    Registration, Wish, ensure,
};
use tower_webhooks_sandbox::{NewRegistration, Sandbox, State, Trigger};
use tower_webhooks_tests::soon;

const SECRET: &str = "the-secret-that-was-chosen-by-the-user";

/// A receiver that handles everything, on a listener.
struct Receiver {
    runs: Runs,
    task: JoinHandle<()>,
    _webhooks: Webhooks,
}

impl Receiver {
    async fn start(listener: TcpListener, provider: Provider, secret: &str) -> Self {
        let secrets = Secrets::new(secret).unwrap();
        Self::of(listener, Endpoint::new("provider", provider, secrets)).await
    }

    async fn of(listener: TcpListener, endpoint: Endpoint) -> Self {
        let endpoint = endpoint.events(EventRouter::new().on("*", |_: Job| async {}));
        let runs = Runs::new();
        let builder = runs.watch(Webhooks::builder());
        let webhooks = builder.start(MemoryInbox::new(), [endpoint]).await.unwrap();
        let service = webhooks.endpoint("provider").unwrap();
        let app = Router::new().route_service("/hook", service);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            runs,
            task,
            _webhooks: webhooks,
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    (listener, url)
}

/// The sandbox on a socket, and where a provider's API is.
async fn serve(sandbox: &Sandbox) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sandbox = sandbox.clone();
    tokio::spawn(async move { sandbox.serve(listener).await.unwrap() });
    address
}

/// Registers as that provider wants it.
async fn register(provider: &str, at: SocketAddr, url: &str) -> Registration {
    let base = format!("http://{at}/{provider}");
    let key = |key: &str| Confidential::new(key);
    let wish = Wish::new(url);
    let chosen = Confidential::new(SECRET);
    match provider {
        "mppcash" => {
            let api = MppCash::new(key("mpp_test_sandbox"));
            ensured(
                api.and_then(|api| api.with_base_url(&base)),
                wish.with_events(["*"]),
            )
            .await
        }
        "monterrey" => {
            let api = Monterrey::new(key("mk_test_sandbox"));
            let wish = wish.with_events(["*"]).with_secret(chosen);
            ensured(api.and_then(|api| api.with_base_url(&base)), wish).await
        }
        "cryptomate" => {
            let api = CryptoMate::new(key("cm_test_sandbox"));
            let wish = wish.with_secret(chosen);
            ensured(api.and_then(|api| api.with_base_url(&base)), wish).await
        }
        _ => {
            let api = Devdraft::new(key("ck_test_sandbox"), key("cs_test_sandbox"));
            let wish = wish.with_name("Orders");
            ensured(api.and_then(|api| api.with_base_url(&base)), wish).await
        }
    }
}

async fn ensured<A: ManagementApi>(api: Result<A, Error>, wish: Wish) -> Registration {
    let ensured = ensure(&api.unwrap(), &wish, Ensure::ForceCreate)
        .await
        .unwrap();
    assert_eq!(ensured.plan, Plan::Create);
    ensured.registration.unwrap()
}

#[tokio::test]
async fn every_event_of_the_five_is_registered_for_triggered_and_handled() {
    for provider in providers::all() {
        let name = provider.name().as_str();
        let sandbox = Sandbox::builder().start().unwrap();
        let at = serve(&sandbox).await;
        let (listener, url) = listen().await;
        let secret = match name {
            // Its portal has no API.
            "m2m" => sandbox
                .register(NewRegistration::new("m2m", url.as_str()))
                .unwrap()
                .secret()
                .to_owned(),
            "cryptomate" | "devdraft" | "monterrey" | "mppcash" => {
                let made = register(name, at, &url).await;
                made.secret
                    .map_or_else(|| SECRET.to_owned(), |made| made.expose().to_owned())
            }
            // Other presets have no management API here.
            _ => continue,
        };
        let receiver = Receiver::start(listener, provider.clone(), &secret).await;
        let mut expected = BTreeSet::new();
        for event in &provider.events().list {
            let trigger = Trigger::new(name, event.name.clone());
            let ids = sandbox.trigger(&trigger).unwrap();
            assert_eq!(ids.len(), 1, "{name} {}", event.name);
            let dispatch = soon(sandbox.ended(&ids[0])).await.unwrap();
            assert_eq!(dispatch.state, State::Delivered, "{dispatch:?}");
            expected.insert(event.name.clone());
        }
        let mut handled = BTreeSet::new();
        for _ in &expected {
            let run = soon(receiver.runs.next()).await;
            assert_eq!(run.error, None);
            handled.insert(run.event_type);
        }
        assert_eq!(handled, expected, "{name}");
    }
}

#[tokio::test]
async fn what_a_receiver_missed_is_handled_once_when_it_is_back() {
    // A minute is 50 ms.
    let sandbox = Sandbox::builder().with_time_scale(1_200.0).start().unwrap();
    let at = serve(&sandbox).await;
    let (listener, url) = listen().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    register("monterrey", at, &url).await;
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let id = sandbox.trigger(&trigger).unwrap().remove(0);
    let away = soon(sandbox.attempted(&id, 3)).await.unwrap();
    assert_eq!(away.state, State::Pending, "{away:?}");

    let listener = TcpListener::bind(address).await.unwrap();
    let receiver = Receiver::start(listener, providers::monterrey(), SECRET).await;
    let back = soon(sandbox.ended(&id)).await.unwrap();
    assert_eq!(back.state, State::Delivered, "{back:?}");
    let again = soon(sandbox.redeliver(&id)).await.unwrap();
    assert_eq!(again.attempts.len(), back.attempts.len() + 1);
    assert_eq!(again.state, State::Delivered);
    // One that comes later is handled next: the redelivery ran nothing.
    let later = sandbox.trigger(&trigger).unwrap().remove(0);
    let later = soon(sandbox.ended(&later)).await.unwrap();
    let handled = [
        soon(receiver.runs.next()).await,
        soon(receiver.runs.next()).await,
    ];
    let handled = handled.map(|run| run.event_id);
    assert_eq!(handled, [again.event_id.unwrap(), later.event_id.unwrap()]);
}

#[tokio::test]
async fn every_event_that_devdraft_encrypts_is_opened_and_handled() {
    let sandbox = Sandbox::builder().start().unwrap();
    let at = serve(&sandbox).await;
    let key = |key: &str| Confidential::new(key);
    let api = Devdraft::new(key("ck_test_sandbox"), key("cs_test_sandbox")).unwrap();
    let api = api.with_base_url(&format!("http://{at}/devdraft")).unwrap();
    let (listener, url) = listen().await;
    let wish = Wish::new(url).with_name("Orders").with_secret(key(SECRET));
    let plain = ensure(&api, &wish, Ensure::Apply).await.unwrap();
    assert_eq!(plain.registration.unwrap().payload_secret, None);
    // Asked for later, by a change of the same registration.
    let wish = wish.encrypted();
    let sealed = ensure(&api, &wish, Ensure::Apply).await.unwrap();
    assert_eq!(sealed.plan, Plan::Update);
    let opens = sealed.registration.unwrap().payload_secret.unwrap();

    let provider = providers::devdraft_encrypted();
    let endpoint = Endpoint::new("provider", provider.clone(), Secrets::new(SECRET).unwrap())
        .with_payload_secrets(Secrets::new(opens.expose()).unwrap());
    let receiver = Receiver::of(listener, endpoint).await;
    for event in &provider.events().list {
        let trigger = Trigger::new("devdraft", event.name.clone());
        let id = sandbox.trigger(&trigger).unwrap().remove(0);
        let dispatch = soon(sandbox.ended(&id)).await.unwrap();
        assert_eq!(dispatch.state, State::Delivered, "{dispatch:?}");
        // One that cannot be opened is acknowledged too, and never handled.
        let run = soon(receiver.runs.next()).await;
        assert_eq!((run.error, run.event_type), (None, event.name.clone()));
    }
}
