//! Providers that have no preset and are described in TOML alone: signed by
//! somebody else's HMAC, posted over HTTP.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::Router;
use tower_webhooks::{Endpoint, Provider, Secrets, Webhooks};
use tower_webhooks_tests::{FaultyInbox, Server, openssl};

const SECRET: &str = "a-secret-that-was-chosen-in-their-console";

/// What each of them sends, as its documentation shows it: a body, and its type.
const SENT: [(&str, &str, &str); 2] = [
    (
        "billit",
        r#"{"OrderID":12345,"EntityType":"Order"}"#,
        "Order",
    ),
    (
        "lemon-squeezy",
        r#"{"meta":{"event_name":"order_created"},"data":{"type":"orders","id":"1"}}"#,
        "order_created",
    ),
];

fn folder() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/providers"
    ))
}

fn described(name: &str) -> Provider {
    let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    toml::from_str(&text).unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The signature's header at that time, made without this library.
fn sign(name: &str, body: &str, at: u64) -> String {
    match name {
        "billit" => {
            let digest = openssl(SECRET, &format!("{at}.{body}"));
            format!("billit-signature: t={at},s={digest}")
        }
        _ => format!("x-signature: {}", openssl(SECRET, body)),
    }
}

struct Receiver {
    inbox: FaultyInbox,
    server: Server,
    _webhooks: Webhooks,
}

impl Receiver {
    async fn start(name: &str) -> Self {
        let inbox = FaultyInbox::new();
        let secrets = Secrets::new(SECRET).unwrap();
        let endpoint = Endpoint::new("theirs", described(name), secrets);
        let webhooks = Webhooks::start(inbox.clone(), [endpoint]).await.unwrap();
        let service = webhooks.endpoint("theirs").unwrap();
        let app = Router::new().route_service("/hook", service);
        Self {
            inbox,
            server: Server::start(app).await,
            _webhooks: webhooks,
        }
    }

    /// The status.
    async fn post(&self, header: &str, body: &str) -> u16 {
        let length = body.len();
        let request = format!(
            "POST /hook HTTP/1.1\r\nhost: test\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut wire = self.server.connect().await;
        wire.send(request.as_bytes()).await;
        let head = wire.head().await;
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn every_description_is_tried() {
    let files = fs::read_dir(folder()).unwrap();
    let names: BTreeSet<_> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_owned())
        .collect();
    let tried: BTreeSet<_> = SENT.map(|(name, ..)| name.into()).into();
    assert_eq!(names, tried);
    for (name, ..) in SENT {
        let provider = described(name);
        provider.check().unwrap();
        assert_eq!(provider.name(), name);
    }
}

#[tokio::test]
#[ignore = "needs openssl; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn what_they_send_is_received_with_no_rust_written_for_them() {
    for (name, body, event_type) in SENT {
        let receiver = Receiver::start(name).await;
        let signature = sign(name, body, now());
        assert_eq!(receiver.post(&signature, body).await, 200, "{name}");
        // Again, as after a lost answer.
        assert_eq!(receiver.post(&signature, body).await, 200, "{name}");
        let stored = receiver.inbox.all().await;
        assert_eq!(stored.len(), 1, "{name}");
        let stored = &stored[0].event;
        assert_eq!(stored.event_type.as_deref(), Some(event_type), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs openssl; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn with_one_thing_changed_it_is_refused() {
    for (name, body, _) in SENT {
        let receiver = Receiver::start(name).await;
        let signature = sign(name, body, now());
        let changed = body.replace("rder", "rdes");
        assert_ne!(changed, body);
        assert_eq!(receiver.post(&signature, &changed).await, 401, "{name}");
        let last = if signature.ends_with('0') { "1" } else { "0" };
        let other = format!("{}{last}", &signature[..signature.len() - 1]);
        assert_eq!(receiver.post(&other, body).await, 401, "{name}");
        assert_eq!(receiver.post("x-other: 1", body).await, 401, "{name}");
        if name == "billit" {
            let stale = sign(name, body, now() - 302);
            assert_eq!(receiver.post(&stale, body).await, 401, "{name}");
        }
        assert_eq!(receiver.inbox.all().await.len(), 0, "{name}");
    }
}
