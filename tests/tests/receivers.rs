//! The receivers as their users run them: signed with openssl, sent with curl,
//! stopped with SIGTERM.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::Semaphore, time::interval};
use tower_webhooks::{Delivery, Provider, providers, testing::Sender};
use tower_webhooks_core::Restored;
use tower_webhooks_inbox::{NewEvent, body_key};
use tower_webhooks_tests::{
    RECEIVERS, Receiver, Schema, Wire, disk_folder, head_of, openssl, soon, webhooks,
};

const SECRET: &str = "whsec_the-receivers-and-the-tests-share-this";

/// Makes of each of these functions a test with files and one with PostgreSQL.
macro_rules! on_both_stores {
    ($($name:ident)+) => {
        mod on_files {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs openssl and curl; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
                async fn $name() {
                    super::$name(super::Kept::in_a_file).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs openssl, curl and PostgreSQL: eval \"$(scripts/postgres start)\""]
                async fn $name() {
                    super::$name(super::Kept::in_postgres).await;
                }
            )+
        }
    };
}

on_both_stores! {
    signed_with_openssl_and_sent_by_curl_every_event_is_handled
    one_thing_changed_gets_the_provider_s_401
    m2m_takes_300_seconds_in_both_directions_and_not_301
    cryptomate_goes_by_its_key_and_decides_cards
    after_sigterm_under_load_the_next_receiver_handles_what_was_left
    every_receiver_tells_that_it_lives_and_what_it_counted
}

/// An inbox that outlives its receivers.
enum Kept {
    File(TempDir),
    Postgres(Schema),
}

impl Kept {
    fn in_a_file() -> Self {
        Self::File(disk_folder())
    }

    fn in_postgres() -> Self {
        Self::Postgres(Schema::new())
    }

    /// As `INBOX` names it.
    fn inbox(&self) -> String {
        match self {
            Self::File(folder) => {
                let path = folder.path().join("webhooks.db");
                path.to_str().unwrap().to_owned()
            }
            Self::Postgres(schema) => schema.url(),
        }
    }

    async fn start(&self, package: &str, environment: &[(&str, &str)]) -> Receiver {
        let inbox = self.inbox();
        let environment = [environment, &[("INBOX", &inbox)]].concat();
        Receiver::start(package, SECRET, &environment).await
    }
}

/// A receiver whose requests are signed with HMAC-SHA256.
struct Signed {
    package: &'static str,
    path: &'static str,
    header: &'static str,
    /// What may stand before the digest.
    prefixes: &'static [&'static str],
    timestamp: Option<&'static str>,
    provider: fn() -> Provider,
    environment: &'static [(&'static str, &'static str)],
    /// The types that it has a handler for; the others are acknowledged and
    /// kept.
    handles: &'static [&'static str],
}

const SIGNED: [Signed; 5] = [
    Signed {
        package: "mppcash-receiver",
        path: "/mppcash/events",
        header: "x-mppcash-signature",
        prefixes: &[""],
        timestamp: None,
        provider: providers::mppcash,
        environment: &[],
        handles: &[
            "balance.low_threshold",
            "session.cap_warning",
            "session.settled",
            "transfer.rejected",
            "transfer.settled",
        ],
    },
    Signed {
        package: "monterrey-receiver",
        path: "/webhooks/monterrey",
        header: "X-Monterrey-Signature",
        prefixes: &[""],
        timestamp: None,
        provider: providers::monterrey,
        environment: &[],
        handles: &["payment.confirmed", "payment.expired", "payment.failed"],
    },
    Signed {
        package: "m2m-receiver",
        path: "/webhooks/m2m",
        header: "X-M2M-Signature",
        prefixes: &["sha256=", ""],
        timestamp: Some("X-M2M-Timestamp"),
        provider: providers::m2m,
        environment: &[],
        handles: &[
            "link.created",
            "link.opened",
            "operation.cancelled",
            "operation.created",
            "user.data_request",
        ],
    },
    Signed {
        package: "devdraft-receiver",
        path: "/webhooks/devdraft",
        header: "x-webhook-signature",
        prefixes: &[""],
        timestamp: None,
        provider: providers::devdraft,
        environment: &[],
        handles: DEVDRAFT_HANDLES,
    },
    Signed {
        package: "devdraft-receiver",
        path: "/webhooks/devdraft",
        header: "x-devdraft-signature",
        prefixes: &[""],
        timestamp: None,
        provider: providers::devdraft,
        environment: &[("SIGNATURE_HEADER", "x-devdraft-signature")],
        handles: DEVDRAFT_HANDLES,
    },
];

