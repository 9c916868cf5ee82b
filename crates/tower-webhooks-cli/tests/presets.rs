//! Every preset, end to end: what the command signs and sends, real receivers
//! take; and nothing else.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn},
};
use support::{Ran, finish_showing_token, webhooks, write};
use tower_webhooks::{
    Delivery, Endpoint, EventHead, Head, MemoryInbox, Provider, Secrets, Verifier, Webhooks,
    provider::{Part, Scheme},
    providers,
};
use tower_webhooks_core::SecretPair;

/// What opens payloads, and what proves handshakes.
const PAYLOAD_SECRET: &str = "0123456789abcdef0123456789ABCDEF";
const TOKEN: &str = "a-token-of-handshakes";

/// What came in.
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver as users mount one, on a socket.
struct Mounted {
    provider: Provider,
    pair: SecretPair,
    address: SocketAddr,
    url: String,
    seen: Seen,
    _runtime: tokio::runtime::Runtime,
}

impl Mounted {
    fn new(provider: Provider) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/hook");
        let pair = SecretPair::generate(&provider, &[7; 32]).unwrap();
        let secrets = Secrets::new(pair.receiver()).unwrap();
        let endpoint = Endpoint::new("hooks", provider.clone(), secrets)
            .with_public_url(url.clone())
            .with_handshake_secrets(Secrets::new(TOKEN).unwrap());
        let endpoint = if provider.needs_payload_secrets() {
            endpoint.with_payload_secrets(Secrets::new(PAYLOAD_SECRET).unwrap())
        } else {
            endpoint
        };
        let webhooks = runtime
            .block_on(Webhooks::start(MemoryInbox::new(), [endpoint]))
            .unwrap();
        let seen = Seen::default();
        let keep = {
            let seen = Arc::clone(&seen);
            from_fn(move |request: Request, next: Next| {
                let seen = Arc::clone(&seen);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = to_bytes(body, 1 << 20).await.unwrap();
                    let copy = (parts.headers.clone(), body.clone());
                    seen.lock().unwrap().push(copy);
                    next.run(Request::from_parts(parts, Body::from(body))).await
                }
            })
        };
        let app = Router::new()
            .route_service("/hook", webhooks.endpoint("hooks").unwrap())
            .layer(keep);
        runtime.spawn(async move {
            axum::serve(listener, app).await.unwrap();
            drop(webhooks);
        });
        Self {
            provider,
            pair,
            address,
            url,
            seen,
            _runtime: runtime,
        }
    }

    /// The command, as the provider, for an event of that type.
    fn run(&self, command: &str, event: &str, options: &[&str]) -> Ran {
        let ran = self.run_showing_token(command, event, options);
        assert!(!ran.stdout.contains(self.pair.sender()), "shows the secret");
        ran
    }

    fn run_showing_token(&self, command: &str, event: &str, options: &[&str]) -> Ran {
        let mut run = webhooks();
        let provider = self.provider.name().as_str();
        run.args([command, "--provider", provider, "--url", &self.url])
            .args(["--event", event])
            .args(options)
            .env("WEBHOOK_SECRET", self.pair.sender())
            .env("WEBHOOK_PAYLOAD_SECRET", PAYLOAD_SECRET);
        let ran = finish_showing_token(run, "");
        assert!(!ran.stderr.contains(self.pair.sender()), "shows the secret");
        ran
    }

    /// The last request, as its bytes came.
    fn last(&self) -> (HeaderMap, Bytes) {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// Sends a request as it is: the status of the answer.
    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> u16 {
        let mut request = b"POST /hook HTTP/1.1\r\n".to_vec();
        for (name, value) in headers {
            request.extend_from_slice(format!("{name}: ").as_bytes());
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"connection: close\r\n\r\n");
        request.extend_from_slice(body);
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap();
        status.parse().unwrap()
    }

    fn verify(&self, headers: &HeaderMap, body: Bytes) -> Delivery {
        let verifier = Verifier::new(
            self.provider.clone(),
            &Secrets::new(self.pair.receiver()).unwrap(),
        )
        .unwrap()
        .with_public_url(Some(self.url.clone().into()))
        .with_payload_secrets(&Secrets::new(PAYLOAD_SECRET).unwrap())
        .unwrap();
        let now = SystemTime::now();
        let (method, uri) = (http::Method::POST, http::Uri::from_static("/hook"));
        let screened = self.provider.screen(headers, now).unwrap();
        let head = Head::new(&method, &uri, headers);
        verifier.verify(head, &screened, body, now).unwrap()
    }
}

