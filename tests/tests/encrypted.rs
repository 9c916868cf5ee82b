//! Encrypted payloads: verified, opened, handled, kept sealed; and what becomes of
//! those that nobody can open. Over real connections, in both forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{error::Error, io::Write as _, sync::Arc, time::Duration};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderName, HeaderValue, Request, header::CONTENT_ENCODING, request::Parts};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower_webhooks::{
    Endpoint, EventRouter, Inbox, Job, MemoryInbox, Provider, Role, SecretSource, Secrets,
    SetupError, SqliteInbox, StartError, Tenant, Text, WebhookLayer, Webhooks, Worker,
    provider::{Cipher, CodedField, Coding, Compression, Encryption},
    providers,
    testing::Sender,
    worker::HandledEndpoint,
};
use tower_webhooks_inbox::{
    Committer, CommitterOptions, EventSeq, EventState, Filter, JobState, Reading, Selection,
};
use tower_webhooks_tests::{Figures, Form, Posted, SECRET, Seen, acme, ask, soon};

const KEY: &str = "0123456789abcdef0123456789ABCDEF";
const NEXT_KEY: &str = "fedcba9876543210fedcba9876543210";

fn secrets(text: &str) -> Secrets {
    Secrets::new(text).unwrap()
}

fn rotated() -> Secrets {
    secrets(NEXT_KEY).with_previous(KEY).unwrap()
}

/// Ours with WeChat Pay's form of payloads.
fn resource() -> Provider {
    acme().with_encryption(
        Encryption::of_data(Cipher::Aes256Gcm, "/data/ciphertext")
            .with_nonce(CodedField::text("/data/nonce"))
            .with_associated(CodedField::text("/data/associated_data"))
            .with_named("/data/algorithm", "AEAD_AES_256_GCM"),
    )
}

const RESOURCE: &str = r#"{"type":"order.paid","id":"evt_1","data":{"algorithm":"AEAD_AES_256_GCM","ciphertext":"{\"n\":1}","associated_data":"order","nonce":""},"n":2}"#;

const PLAIN: &str = r#"{"id":"evt_1","event_type":"payment.completed","created_at":"2026-11-22T10:00:00Z","data":{"n":1}}"#;

/// Made by `openssl genpkey`.
const RSA_PRIVATE: &str =
    include_str!("../../crates/tower-webhooks-core/tests/provider_conformance/keys/rsa-1.pem");
const RSA_PUBLIC: &str =
    include_str!("../../crates/tower-webhooks-core/tests/provider_conformance/keys/rsa-1.pub.pem");

/// What is sealed as it should be, and what the handler is given of it.
struct Good {
    provider: Provider,
    /// The receiver's secret, and the sender's.
    secrets: (&'static str, &'static str),
    body: &'static str,
    seen: Seen,
}

