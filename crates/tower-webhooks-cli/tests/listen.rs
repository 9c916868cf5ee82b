//! `webhooks listen`: what it prints, keeps, passes on and sends again.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use axum::http::HeaderMap;
use serde_json::{Value, json};
use support::{Ran, SECRET, assert_one_line, finish, receiver::Receiver, webhooks};
use tokio::sync::Semaphore;
use tower_webhooks_core::{Provider, SecretPair, providers};

/// What opens payloads, and what proves handshakes.
const PAYLOAD_SECRET: &str = "0123456789abcdef0123456789ABCDEF";
const TOKEN: &str = "a-token-of-handshakes";

/// A listener that runs for as long as it is held.
struct Listener {
    url: String,
    pair: SecretPair,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// For that provider, with an inbox in that place.
    fn start(provider: &Provider, inbox: &str, options: &[&str]) -> Self {
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let pair = SecretPair::generate(provider, &[7; 32]).unwrap();
        let mut command = webhooks();
        command
            .args(["listen", "--provider", provider.name()])
            .args(["--listen", &address.to_string(), "--inbox", inbox])
            .args(options)
            .env("WEBHOOK_SECRET", pair.receiver())
            .env("WEBHOOK_PAYLOAD_SECRET", PAYLOAD_SECRET)
            .env("WEBHOOK_HANDSHAKE_SECRET", TOKEN);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            url: format!("http://{address}/"),
            pair,
            child,
            lines,
        }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// `send` to it, signed with that secret.
    fn send(&self, provider: &Provider, event: &str, secret: &str) -> Ran {
        let mut command = webhooks();
        command
            .args(["send", "--provider", provider.name(), "--url", &self.url])
            .args(["--event", event])
            .env("WEBHOOK_SECRET", secret)
            .env("WEBHOOK_PAYLOAD_SECRET", PAYLOAD_SECRET);
        finish(command, "")
    }

    /// Ends it as `kill` does, and gives what it had still to say.
    #[cfg(unix)]
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        let id = self.child.id().to_string();
        let told = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(told.unwrap().success());
        let code = self.child.wait().unwrap().code();
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        (code, rest)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn every_event_of_every_preset_is_printed_and_a_forged_one_refused() {
    for provider in providers::all() {
        let mut listener = Listener::start(&provider, "memory", &["--json"]);
        let (name, pair) = (provider.name(), listener.pair.clone());
        let status = provider.answers().acknowledge.status;
        for known in &provider.events().list {
            let ran = listener.send(&provider, &known.name, pair.sender());
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}: {ran:?}");
            let line = listener.json();
            assert_eq!(line["event_type"], known.name.as_str(), "{name}: {line}");
            assert_eq!(line["answered"], status, "{name}: {line}");
            assert_eq!(line["unusable"], Value::Null, "{name}: {line}");
            assert!(!line["data"].is_null(), "{name}: {line}");
            // Of Twilio's events those of a call have none.
            let is_call = known.sample.as_deref().unwrap().contains("CallSid");
            let has_id = provider.envelope().id().is_some() && !is_call;
            assert_eq!(line["id"].is_string(), has_id, "{name}: {line}");
            assert_eq!(line["forwarded"], Value::Null);
        }
        let other = SecretPair::generate(&provider, &[8; 32]).unwrap();
        let first = &provider.events().list[0].name;
        let ran = listener.send(&provider, first, other.sender());
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        let line = listener.json();
        assert_eq!(line["rejection"], "signature-mismatch", "{name}: {line}");
        assert_eq!(line["answered"], 401, "{name}: {line}");
        assert_eq!(line["event_type"], Value::Null, "{name}: {line}");
        assert_eq!(line["data"], Value::Null, "{name}: {line}");
    }
}

