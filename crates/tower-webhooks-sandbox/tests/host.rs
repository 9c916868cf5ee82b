//! Who may call a sandbox that listens: over real HTTP, since the transport decides which
//! names a request has.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use support::Receiver;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_webhooks_sandbox::{NewRegistration, Sandbox, SandboxBuilder, SandboxError, Trigger};

/// A sandbox that listens for as long as it is held.
struct Listening {
    sandbox: Sandbox,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(builder: SandboxBuilder, on: &str) -> Listening {
    let sandbox = builder.start().unwrap();
    let listener = TcpListener::bind(on).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = sandbox.clone();
    let task = tokio::spawn(async move { serving.serve(listener).await.unwrap() });
    Listening {
        sandbox,
        address,
        task,
    }
}

/// The status and the body of what a request is answered, written by hand.
async fn ask(at: SocketAddr, line: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = format!("{line} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("{request}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

const LOOPBACK: &str = "127.0.0.1:0";
const OVERVIEW: &str = "GET /_sandbox";

#[tokio::test]
async fn a_page_under_a_name_that_leads_here_gets_nothing_of_any_api() {
    let at = listen(Sandbox::builder(), LOOPBACK).await;
    let ours = at.address.to_string();
    let port = at.address.port();
    for (line, key, open) in [
        (OVERVIEW, None, 200),
        ("GET /_sandbox/registrations", None, 200),
        ("GET /_sandbox/dispatches", None, 200),
        (
            "GET /monterrey/v1/webhooks",
            Some(("x-api-key", "mk_test_sandbox")),
            200,
        ),
        ("GET /no/such/path", None, 404),
    ] {
        let with = |host: &str| {
            let host = host.to_owned();
            async move {
                let mut headers = vec![("host", host.as_str())];
                headers.extend(key);
                ask(at.address, line, &headers).await
            }
        };
        assert_eq!(with(&ours).await.0, open, "{line}");
        assert_eq!(with(&format!("localhost:{port}")).await.0, open, "{line}");
        assert_eq!(with("[::1]").await.0, open, "{line}");
        for host in ["evil.example", &format!("evil.example:{port}"), "10.9.8.7"] {
            let (status, body) = with(host).await;
            assert_eq!(status, 403, "{line} as {host}");
            let said: serde_json::Value = serde_json::from_str(&body).unwrap();
            let why = said["error"].as_str().unwrap();
            assert!(why.starts_with("the sandbox is not called so"), "{why}");
        }
    }
}

#[tokio::test]
async fn every_name_of_a_request_counts() {
    let at = listen(Sandbox::builder(), LOOPBACK).await;
    let ours = at.address.to_string();
    let (ours, evil) = (("host", ours.as_str()), ("host", "evil.example"));
    let absolute = format!("GET http://{}/_sandbox", at.address);
    for (line, headers, expected) in [
        (OVERVIEW, &[ours][..], 200),
        (absolute.as_str(), &[ours], 200),
        (absolute.as_str(), &[evil], 403),
        ("GET http://evil.example/_sandbox", &[ours], 403),
        (OVERVIEW, &[ours, evil], 403),
        (OVERVIEW, &[evil, ours], 403),
        (OVERVIEW, &[("host", "")], 403),
    ] {
        let (status, body) = ask(at.address, line, headers).await;
        assert_eq!(status, expected, "{line} {headers:?}: {body}");
    }
    let (status, _) = ask(at.address, OVERVIEW, &[]).await;
    assert_eq!(status, 403, "none is none of ours");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let receiver = Receiver::willing().await;
    let at = listen(Sandbox::builder(), LOOPBACK).await;
    let new = NewRegistration::new("monterrey", receiver.url());
    at.sandbox.register(new).unwrap();
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let id = at.sandbox.trigger(&trigger).unwrap().remove(0);
    at.sandbox.ended(&id).await.unwrap();

    let (host, port) = (at.address.to_string(), at.address.port());
    let redeliver = format!("POST /_sandbox/dispatches/{id}/redeliver");
    let with = |origin: &str| {
        let (host, origin, line) = (host.clone(), origin.to_owned(), redeliver.clone());
        let length = ("content-length", "0");
        async move {
            let headers = [("host", host.as_str()), ("origin", &origin), length];
            ask(at.address, &line, &headers).await
        }
    };
    for origin in [
        "http://evil.example",
        "http://localhost:3000",
        &format!("http://localhost:{port}"),
        "null",
    ] {
        let (status, body) = with(origin).await;
        assert_eq!(status, 403, "{origin}");
        let said = r#"{"error":"a page of another site may not call the sandbox"}"#;
        assert_eq!(body, said);
    }
    assert_eq!(receiver.count(), 1);
    assert_eq!(with(&format!("http://{host}")).await.0, 200);
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn a_name_that_was_allowed_is_one_of_its_own() {
    let builder = Sandbox::builder().add_host("Provider");
    let at = listen(builder, LOOPBACK).await;
    for (host, expected) in [
        ("provider:4000", 200),
        ("PROVIDER", 200),
        ("127.0.0.1", 200),
        ("provider.evil.example", 403),
        ("other", 403),
    ] {
        let (status, _) = ask(at.address, OVERVIEW, &[("host", host)]).await;
        assert_eq!(status, expected, "{host}");
    }
    let wrong = Sandbox::builder().add_host("provider:4000").start();
    assert!(matches!(wrong, Err(SandboxError::Host(name)) if name == "provider:4000"));
}

#[tokio::test]
async fn the_address_that_a_request_came_in_at_is_a_name() {
    // Which address this machine has for others; nothing is sent.
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Ok(IpAddr::V4(own)) = asked.map(|address| address.ip()) else {
        // A machine without a network has no other address.
        return;
    };
    let at = listen(Sandbox::builder(), "0.0.0.0:0").await;
    let outside = SocketAddr::new(own.into(), at.address.port());
    let own = own.to_string();
    assert_eq!(ask(outside, OVERVIEW, &[("host", &own)]).await.0, 200);
    let other = ask(outside, OVERVIEW, &[("host", "10.254.253.252")]).await;
    assert_eq!(other.0, 403, "an address, and none of its own");
}