/// The one event of a delivery, of one that may hold several too.
fn event(delivery: &Delivery) -> &EventHead {
    match delivery.items() {
        Some([item]) => item.event().unwrap(),
        Some(items) => panic!("{items:?}"),
        None => delivery.event().unwrap(),
    }
}

#[test]
fn what_is_sent_is_taken_by_a_real_receiver_and_one_byte_less_true_is_not() {
    for provider in providers::all() {
        let receiver = Mounted::new(provider);
        let provider = &receiver.provider;
        let expected = provider.answers().acknowledge.status;
        for known in &provider.events().list {
            let ran = receiver.run("send", &known.name, &[]);
            let name = format!("{} {}", provider.name(), known.name);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}: {ran:?}");
            let begins = format!("{expected} in ");
            assert!(ran.stdout.starts_with(&begins), "{name}: {ran:?}");
            let (headers, body) = receiver.last();
            let delivery = receiver.verify(&headers, body.clone());
            assert_eq!(event(&delivery).event_type(), &known.name);

            assert_eq!(receiver.answer(&headers, &body), expected, "{name}");
            let (headers, body) = one_byte_changed(provider, headers, &body);
            assert_eq!(receiver.answer(&headers, &body), 401, "{name}");
        }
    }
}

/// The request with one other byte where the provider proves anything: of the
/// body, of a signed field in it, or of the token where nothing is signed.
fn one_byte_changed(
    provider: &Provider,
    mut headers: HeaderMap,
    body: &[u8],
) -> (HeaderMap, Vec<u8>) {
    let scheme = provider.scheme();
    let mut body = body.to_vec();
    let is_form = |part: &Part| matches!(part, Part::Form { .. });
    let field = scheme.parts().iter().find_map(|part| match part {
        Part::Field(pointer) | Part::OptionalField(pointer) => Some(pointer.as_str()),
        _ => None,
    });
    match (scheme, scheme.header()) {
        (Scheme::Token(_), Some(name)) => {
            let mut token = headers[name].as_bytes().to_vec();
            *token.last_mut().unwrap() ^= 1;
            headers.insert(name, HeaderValue::from_bytes(&token).unwrap());
        }
        _ if scheme.covers_body() || scheme.parts().iter().any(is_form) => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        _ => {
            let pointer = field.or_else(|| scheme.field()).unwrap().replace('*', "0");
            let whole: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let value = whole.pointer(&pointer).unwrap().to_string();
            let text = String::from_utf8(body.clone()).unwrap();
            let last = text.find(&value).unwrap() + value.len() - 2;
            body[last] ^= 1;
        }
    }
    (headers, body)
}

#[test]
fn several_are_different_events_and_the_same_is_the_same() {
    for provider in providers::all() {
        let receiver = Mounted::new(provider);
        let provider = &receiver.provider;
        let known = provider.events().list[0].name.clone();
        let told = |options: &[&str]| {
            let json = [options, &["--json", "--count", "2"]].concat();
            let ran = receiver.run("send", &known, &json);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
            let lines = ran.stdout.lines();
            let lines: Vec<serde_json::Value> = lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            for line in &lines {
                assert_eq!(line["event_type"], known.as_str(), "{}", provider.name());
            }
            let sent = receiver.seen.lock().unwrap();
            let [first, second] = [2, 1].map(|back| sent[sent.len() - back].clone());
            let contents = [first, second].map(|(headers, body)| {
                let delivery = receiver.verify(&headers, body);
                let event = event(&delivery);
                (event.id().cloned(), delivery.content().unwrap().clone())
            });
            let ids = contents.each_ref().map(|one| one.0.as_deref());
            assert_eq!(lines[0]["id"].as_str(), ids[0], "{}", provider.name());
            contents
        };
        let [first, second] = told(&[]);
        match provider.envelope().id() {
            Some(_) => assert_ne!(first.0, second.0, "{}", provider.name()),
            None => assert_ne!(first.1, second.1, "{}", provider.name()),
        }
        let [first, second] = told(&["--same"]);
        assert_eq!(first.0, second.0, "{}", provider.name());
    }
}