#[test]
fn an_event_is_told_in_words_and_cannot_steer_the_terminal() {
    let monterrey = providers::monterrey();
    let mut listener = Listener::start(&monterrey, "memory", &[]);
    assert_eq!(listener.line(), format!("listening on {}", listener.url));
    let body = r#"{"id":"evt_1","event":"payment.expired","createdAt":"2026-03-02T10:30:00Z","data":{"note":"\u001b[31m"}}"#;
    let mut command = webhooks();
    command
        .args(["send", "--provider", "monterrey", "--url", &listener.url])
        .args(["--data", body])
        .env("WEBHOOK_SECRET", listener.pair.sender());
    assert_eq!(finish(command, "").code, 0);
    let expected = "200 payment.expired evt_1 2026-03-02T10:30:00Z";
    assert_eq!(listener.line(), expected);
    assert_eq!(listener.line(), "{");
    assert_eq!(listener.line(), r#"  "note": "\u001b[31m""#);
    assert_eq!(listener.line(), "}");
}

#[test]
fn a_verified_request_is_passed_on_as_it_came_and_a_refused_one_is_not() {
    let m2m = providers::m2m();
    let app = Receiver::new(|_: HeaderMap| async { http::StatusCode::IM_A_TEAPOT });
    let url = format!("http://{}/hook", app.address);
    let mut listener = Listener::start(&m2m, "memory", &["--json", "--forward", &url]);
    let pair = listener.pair.clone();
    assert_eq!(listener.send(&m2m, "link.opened", "another-secret").code, 1);
    let refused = listener.json();
    assert_eq!(
        (&refused["request"], &refused["rejection"]),
        (&json!(1), &json!("signature-mismatch"))
    );
    assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
    // What the app answers is shown, and not the provider's business.
    let event = listener.json();
    assert_eq!(
        (&event["request"], &event["answered"]),
        (&json!(2), &json!(200))
    );
    let forwarded = json!({
        "request": 2, "event_type": "link.opened", "id": event["id"],
        "forwarded": { "answered": 418 },
    });
    assert_eq!(listener.json(), forwarded);
    let received = app.received.lock().unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].0["x-m2m-event"], "link.opened");
    let delivered = verified(&m2m, &pair, &received[0].0, received[0].1.clone());
    assert_eq!(delivered.unwrap().as_deref(), Some("link.opened"));
    drop(received);
    drop(app);
    assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
    assert_eq!(listener.json()["answered"], 200);
    let line = listener.json();
    let why = line["forwarded"]["failed"].as_str().unwrap();
    assert!(why.starts_with("cannot connect: "), "{why}");
    assert_eq!(line["request"], 3);
}

/// An app that answers once it is let.
fn waiting_app() -> (Receiver, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let app = Receiver::new(move |_: HeaderMap| {
        let waits = Arc::clone(&waits);
        async move {
            waits.acquire().await.unwrap().forget();
            "OK"
        }
    });
    (app, gate)
}

#[test]
fn an_event_is_printed_before_the_app_has_answered() {
    let sendgrid = providers::sendgrid();
    let (app, gate) = waiting_app();
    let url = format!("http://{}/hook", app.address);
    let mut listener = Listener::start(&sendgrid, "memory", &["--forward", &url]);
    let pair = listener.pair.clone();
    listener.line();
    assert_eq!(listener.send(&sendgrid, "delivered", pair.sender()).code, 0);
    let event = listener.line();
    assert!(event.starts_with("200 delivered "), "{event}");
    let mut line = listener.line();
    while line != "}" {
        line = listener.line();
    }
    gate.add_permits(1);
    let forwarded = listener.line();
    assert!(forwarded.starts_with("forwarded delivered "), "{forwarded}");
    assert!(forwarded.ends_with(": 200"), "{forwarded}");
}

#[test]
fn an_app_that_does_not_answer_holds_a_bounded_number() {
    let m2m = providers::m2m();
    let (app, gate) = waiting_app();
    let url = format!("http://{}/hook", app.address);
    let mut listener = Listener::start(&m2m, "memory", &["--json", "--forward", &url]);
    let pair = listener.pair.clone();
    for _ in 0..32 {
        assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
        assert_eq!(listener.json()["answered"], 200);
    }
    while app.received.lock().unwrap().len() < 32 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
    assert_eq!(listener.json()["answered"], 200);
    let line = listener.json();
    let expected = json!({ "failed": "the app has 32 others to answer" });
    assert_eq!(
        (&line["request"], &line["forwarded"]),
        (&json!(33), &expected)
    );
    gate.add_permits(32);
    for _ in 0..32 {
        assert_eq!(listener.json()["forwarded"], json!({ "answered": 200 }));
    }
    gate.add_permits(1);
    assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
    assert_eq!(listener.json()["answered"], 200);
    assert_eq!(listener.json()["forwarded"], json!({ "answered": 200 }));
}