fn good() -> [Good; 4] {
    [
        Good {
            provider: providers::devdraft_encrypted(),
            secrets: (SECRET, SECRET),
            body: PLAIN,
            seen: Seen::new("payment.completed", "evt_1", r#"{"n":1}"#),
        },
        Good {
            provider: providers::lark(),
            secrets: (SECRET, SECRET),
            body: r#"{"schema":"2.0","header":{"event_id":"evt_1","event_type":"contact.user.created_v3","create_time":"1772447400000","token":"v"},"event":{"n":1}}"#,
            seen: Seen::new("contact.user.created_v3", "evt_1", r#"{"n":1}"#),
        },
        Good {
            provider: resource(),
            secrets: (SECRET, SECRET),
            body: RESOURCE,
            seen: Seen::new("order.paid", "evt_1", r#"{"n":1}"#),
        },
        Good {
            provider: providers::wechat_pay(),
            secrets: (RSA_PUBLIC, RSA_PRIVATE),
            body: r#"{"id":"evt_1","create_time":"2026-03-02T10:30:00+08:00","event_type":"TRANSACTION.SUCCESS","resource":{"algorithm":"AEAD_AES_256_GCM","ciphertext":"{\"n\":1}","associated_data":"transaction","nonce":""}}"#,
            seen: Seen::new("TRANSACTION.SUCCESS", "evt_1", r#"{"n":1}"#),
        },
    ]
}

fn keyed(keys: Secrets) -> impl FnOnce(Endpoint) -> Endpoint {
    |endpoint| {
        endpoint
            .with_payload_secrets(keys)
            .with_handshake_secrets(secrets("the-verification-token"))
    }
}

fn sender(posted: &Posted, secret: &str, key: &str) -> Sender {
    let names = [
        "x-lark-request-nonce",
        "wechatpay-nonce",
        "wechatpay-serial",
    ];
    let names = names.map(HeaderName::from_static);
    let sender = posted.sender(secret).payload_secret(key).unwrap();
    names.into_iter().fold(sender, |sender, name| {
        sender.header(name, HeaderValue::from_static("1"))
    })
}

fn sealed_by(posted: &Posted, secret: &str, body: &'static str) -> Request<Body> {
    sender(posted, secret, KEY).request(body).unwrap()
}

fn sealed(posted: &Posted, key: &str, body: &'static str) -> Request<Body> {
    sender(posted, SECRET, key).request(body).unwrap()
}

/// The same request, and its bytes.
async fn bytes_of(request: Request<Body>) -> (Request<Body>, Bytes) {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    (Request::from_parts(parts, Body::from(bytes.clone())), bytes)
}

#[tokio::test]
async fn what_is_sealed_is_handled_open_and_kept_sealed() {
    for form in Form::BOTH {
        for Good {
            provider,
            secrets: (public, private),
            body,
            seen,
        } in good()
        {
            let name = provider.name().clone();
            let posted = Posted::on_disk(form, provider, public, keyed(secrets(KEY))).await;
            let (request, sent) = bytes_of(sealed_by(&posted, private, body)).await;
            assert_eq!(posted.post(request).await.0, 200, "{form:?} {name}");
            assert_eq!(posted.seen().await, seen, "{form:?} {name}");
            let stored = posted.stored().await;
            assert_eq!(stored.len(), 1, "{form:?} {name}");
            assert_eq!(
                stored[0].event.body.as_ref(),
                Some(&sent),
                "what came is kept"
            );
            let kept = String::from_utf8_lossy(&sent).replace('\\', "");
            assert!(!kept.contains(r#"{"n":1}"#), "{kept}");
            assert_eq!(posted.webhooks.bytes_in_flight(), 0);
        }
    }
}

/// Each is signed as it should be: whoever signs may still seal wrongly, and must
/// not learn how. One thing differs from what is handled above.
#[tokio::test]
async fn whatever_cannot_be_opened_is_one_failure() {
    type Change = fn(&str) -> String;
    let devdraft = providers::devdraft_encrypted;
    let last: Change = |body| body.replace("\"}", "A\"}");
    let table: [(&str, Provider, &str, &str, Change); 9] = [
        ("another key", devdraft(), PLAIN, NEXT_KEY, str::to_owned),
        ("no base64", devdraft(), PLAIN, KEY, last),
        ("an altered byte", devdraft(), PLAIN, KEY, |body| {
            let (before, behind) = body.split_at(body.len() - 12);
            let other = if behind.starts_with('A') { 'B' } else { 'A' };
            let rest: String = behind.chars().skip(1).collect();
            format!("{before}{other}{rest}")
        }),
        ("no ciphertext", devdraft(), PLAIN, KEY, |_| {
            r#"{"encrypted":""}"#.to_owned()
        }),
        ("in clear", devdraft(), PLAIN, KEY, |_| PLAIN.to_owned()),
        ("not JSON", devdraft(), PLAIN, KEY, |body| {
            body.replace('}', "")
        }),
        ("another cipher's name", resource(), RESOURCE, KEY, |body| {
            body.replace("AEAD_AES_256_GCM", "AEAD_AES_128_GCM")
        }),
        (
            "another associated text",
            resource(),
            RESOURCE,
            KEY,
            |body| body.replace(r#""order""#, r#""other""#),
        ),
        (
            "another key for a resource",
            resource(),
            RESOURCE,
            NEXT_KEY,
            str::to_owned,
        ),
    ];
    for form in Form::BOTH {
        for (what, provider, body, key, change) in &table {
            let start =
                |provider: Provider| Posted::start(form, provider, SECRET, keyed(secrets(KEY)));
            let posted = start(provider.clone()).await;
            let opened = posted.post(sealed(&posted, KEY, body)).await;
            let (_, sealed) = bytes_of(sealed(&posted, key, body)).await;
            let changed = change(std::str::from_utf8(&sealed).unwrap());

            let posted = start(provider.clone()).await;
            // Signed after it was changed, by one that does not seal.
            let answer = posted.post(resigned(&posted, provider, changed)).await;
            assert_eq!(answer, opened, "{form:?} {what}: the sender learns nothing");
            assert_eq!(answer.0, 200);
            assert_eq!(posted.outline().await, ["undecryptable"], "{form:?} {what}");
            let stored = posted.stored().await;
            assert!(stored[0].jobs.is_empty(), "{form:?} {what}");
            assert_eq!(stored[0].event.event_type, None, "{form:?} {what}");
            assert!(posted.saw_nothing_more().await);
        }
    }
}

/// The body as it is, signed by the provider.
fn resigned(posted: &Posted, provider: &Provider, body: String) -> Request<Body> {
    let scheme = provider.scheme().clone();
    let signs = Provider::new("signs", scheme, provider.envelope().clone());
    Sender::new(signs, SECRET)
        .unwrap()
        .to(&format!("/{}", provider.name()))
        .at(&posted.clock)
        .request(body)
        .unwrap()
}

#[tokio::test]
async fn what_is_sealed_for_a_stranger_is_refused_before_it_is_opened() {
    for form in Form::BOTH {
        for Good {
            provider,
            secrets: (public, private),
            body,
            ..
        } in good()
        {
            let name = provider.name().clone();
            let posted = Posted::start(form, provider, public, keyed(secrets(KEY))).await;
            let (mut request, sent) = bytes_of(sealed_by(&posted, private, body)).await;
            let altered = String::from_utf8(sent.to_vec())
                .unwrap()
                .replacen(':', ": ", 1);
            *request.body_mut() = Body::from(altered);
            let (status, _, kind) = posted.post(request).await;
            let kind = kind.unwrap();
            assert_eq!(
                (status, &*kind),
                (401, "signature-mismatch"),
                "{form:?} {name}"
            );
            assert!(posted.stored().await.is_empty(), "{form:?} {name}");
        }
    }
}

/// No field beside the ciphertext takes the place of one inside.
#[tokio::test]
async fn only_what_was_sealed_is_seen() {
    let provider = providers::devdraft_encrypted();
    for form in Form::BOTH {
        let posted = Posted::start(form, provider.clone(), SECRET, keyed(secrets(KEY))).await;
        let (_, sent) = bytes_of(sealed(&posted, KEY, PLAIN)).await;
        let beside = r#"{"event_type":"payment.failed","id":"evt_2","data":{"n":2},"encrypted""#;
        let mixed = String::from_utf8(sent.to_vec()).unwrap();
        let mixed = mixed.replace(r#"{"encrypted""#, beside);
        assert_eq!(
            posted.post(resigned(&posted, &provider, mixed)).await.0,
            200
        );
        let seen = Seen::new("payment.completed", "evt_1", r#"{"n":1}"#);
        assert_eq!(posted.seen().await, seen, "{form:?}");
    }
}

#[tokio::test]
async fn old_and_new_keys_open_during_a_rotation() {
    let provider = providers::devdraft_encrypted;
    for form in Form::BOTH {
        for (keys, key, opens) in [
            (secrets(KEY), KEY, true),
            (secrets(KEY), NEXT_KEY, false),
            (rotated(), KEY, true),
            (rotated(), NEXT_KEY, true),
            (secrets(NEXT_KEY), KEY, false),
        ] {
            let posted = Posted::start(form, provider(), SECRET, keyed(keys)).await;
            posted.post(sealed(&posted, key, PLAIN)).await;
            let found = if opens {
                "payment.completed"
            } else {
                "undecryptable"
            };
            assert_eq!(posted.outline().await, [found], "{form:?} {key}");
        }
    }
}

#[tokio::test]
async fn the_key_that_opened_a_delivery_is_named_in_the_inbox_and_in_the_metrics() {
    let last = |label: &str| {
        let name = "webhooks_payload_secret_last_match_timestamp_seconds";
        format!(r#"{name}{{endpoint="devdraft-encrypted",secret="{label}"}}"#)
    };
    for form in Form::BOTH {
        for (key, label, other) in [
            (NEXT_KEY, "current", "previous"),
            (KEY, "previous", "current"),
        ] {
            let figures = Figures::new();
            let _counting = figures.set();
            let encrypted = providers::devdraft_encrypted();
            let posted = Posted::start(form, encrypted, SECRET, keyed(rotated())).await;
            posted.post(sealed(&posted, key, PLAIN)).await;
            let stored = posted.stored().await.remove(0).event;
            assert_eq!(stored.payload_label.as_deref(), Some(label), "{form:?}");
            assert_eq!(stored.secret_label.as_deref(), Some("current"), "{form:?}");
            assert!(figures.of(&last(label)) > 0.0, "{form:?} {label}");
            assert_eq!(figures.of(&last(other)), 0.0, "{form:?} {label}");
        }
    }
}

/// Another nonce makes other bytes of it, and another key too.
#[tokio::test]
async fn a_redelivery_that_is_sealed_anew_is_the_same_event() {
    for form in Form::BOTH {
        for Good {
            provider,
            secrets: (public, private),
            body,
            ..
        } in good()
        {
            let name = provider.name().clone();
            let posted = Posted::start(form, provider, public, keyed(rotated())).await;
            let (request, first) = bytes_of(sealed_by(&posted, private, body)).await;
            posted.post(request).await;
            posted.clock.advance(Duration::from_secs(1));
            let (request, second) = bytes_of(sealed_by(&posted, private, body)).await;
            assert_ne!(first, second);
            assert_eq!(posted.post(request).await.0, 200);
            let stored = posted.stored().await;
            assert_eq!(stored.len(), 1, "{form:?} {name}");
            let other = body
                .replace(r#"n\":1"#, r#"n\":7"#)
                .replace(r#""n":1"#, r#""n":7"#);
            assert_ne!(other, body);
            let request = sender(&posted, private, KEY).request(other).unwrap();
            posted.post(request).await;
            let stored = posted.stored().await;
            assert!(
                stored[1].event.key.starts_with("conflict:"),
                "{form:?} {name}"
            );
        }
    }
}

/// Nobody who reads the inbox can try what the payload may have been.
#[tokio::test]
async fn the_digest_that_is_kept_is_not_that_of_the_plaintext() {
    let posted = Posted::start(
        Form::Terminal,
        providers::devdraft_encrypted(),
        SECRET,
        keyed(secrets(KEY)),
    )
    .await;
    posted.post(sealed(&posted, KEY, PLAIN)).await;
    let stored = posted.stored().await;
    let of_plain: [u8; 32] = Sha256::digest(PLAIN).into();
    assert_ne!(stored[0].event.body_sha256, of_plain);
}

#[tokio::test]
async fn what_is_compressed_and_sealed_is_opened_too() {
    let provider =
        providers::devdraft_encrypted().with_compression(Compression::new([Coding::Gzip]));
    for form in Form::BOTH {
        let posted = Posted::start(form, provider.clone(), SECRET, keyed(secrets(KEY))).await;
        let (_, sent) = bytes_of(sealed(&posted, KEY, PLAIN)).await;
        let mut encoder = GzEncoder::new(Vec::new(), Level::best());
        encoder.write_all(&sent).unwrap();
        let packed = encoder.finish().unwrap();
        let signs = Provider::new(
            "signs",
            provider.scheme().clone(),
            provider.envelope().clone(),
        );
        let request = Sender::new(signs, SECRET)
            .unwrap()
            .to("/devdraft-encrypted")
            .at(&posted.clock)
            .header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
            .request(packed)
            .unwrap();
        assert_eq!(posted.post(request).await.0, 200, "{form:?}");
        let seen = Seen::new("payment.completed", "evt_1", r#"{"n":1}"#);
        assert_eq!(posted.seen().await, seen, "{form:?}");
    }
}

/// Two processes over one file: the one that works has the keys of its own.
#[tokio::test]
async fn a_worker_opens_with_its_own_keys_and_a_replay_with_todays() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("inbox.db");
    let provider = providers::devdraft_encrypted();
    let events = || EventRouter::new().on("payment.*", |_: Job| async {});
    let inbox = SqliteInbox::open(&file).await.unwrap();
    let inbox: Arc<dyn Inbox> = Arc::new(inbox);

    let endpoint = Endpoint::new("pay", provider.clone(), secrets(SECRET))
        .with_payload_secrets(secrets(KEY))
        .events(events());
    let builder = Webhooks::builder().with_role(Role::Receiver);
    let webhooks = builder.start(Arc::clone(&inbox), [endpoint]).await.unwrap();
    let app = Form::Terminal.mount(&webhooks, "pay");
    let request = Sender::new(provider.clone(), SECRET)
        .unwrap()
        .payload_secret(KEY)
        .unwrap()
        .to("/pay")
        .request(PLAIN)
        .unwrap();
    assert_eq!(ask(app, request).await.status, 200);

    for (keys, expected) in [
        (secrets(NEXT_KEY), JobState::Dead),
        (rotated(), JobState::Done),
    ] {
        let committer = Committer::start(Arc::clone(&inbox), CommitterOptions::new());
        let handled = HandledEndpoint::new("pay", provider.clone(), events())
            .unwrap()
            .with_payload_secrets(&keys)
            .unwrap();
        let (told, mut ended) = mpsc::unbounded_channel();
        let done = told.clone();
        let worker = Worker::new(committer.clone(), Arc::clone(&inbox), [handled])
            .unwrap()
            .on_dead(move |job| told.send(job.error.to_string()).unwrap())
            .on_done(move |_| done.send(String::new()).unwrap())
            .spawn()
            .await
            .unwrap();
        let error = soon(ended.recv()).await.unwrap();
        worker.drain(Duration::from_secs(5)).await;
        let record = inbox.get(EventSeq(1)).await.unwrap().unwrap();
        assert_eq!(record.jobs[0].state, expected, "{error}");
        if expected == JobState::Dead {
            assert_eq!(error, "the body cannot be decrypted");
        }
        let replayed = inbox.replay(&Selection::default()).await.unwrap();
        assert_eq!(replayed.runs.len(), usize::from(expected == JobState::Dead));
    }
}

#[tokio::test]
async fn what_nobody_could_open_runs_once_it_is_read_with_the_right_key() {
    let provider = providers::devdraft_encrypted();
    let posted = Posted::start(Form::Terminal, provider.clone(), SECRET, keyed(rotated())).await;
    // Stored by a receiver before it had the key.
    let blind = Posted::over(
        Arc::clone(&posted.inbox),
        Form::Terminal,
        provider.clone(),
        SECRET,
        |builder| builder,
        keyed(secrets(NEXT_KEY)),
    )
    .await;
    blind.post(sealed(&blind, KEY, PLAIN)).await;
    let stored = posted.stored().await;
    assert_eq!(stored[0].event.state, EventState::Unusable);
    blind.webhooks.drain(Duration::from_secs(5)).await;

    let mut reading = Reading::new(stored[0].event.seq);
    reading.event_type = Some(Text::from("payment.completed"));
    reading.id = Some(Text::from("evt_1"));
    let selection = Selection {
        filter: Filter::default(),
        readings: vec![reading],
        ..Selection::default()
    };
    posted.inbox.replay(&selection).await.unwrap();
    posted.webhooks.wake();
    let seen = Seen::new("payment.completed", "evt_1", r#"{"n":1}"#);
    assert_eq!(posted.seen().await, seen);
}

struct Shops;

impl SecretSource for Shops {
    fn key(&self, _: &Parts) -> Option<Text> {
        Some(Text::from("shop"))
    }

    async fn look_up(&self, key: Text) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        Ok(Some(Tenant::new(key, secrets(SECRET))))
    }
}

#[tokio::test]
async fn a_set_up_that_could_not_open_does_not_start() {
    let devdraft = providers::devdraft_encrypted;
    let endpoint = |provider| Endpoint::new("pay", provider, secrets(SECRET));
    let refused = |endpoint: Endpoint| async {
        match Webhooks::start(MemoryInbox::new(), [endpoint]).await {
            Err(StartError::Endpoint { error, .. }) => error,
            other => panic!("{other:?}"),
        }
    };
    let missing = refused(endpoint(devdraft())).await;
    assert!(matches!(missing, SetupError::PayloadSecretsMissing));
    let missing = WebhookLayer::verify(devdraft(), secrets(SECRET)).unwrap_err();
    assert!(matches!(missing, SetupError::PayloadSecretsMissing));
    let short = refused(endpoint(resource()).with_payload_secrets(secrets("short"))).await;
    assert!(matches!(short, SetupError::Secret(_)), "{short}");

    let tokens = secrets("the-verification-token");
    let lark = Endpoint::multi_tenant("pay", providers::lark(), Shops);
    let tenants = refused(lark.with_handshake_secrets(tokens)).await;
    assert!(matches!(tenants, SetupError::PayloadSecretsOfTenants));
    let own = Endpoint::multi_tenant("pay", devdraft(), Shops);
    let own = own.with_payload_secrets(secrets(KEY));
    let started = Webhooks::start(MemoryInbox::new(), [own]).await;
    assert!(started.is_ok(), "tenants share the payloads' own secrets");

    let inbox: Arc<dyn Inbox> = Arc::new(MemoryInbox::new());
    let committer = Committer::start(Arc::clone(&inbox), CommitterOptions::new());
    let blind = HandledEndpoint::new("pay", devdraft(), EventRouter::new()).unwrap();
    let problems = Worker::new(committer, inbox, [blind]).unwrap_err();
    let told = problems.to_string();
    assert!(told.contains("with_payload_secrets"), "{told}");
}