#[test]
fn what_is_signed_is_verified_for_every_preset() {
    let folder = tempfile::tempdir().unwrap();
    for provider in providers::all() {
        let receiver = Mounted::new(provider);
        let provider = &receiver.provider;
        let body = folder.path().join("body");
        let body = body.to_str().unwrap();
        for known in &provider.events().list {
            let ran = receiver.run_showing_token("sign", &known.name, &["--body-out", body]);
            let name = format!("{} {}", provider.name(), known.name);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}: {ran:?}");
            if !matches!(provider.scheme(), Scheme::Token(_)) {
                assert!(!ran.stdout.contains(receiver.pair.sender()), "{name}");
            }
            let headers = format!("@{}", write(folder.path(), "headers", &ran.stdout));
            let verify = |payload_secret: Option<&str>| {
                let mut verify = webhooks();
                verify
                    .args([
                        "verify",
                        "--provider",
                        provider.name(),
                        "--url",
                        &receiver.url,
                    ])
                    .args(["--header", &headers, "--body-file", body])
                    .env("WEBHOOK_SECRET", receiver.pair.receiver());
                if let Some(secret) = payload_secret {
                    verify.env("WEBHOOK_PAYLOAD_SECRET", secret);
                }
                finish_showing_token(verify, "")
            };
            let ran = verify(Some(PAYLOAD_SECRET));
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}: {ran:?}");
            let begins = format!("verified: {}\nsecret: current\n", provider.name());
            assert!(ran.stdout.starts_with(&begins), "{name}: {ran:?}");
            let told = match provider.envelope().is_batch() {
                true => format!("\nevent 1: {}", known.name),
                false => format!("\ntype: {}\n", known.name),
            };
            assert!(ran.stdout.contains(&told), "{name}: {ran:?}");
            if provider.envelope().is_batch() {
                assert!(ran.stdout.contains("\nevents: 1\n"), "{name}: {ran:?}");
            }
            if provider.needs_payload_secrets() {
                let ran = verify(None);
                assert_eq!(ran.code, 0, "{name}: it is authentic");
                assert!(
                    ran.stdout.contains("\nunusable: undecryptable\n"),
                    "{ran:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_provider_needs_and_was_not_given_is_said() {
    for (arguments, words) in [
        (
            "sign --provider wechat-pay --event TRANSACTION.SUCCESS",
            "encrypts its payloads: give --payload-secret-file",
        ),
        (
            "sign --provider adyen --event AUTHORISATION --secret 00ff",
            "this provider writes into the body: --body-out FILE keeps what it sends",
        ),
        (
            "sign --provider hubspot --event contact.creation",
            "this provider signs its URL: give --url",
        ),
        (
            "sign --provider discord --event APPLICATION_AUTHORIZED",
            "is not in the form that this provider's secrets have",
        ),
        (
            "sign --provider github --event push --payload-secret-file none",
            "this provider has no secret for payloads",
        ),
        (
            "sandbox register --provider wechat-pay --url http://127.0.0.1:9/",
            "the secret for payloads has no place to go: give --payload-secret-file",
        ),
    ] {
        let ran = support::run(arguments);
        support::assert_one_line(&ran, 2, words);
    }
    // Where the URL that is signed is another than the one that is called.
    let square = Mounted::new(providers::square());
    let public = ["--public-url", "https://shop.example/hook"];
    let ran = square.run("send", "payment.updated", &public);
    assert!(ran.stdout.starts_with("401 in "), "{ran:?}");
    let public = ["--public-url", &square.url];
    let ran = square.run("send", "payment.updated", &public);
    assert!(ran.stdout.starts_with("200 in "), "{ran:?}");
    assert_eq!(square.last().0[header::CONTENT_TYPE], "application/json");
}
