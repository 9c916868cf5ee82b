//! The libraries that providers publish sign, we verify; we sign, they verify:
//! over real HTTP, with one thing changed for each negative.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by a panic; the versions are what a run is for"
)]

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::Router;
use bytes::Bytes;
use http::HeaderName;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tower_webhooks::{Endpoint, Secrets, Webhooks, providers, testing::Sender};
use tower_webhooks_tests::{FaultyInbox, Server};

/// What needs the public URL gets this one; the port that is the default's is
/// left out by who signs.
const ORIGIN: &str = "https://receiver.example";

const PROVIDERS: [&str; 6] = [
    "stripe",
    "standard-webhooks",
    "svix",
    "slack",
    "twilio",
    "github",
];

/// Where both languages' packages are.
fn folder() -> PathBuf {
    env::var_os("TOWER_WEBHOOKS_PROVIDER_LIBRARIES")
        .expect("eval \"$(scripts/provider-libraries)\"")
        .into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

impl Language {
    const ALL: [Self; 2] = [Self::Python, Self::Node];

    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// There is none for GitHub in Python, and Slack's for Node only verifies.
    fn signs(self, provider: &str) -> bool {
        self.verifies(provider) && (self, provider) != (Self::Node, "slack")
    }

    fn verifies(self, provider: &str) -> bool {
        (self, provider) != (Self::Python, "github")
    }

    /// Runs one task.
    fn run(self, task: &Task<'_>) -> Outcomes {
        let folder = folder();
        let mut command = match self {
            Self::Python => {
                let mut command = Command::new(folder.join("python/bin/python"));
                command.args(["-c", include_str!("../provider_libraries/libraries.py")]);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command
                    .args(["--input-type=module", "--eval"])
                    .arg(include_str!("../provider_libraries/libraries.mjs"));
                command
            }
        };
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let task = serde_json::to_vec(task).unwrap();
        child.stdin.take().unwrap().write_all(&task).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{self:?}: {}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[derive(Serialize, Default)]
struct Task<'a> {
    sign: &'a [Delivery],
    verify: &'a [Delivery],
}

#[derive(Deserialize)]
struct Outcomes {
    versions: BTreeMap<String, String>,
    signed: Vec<BTreeMap<String, String>>,
    verified: Vec<bool>,
}

#[derive(Debug, Clone, Serialize)]
struct Delivery {
    provider: &'static str,
    secret: String,
    url: String,
    id: String,
    timestamp: u64,
    body: String,
    headers: BTreeMap<String, String>,
}

impl Delivery {
    fn path(&self) -> &str {
        self.url.strip_prefix(ORIGIN).unwrap()
    }

    /// The header whose name ends so.
    fn header(&mut self, ends: &[&str]) -> Option<&mut String> {
        let mut headers = self.headers.iter_mut();
        headers.find_map(|(name, value)| {
            let found = ends.iter().any(|end| name.ends_with(end));
            found.then_some(value)
        })
    }

    /// The same with one thing changed, each in turn.
    fn changed(&self) -> Vec<(&'static str, Self)> {
        let mut changed = Vec::new();
        let mut one = |what, change: fn(&mut Self) -> Option<()>| {
            let mut delivery = self.clone();
            if change(&mut delivery).is_some() {
                changed.push((what, delivery));
            }
        };
        one("a byte of the body", |delivery| {
            // Still JSON, and still a form.
            let changed = delivery.body.replacen("hello", "hellp", 1);
            assert_ne!(changed, delivery.body);
            delivery.body = changed;
            Some(())
        });
        one("a character of the signature", |delivery| {
            let signature = delivery.header(&["-signature", "-signature-256"])?;
            // Not the last: in base64 a bit of it may mean nothing.
            let at = signature.len() - 8;
            let other = if signature.as_bytes()[at] == b'0' {
                "1"
            } else {
                "0"
            };
            signature.replace_range(at..=at, other);
            Some(())
        });
        one("the signed time", |delivery| {
            let timestamp: u64 = delivery.header(&["-timestamp"])?.parse().unwrap();
            *delivery.header(&["-timestamp"])? = (timestamp - 1).to_string();
            Some(())
        });
        one("the signed id", |delivery| {
            delivery.header(&["-id"])?.push('0');
            Some(())
        });
        changed
    }
}

fn secret(provider: &str) -> &'static str {
    match provider {
        "standard-webhooks" | "svix" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => "whsec_shared-with-the-provider",
    }
}

/// What each provider sends, in ways that a second serialisation would change.
fn deliveries(providers: impl IntoIterator<Item = &'static str>, from: &str) -> Vec<Delivery> {
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut deliveries = Vec::new();
    for provider in providers {
        for (nth, body) in bodies(provider).into_iter().enumerate() {
            let id = format!("msg_{from}_{nth}");
            deliveries.push(Delivery {
                provider,
                secret: secret(provider).to_owned(),
                url: format!("{ORIGIN}/{provider}"),
                body: body.replace("ID", &id),
                id,
                timestamp,
                headers: BTreeMap::new(),
            });
        }
    }
    deliveries
}

fn bodies(provider: &str) -> Vec<String> {
    if provider == "twilio" {
        let long = "x".repeat(20_000);
        return vec![
            "MessageSid=ID&MessageStatus=delivered&Body=hello".to_owned(),
            "MessageStatus=sent&Body=hello+%C3%A9t%C3%A9%20%26%3D%F0%9F%98%80&MessageSid=ID&Empty="
                .to_owned(),
            format!("Body=hello{long}&MessageStatus=failed&MessageSid=ID"),
        ];
    }
    let long = "x".repeat(70_000);
    vec![
        r#"{"id":"ID","type":"a.b","data":{"text":"hello"}}"#.to_owned(),
        "{ \"data\" : {\"n\":1.50, \"e\":1E2,\n\t\"text\":\"hello \\u00e9\\/\u{e9}t\u{e9} \u{1f600}\"},\r\n  \"type\":\"a.b\",\"id\":\"ID\" }\n".to_owned(),
        format!(r#"{{"type":"a.b","id":"ID","data":{{"text":"hello{long}"}}}}"#),
    ]
}

/// Receivers of all of them.
struct Receivers {
    inbox: FaultyInbox,
    server: Server,
    _webhooks: Webhooks,
}

impl Receivers {
    async fn start() -> Self {
        let inbox = FaultyInbox::new();
        let endpoints = PROVIDERS.map(|name| {
            let provider = providers::find(name).unwrap();
            Endpoint::new(name, provider, Secrets::new(secret(name)).unwrap())
                .with_public_url(format!("{ORIGIN}/{name}"))
        });
        let webhooks = Webhooks::start(inbox.clone(), endpoints).await.unwrap();
        let mut app = Router::new();
        for name in PROVIDERS {
            app = app.route_service(&format!("/{name}"), webhooks.endpoint(name).unwrap());
        }
        Self {
            inbox,
            server: Server::start(app).await,
            _webhooks: webhooks,
        }
    }

    /// The status line's number.
    async fn send(&self, delivery: &Delivery) -> u16 {
        let mut request = format!("POST {} HTTP/1.1\r\nhost: test\r\n", delivery.path());
        for (name, value) in &delivery.headers {
            request += &format!("{name}: {value}\r\n");
        }
        let kind = match delivery.provider {
            "twilio" => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        let length = delivery.body.len();
        request += &format!("content-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
        request += &delivery.body;
        let mut wire = self.server.connect().await;
        wire.send(request.as_bytes()).await;
        let head = wire.head().await;
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn accepted(provider: &str) -> u16 {
    match provider {
        "standard-webhooks" | "svix" => 204,
        _ => 200,
    }
}

#[tokio::test]
#[ignore = "needs the providers' packages: eval \"$(scripts/provider-libraries)\""]
async fn what_they_sign_is_taken_and_what_was_changed_is_not() {
    for language in Language::ALL {
        let receivers = Receivers::start().await;
        let signers = PROVIDERS.into_iter().filter(|name| language.signs(name));
        let mut deliveries = deliveries(signers, language.name());
        let outcomes = language.run(&Task {
            sign: &deliveries,
            ..Task::default()
        });
        println!("{language:?}: {:?}", outcomes.versions);
        assert_eq!(outcomes.signed.len(), deliveries.len());
        let mut refused = 0;
        for (delivery, headers) in deliveries.iter_mut().zip(outcomes.signed) {
            delivery.headers = headers;
            for (what, changed) in delivery.changed() {
                let status = receivers.send(&changed).await;
                assert_eq!(status, 401, "{language:?}, {what}: {changed:?}");
                refused += 1;
            }
        }
        assert_eq!(receivers.inbox.all().await.len(), 0, "{language:?}");
        for delivery in &deliveries {
            let status = receivers.send(delivery).await;
            assert_eq!(
                status,
                accepted(delivery.provider),
                "{language:?}: {delivery:?}"
            );
        }
        let stored = receivers.inbox.all().await.len();
        assert_eq!(stored, deliveries.len(), "{language:?}");
        println!("{language:?}: {stored} taken, {refused} refused");
    }
}

#[tokio::test]
#[ignore = "needs the providers' packages: eval \"$(scripts/provider-libraries)\""]
async fn what_we_sign_they_take_and_what_was_changed_they_do_not() {
    for language in Language::ALL {
        let verifiers = PROVIDERS.into_iter().filter(|name| language.verifies(name));
        let mut taken = Vec::new();
        let mut changed = Vec::new();
        for mut delivery in deliveries(verifiers, language.name()) {
            delivery.sign().await;
            changed.extend(delivery.changed().into_iter().map(|(_, changed)| changed));
            taken.push(delivery);
        }
        let verify = [&taken[..], &changed].concat();
        let outcomes = language.run(&Task {
            verify: &verify,
            ..Task::default()
        });
        assert_eq!(outcomes.verified.len(), verify.len());
        for (nth, (delivery, verified)) in verify.iter().zip(outcomes.verified).enumerate() {
            assert_eq!(verified, nth < taken.len(), "{language:?}: {delivery:?}");
        }
        println!(
            "{language:?}: {} taken, {} refused",
            taken.len(),
            changed.len()
        );
    }
}

impl Delivery {
    /// Signs it as this library's users do in their tests.
    async fn sign(&mut self) {
        let mut sender = Sender::new(providers::find(self.provider).unwrap(), &*self.secret)
            .unwrap()
            .to(self.path())
            .with_public_url(&self.url);
        let signed_id = match self.provider {
            "standard-webhooks" => Some("webhook-id"),
            "svix" => Some("svix-id"),
            _ => None,
        };
        if let Some(name) = signed_id {
            let value = self.id.parse().unwrap();
            sender = sender.header(HeaderName::from_static(name), value);
        }
        let request = sender.request(Bytes::from(self.body.clone())).unwrap();
        let (parts, body) = request.into_parts();
        for (name, value) in &parts.headers {
            let value = value.to_str().unwrap().to_owned();
            self.headers.insert(name.to_string(), value);
        }
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(body, self.body);
    }
}