const DEVDRAFT_HANDLES: &[&str] = &[
    "payment.completed",
    "payment.failed",
    "payment.pending",
    "payment.refunded",
];

async fn signed_with_openssl_and_sent_by_curl_every_event_is_handled(kept: fn() -> Kept) {
    for signed in &SIGNED {
        let kept = kept();
        let mut receiver = kept.start(signed.package, signed.environment).await;
        let provider = (signed.provider)();
        let mut expected = BTreeSet::new();
        for event in &provider.events().list {
            let body = event.sample.as_deref().unwrap();
            for prefix in signed.prefixes {
                let mut headers = signed.headers(body, now());
                headers[0].1.insert_str(0, prefix);
                let answer = receiver.curl(signed.path, &headers, body);
                let acknowledge = &provider.answers().acknowledge;
                assert_eq!(
                    answer,
                    (200, acknowledge.body.to_string()),
                    "{}",
                    signed.package
                );
            }
            if signed.handles.contains(&event.name.as_str()) {
                expected.insert(format!("handled {} {}", event.name, id_of(&provider, body)));
            }
        }
        let mut handled = BTreeSet::new();
        while handled != expected {
            let line = receiver.line().await;
            assert!(expected.contains(&line), "{}: {line}", signed.package);
            assert!(handled.insert(line), "{}: handled twice", signed.package);
        }
        assert_eq!(
            receiver.stop().await,
            Vec::<String>::new(),
            "{}",
            signed.package
        );
    }
}

async fn one_thing_changed_gets_the_provider_s_401(kept: fn() -> Kept) {
    for signed in &SIGNED {
        let kept = kept();
        let mut receiver = kept.start(signed.package, signed.environment).await;
        let provider = (signed.provider)();
        let mut events = provider.events().list.iter();
        let event = events
            .find(|event| signed.handles.contains(&event.name.as_str()))
            .unwrap();
        let body = event.sample.clone().unwrap();
        let good = signed.headers(&body, now());
        let digest = good[0].1.clone();
        let digest_is = |value: String| {
            let mut headers = good.clone();
            headers[0].1 = value;
            headers
        };
        let letters = digest
            .chars()
            .map(|letter| (b'g' + letter as u8 % 16) as char)
            .collect();
        let twice = [good.clone(), vec![good[0].clone()]].concat();
        let others = openssl("another-secret", &signed.content(&body, now()));
        let wrong = [
            (
                "one byte changed",
                good.clone(),
                body.replacen('{', "{ ", 1),
            ),
            ("another secret", digest_is(others), body.to_string()),
            ("no header", good[1..].to_vec(), body.to_string()),
            (
                "truncated",
                digest_is(digest.split_at(62).0.to_owned()),
                body.to_string(),
            ),
            ("other letters", digest_is(letters), body.to_string()),
            (
                "another digest",
                digest_is("a".repeat(64)),
                body.to_string(),
            ),
            ("repeated", twice, body.to_string()),
        ];
        let refuse = (401, provider.answers().refuse.body.to_string());
        for (what, headers, body) in wrong {
            let answer = receiver.curl(signed.path, &headers, &body);
            assert_eq!(answer, refuse, "{}: {what}", signed.package);
        }
        // The last one passes: nothing before it was kept, and case is free.
        let upper = digest_is(digest.to_uppercase());
        assert_eq!(
            receiver.curl(signed.path, &upper, &body).0,
            200,
            "{}",
            signed.package
        );
        receiver.line().await;
        assert_eq!(receiver.stop().await, Vec::<String>::new());
        let listed = webhooks(kept.inbox(), "inbox list --json");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let events = listed["events"].as_array().unwrap();
        assert_eq!(events.len(), 1, "{}: {listed}", signed.package);
    }
}