#[cfg(unix)]
#[test]
fn what_is_under_way_to_the_app_is_finished_before_the_end() {
    let m2m = providers::m2m();
    for (answers, code) in [(true, 0), (false, 1)] {
        let (app, gate) = waiting_app();
        let url = format!("http://{}/hook", app.address);
        let mut listener = Listener::start(&m2m, "memory", &["--json", "--forward", &url]);
        let pair = listener.pair.clone();
        for _ in 0..2 {
            assert_eq!(listener.send(&m2m, "link.opened", pair.sender()).code, 0);
            assert_eq!(listener.json()["answered"], 200);
        }
        while app.received.lock().unwrap().len() < 2 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let opens = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            if answers {
                gate.add_permits(2);
            }
            gate
        });
        let begun = std::time::Instant::now();
        let (ended, rest) = listener.stop();
        assert_eq!(
            (ended, rest.len()),
            (Some(code), if answers { 2 } else { 0 })
        );
        for line in rest {
            assert!(line.contains(r#""forwarded":{"answered":200}"#), "{line}");
        }
        // One that never answers does not hold it for ever.
        assert!(begun.elapsed() < Duration::from_secs(20));
        opens.join().unwrap();
    }
}

#[test]
fn what_is_refused_by_its_head_is_refused_before_its_body() {
    use std::io::{Read as _, Write as _};

    let m2m = providers::m2m();
    let mut listener = Listener::start(&m2m, "memory", &["--json"]);
    let address = listener.url.trim_start_matches("http://");
    let address = address.trim_end_matches('/').to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let hex = "0".repeat(64);
    let signed = format!("x-m2m-timestamp: {now}\r\nx-m2m-signature: sha256={hex}\r\n");
    for (headers, length, status, rejection) in [
        ("", 900_000, "401", "signature-missing"),
        (signed.as_str(), 900_000_000, "413", "body-too-large"),
    ] {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // Nothing of the body is ever sent.
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning).unwrap();
        assert_eq!(beginning, format!("HTTP/1.1 {status}").as_bytes());
        let line = listener.json();
        assert_eq!(line["rejection"], rejection, "{line}");
        assert_eq!(line["answered"].to_string(), status);
    }
}