async fn m2m_takes_300_seconds_in_both_directions_and_not_301(kept: fn() -> Kept) {
    let signed = &SIGNED[2];
    let kept = kept();
    let receiver = kept.start(signed.package, signed.environment).await;
    let provider = (signed.provider)();
    let body = provider.events().list[0].sample.clone().unwrap();
    for (offset, status) in [(-301, 401), (-300, 200), (300, 200), (301, 401)] {
        // The second must not tick between the signature and the answer.
        let answered = (0..10).find_map(|_| {
            let began = now();
            let headers = signed.headers(&body, began.checked_add_signed(offset).unwrap());
            let (answered, _) = receiver.curl(signed.path, &headers, &body);
            (now() == began).then_some(answered)
        });
        assert_eq!(answered, Some(status), "{offset} s");
    }
    receiver.stop().await;
}

async fn cryptomate_goes_by_its_key_and_decides_cards(kept: fn() -> Kept) {
    let kept = kept();
    let mut receiver = kept.start("cryptomate-receiver", &[]).await;
    let provider = providers::cryptomate();
    let path = "/webhooks/cryptomate";
    let key = |value: &str| vec![("X-Webhook-Key".to_owned(), value.to_owned())];
    let body = provider.events().list[0].sample.clone().unwrap();
    let refuse = (401, provider.answers().refuse.body.to_string());
    for (what, headers) in [
        ("no key", Vec::new()),
        ("another key", key("another-key")),
        ("a part of the key", key(SECRET.split_at(20).0)),
        ("in other case", key(&SECRET.to_uppercase())),
        ("repeated", [key(SECRET), key(SECRET)].concat()),
    ] {
        assert_eq!(receiver.curl(path, &headers, &body), refuse, "{what}");
    }
    let acknowledge = (200, provider.answers().acknowledge.body.to_string());
    assert_eq!(receiver.curl(path, &key(SECRET), &body), acknowledge);
    let expected = format!(
        "handled {} {}",
        provider.events().list[0].name,
        id_of(&provider, &body)
    );
    assert_eq!(receiver.line().await, expected);

    let authorization = provider
        .events()
        .find("cards.authorization.pending")
        .unwrap();
    let small = authorization.sample.as_deref().unwrap().to_owned();
    let large = small
        .replace(r#""bill_amount":100.0"#, r#""bill_amount":100.01"#)
        .replace(r#""operation_id":"ca0c57d2"#, r#""operation_id":"0a0c57d2"#);
    assert_ne!(small, large);
    for (body, code) in [(small, "00"), (large, "05")] {
        let first = receiver.curl(path, &key(SECRET), &body);
        assert_eq!(first.0, 200);
        let quoted = format!("\"{code}\"");
        assert!(first.1.contains(&quoted), "{} for {quoted}", first.1);
        assert_eq!(
            receiver.curl(path, &key(SECRET), &body),
            first,
            "a redelivery"
        );
    }
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs openssl and curl; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn after_sigterm_under_load_every_event_acknowledged_in_memory_was_handled() {
    let memory = [("INBOX", "memory")];
    let receiver = Receiver::start("monterrey-receiver", SECRET, &memory).await;
    let (acknowledged, handled) = stopped_under_load(receiver, 100).await;
    let lost: Vec<_> = acknowledged.difference(&handled).collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

async fn after_sigterm_under_load_the_next_receiver_handles_what_was_left(kept: fn() -> Kept) {
    let kept = kept();
    let quiet = [("RUST_LOG", "info")];
    let receiver = kept.start("monterrey-receiver", &quiet).await;
    // Each waits for the disk.
    let (acknowledged, mut handled) = stopped_under_load(receiver, 25).await;
    let mut next = kept.start("monterrey-receiver", &quiet).await;
    while !acknowledged.is_subset(&handled) {
        handled.insert(next.line().await);
    }
    next.stop().await;
}

/// Stops a receiver under load, once it has acknowledged so many events of each of
/// four senders; returns what it is to print for those that it acknowledged, and
/// what it did print.
async fn stopped_under_load(
    mut receiver: Receiver,
    each: usize,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (address, enough) = (receiver.address, Arc::new(Semaphore::new(0)));
    let senders: Vec<_> = (0..4)
        .map(|number| tokio::spawn(load(address, number, each, Arc::clone(&enough))))
        .collect();
    // Handled lines must not fill the pipe while the load goes on.
    let reading = receiver.lines();
    soon(enough.acquire_many(4)).await.unwrap().forget();
    receiver.terminate();
    let mut acknowledged = BTreeSet::new();
    for sender in senders {
        acknowledged.extend(soon(sender).await.unwrap());
    }
    receiver.ended().await;
    let handled = soon(reading).await.unwrap().into_iter().collect();
    let count = acknowledged.len();
    assert!(count >= 4 * each, "{count} were acknowledged");
    (acknowledged, handled)
}

/// Sends a hundred events a second until the receiver takes no more, and says when
/// so many were acknowledged; returns the lines that those are to print.
async fn load(
    address: SocketAddr,
    number: usize,
    each: usize,
    enough: Arc<Semaphore>,
) -> Vec<String> {
    let provider = providers::monterrey();
    let confirmed = provider.events().find("payment.confirmed").unwrap();
    let mut event: Value = serde_json::from_str(confirmed.sample.as_deref().unwrap()).unwrap();
    let sender = Sender::new(provider, SECRET)
        .unwrap()
        .to("/webhooks/monterrey");
    let mut pace = interval(Duration::from_millis(10));
    let mut wire = Wire::connect(address).await;
    let mut acknowledged = Vec::new();
    for count in 0.. {
        pace.tick().await;
        let id = format!("evt_{number}_{count}");
        event["id"] = id.as_str().into();
        let (head, body) = head_of(sender.request(event.to_string()).unwrap()).await;
        let length = body.len();
        wire.send(format!("{head}content-length: {length}\r\n\r\n").as_bytes())
            .await;
        wire.send(&body).await;
        let head = wire.head().await;
        if !head.starts_with("HTTP/1.1 200 ") {
            break;
        }
        acknowledged.push(format!("handled payment.confirmed {id}"));
        wire.body_of(&head).await;
        if acknowledged.len() == each {
            enough.add_permits(1);
        }
    }
    acknowledged
}

async fn every_receiver_tells_that_it_lives_and_what_it_counted(kept: fn() -> Kept) {
    for package in RECEIVERS {
        let kept = kept();
        let receiver = kept.start(package, &[]).await;
        for (path, status) in [
            ("/healthz", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/", 404),
        ] {
            assert_eq!(receiver.get(path).0, status, "{package}{path}");
        }
        let metrics = receiver.get("/metrics").1;
        assert!(
            metrics.contains("webhooks_rejected_total{"),
            "{package}: {metrics}"
        );
        assert_eq!(receiver.stop().await, Vec::<String>::new(), "{package}");
    }
}

#[tokio::test]
#[ignore = "needs openssl, curl and PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn two_receivers_and_two_workers_keep_one_book_in_postgres() {
    const ROWS: &str = "SELECT concat_ws(' ', session_id, settled_usdc, tx_signature)
        FROM settlement ORDER BY session_id";
    let (kept, signed) = (Schema::new(), &SIGNED[0]);
    let url = kept.url();
    let mut started = Vec::new();
    for role in ["receiver", "receiver", "worker", "worker"] {
        let environment = [("INBOX", url.as_str()), ("ROLE", role)];
        started.push(Receiver::start(signed.package, SECRET, &environment).await);
    }
    let settled = |session: usize, signature: &str| {
        let data = format!(
            r#"{{"session_id":"sess_{session}","settled_usdc":12.50,"tx_signature":"{signature}","settled_at":"2026-03-02T10:15:30Z"}}"#
        );
        format!(r#"{{"type":"session.settled","data":{data}}}"#)
    };
    let post = |to: &Receiver, body: &str| {
        let answer = to.curl(signed.path, &signed.headers(body, now()), body);
        answer.0
    };
    for session in 0..9 {
        let body = settled(session, "5h6x");
        for receiver in &started[..2] {
            assert_eq!(post(receiver, &body), 200);
        }
    }
    let rows: Vec<_> = (0..9)
        .map(|session| format!("sess_{session} 12.50 5h6x"))
        .collect();
    until(&kept, ROWS, &rows).await;
    let jobs = "SELECT DISTINCT concat_ws(' ', handler, state, attempts) FROM job";
    assert_eq!(kept.lines(jobs).await, ["session.settled done 1"]);

    // A session settles once: its second row fails, and so its job is not done.
    assert_eq!(post(&started[0], &settled(8, "7k8y")), 200);
    let failed = "SELECT substring(last_error FROM 'duplicate key') FROM job
        WHERE last_error IS NOT NULL AND state <> 'done'";
    until(&kept, failed, &["duplicate key".to_owned()]).await;
    assert_eq!(kept.lines(ROWS).await, rows);

    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        assert_eq!(started[2].get(path).0, status, "a worker's {path}");
    }
    assert_eq!(post(&started[3], &settled(9, "5h6x")), 503);
    let mut handled = Vec::new();
    for (number, one) in started.into_iter().enumerate() {
        let lines = one.stop().await;
        assert!(
            number >= 2 || lines.is_empty(),
            "a receiver handled {lines:?}"
        );
        handled.extend(lines);
    }
    assert_eq!(handled.len(), 9, "{handled:?}");
}

/// Waits until this is what is there.
async fn until(kept: &Schema, sql: &str, expected: &[String]) {
    let there = async {
        while kept.lines(sql).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(there).await;
}

#[tokio::test]
#[ignore = "builds the receivers; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn a_server_of_another_kind_is_refused_without_its_password() {
    for package in RECEIVERS {
        let inbox = ("INBOX", "redis://me:sesame@db/webhooks");
        let (status, logged) = Receiver::refused(package, SECRET, &[inbox]).await;
        assert_eq!(status, Some(1), "{package}: {logged}");
        assert!(
            logged.contains("no inbox is kept at `redis://`"),
            "{package}: {logged}"
        );
        assert!(!logged.contains("sesame"), "{package}: {logged}");
    }
}

impl Signed {
    /// What is signed, as the provider documents it.
    fn content(&self, body: &str, at: u64) -> String {
        match self.timestamp {
            Some(_) => format!("{at}.{body}"),
            None => body.to_owned(),
        }
    }

    /// The headers with which this body passes; the digest's is the first.
    fn headers(&self, body: &str, at: u64) -> Vec<(String, String)> {
        let digest = openssl(SECRET, &self.content(body, at));
        let mut headers = vec![(self.header.to_owned(), digest)];
        headers.extend(self.timestamp.map(|name| (name.to_owned(), at.to_string())));
        headers
    }
}

/// The id that a receiver prints for this body.
fn id_of(provider: &Provider, body: &str) -> String {
    let body = bytes::Bytes::copy_from_slice(body.as_bytes());
    let restored = Restored::new(body.clone(), UNIX_EPOCH);
    let delivery = Delivery::insecure_restore(Arc::new(provider.clone()), restored);
    let id = delivery.event().unwrap().id().cloned();
    id.unwrap_or_else(|| body_key(&NewEvent::new("", body, UNIX_EPOCH).hash_body()))
        .to_string()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