#[test]
fn a_handshake_is_answered_and_told_and_a_wrong_one_refused() {
    use std::io::{Read as _, Write as _};

    let meta = providers::meta();
    let mut listener = Listener::start(&meta, "memory", &["--json"]);
    for (token, status, answer) in [(TOKEN, 200, "1158201444"), ("wrong", 401, "")] {
        let url = listener.url.clone();
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        let head =
            format!("GET /?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).unwrap();
        assert!(
            answered.ends_with(&format!("\r\n\r\n{answer}")),
            "{answered}"
        );
        let line = listener.json();
        assert_eq!(line["answered"], status);
        assert_eq!(line["handshake"], status == 200, "{line}");
        let rejection = line["rejection"].as_str();
        assert_eq!(rejection, (status == 401).then_some("signature-mismatch"));
    }
}

/// The type of an authentic request, or why it was refused.
fn verified(
    provider: &Provider,
    pair: &SecretPair,
    headers: &HeaderMap,
    body: axum::body::Bytes,
) -> Result<Option<String>, tower_webhooks_core::RejectionKind> {
    use tower_webhooks_core::{Head, Secrets, Verifier};
    let verifier =
        Verifier::new(provider.clone(), &Secrets::new(pair.receiver()).unwrap()).unwrap();
    let verifier = verifier
        .with_payload_secrets(&Secrets::new(PAYLOAD_SECRET).unwrap())
        .unwrap();
    let now = std::time::SystemTime::now();
    let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
    let screened = provider.screen(headers, now).map_err(|no| no.kind())?;
    let head = Head::new(&method, &uri, headers);
    let delivery = verifier.verify(head, &screened, body, now);
    let delivery = delivery.map_err(|no| no.kind())?;
    let event = match delivery.items() {
        Some([item]) => item.event(),
        _ => delivery.event(),
    };
    Ok(event.ok().map(|event| event.event_type().to_string()))
}

#[cfg(unix)]
#[test]
fn a_kept_event_is_sent_again_under_its_id_and_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "adyen",
        "discord",
        "github",
        "lark",
        "linear",
        "m2m",
        "standard-webhooks",
        "stripe",
        "wechat-pay",
    ] {
        let provider = providers::find(name).unwrap();
        let inbox = path(folder.path(), &format!("{name}.db"));
        let first = provider.events().list[0].name.clone();
        let mut listener = Listener::start(&provider, &inbox, &["--json"]);
        let pair = listener.pair.clone();
        assert_eq!(listener.send(&provider, &first, pair.sender()).code, 0);
        assert_eq!(listener.json()["event_type"], first.as_str());

        // A second later, so that another time is signed.
        std::thread::sleep(Duration::from_millis(1_100));
        let app = Receiver::answering("OK");
        let url = format!("http://{}/hook", app.address);
        let replay = |seq: &str, secret: &str| {
            let mut command = webhooks();
            command
                .args(["listen", "replay", seq, "--inbox", &inbox, "--url", &url])
                .env("WEBHOOK_SECRET", secret);
            finish(command, "")
        };
        // Beside the listener that keeps it.
        let ran = replay("1", pair.sender());
        let (headers, body) = app.received.lock().unwrap()[0].clone();
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "200: OK\n"),
            "{name}: {ran:?}"
        );
        let delivered = verified(&provider, &pair, &headers, body).unwrap();
        assert_eq!(delivered.as_deref(), Some(first.as_str()), "{name}");

        let mut as_json = webhooks();
        as_json
            .args(["listen", "replay", "1", "--json", "--inbox", &inbox])
            .args(["--url", &url])
            .env("WEBHOOK_SECRET", pair.sender());
        let ran = finish(as_json, "");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(told["seq"], 1, "{name}: {told}");
        assert_eq!(told["event_type"], first.as_str(), "{name}: {told}");
        assert_eq!(
            (&told["status"], &told["body"]),
            (&json!(200), &json!("OK"))
        );
        assert!(told["millis"].as_f64().unwrap() > 0.0, "{name}: {told}");
        assert_eq!(ran.stdout.lines().count(), 1);

        // It is the same event for whoever has had it.
        let to_itself = webhooks()
            .args([
                "listen",
                "replay",
                "1",
                "--inbox",
                &inbox,
                "--url",
                &listener.url,
            ])
            .env("WEBHOOK_SECRET", pair.sender())
            .output()
            .unwrap();
        assert!(to_itself.status.success(), "{name}: {to_itself:?}");
        assert_eq!(listener.json()["event_type"], first.as_str());
        let mut list = webhooks();
        list.args(["inbox", "list", "--json", "--inbox", &inbox]);
        let listed = finish(list, "");
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let events = listed["events"].as_array().unwrap().len();
        assert_eq!(events, 1, "{name}: {listed}");

        assert_one_line(&replay("77", pair.sender()), 1, "there is no event 77");
        let (code, rest) = listener.stop();
        assert_eq!((code, rest), (Some(0), Vec::new()), "{name}");
    }
}

#[test]
fn it_does_not_pass_on_to_itself() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let ran = support::run(&format!(
            "listen --provider mppcash --inbox memory --listen 127.0.0.1:{port} \
             --forward http://{host}:{port}/hooks"
        ));
        assert_one_line(&ran, 2, "--forward is this receiver itself");
    }
}

#[test]
fn wrong_use_is_explained_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let none = path(folder.path(), "none.db");
    for (arguments, words) in [
        ("listen", "who sends? give --provider"),
        (
            "listen --provider mppcash --inbox mysql://db/x",
            "no inbox is kept at `mysql://`",
        ),
        (
            "listen --provider mppcash --inbox memory --forward nowhere",
            "--url is not a URL",
        ),
        (
            "listen --provider meta --inbox memory --listen 127.0.0.1:0",
            "with_handshake_secrets",
        ),
        (
            "listen --provider discord --inbox memory --listen 127.0.0.1:0",
            "is not in the form that this provider's secrets have",
        ),
        (
            "listen replay 1 --inbox memory --url http://127.0.0.1:9/",
            "its own process alone",
        ),
        (
            &format!("listen replay 1 --inbox {none} --url http://127.0.0.1:9/"),
            "there is no inbox at",
        ),
    ] {
        let ran = support::run(arguments);
        let code = if words == "with_handshake_secrets" {
            1
        } else {
            2
        };
        assert_one_line(&ran, code, words);
    }
    let (told, tells) = mpsc::channel();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let listen = format!("listen --provider mppcash --inbox memory --listen {address}");
        told.send(support::run(&listen)).unwrap();
    });
    let ran = tells.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_one_line(&ran, 1, "cannot be listened on");
    assert!(!ran.stderr.contains(SECRET));
}
