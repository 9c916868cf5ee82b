//! Raw requests of the shared vectors, against a real server.
//!
//! The folder of the vectors is named by `TOWER_WEBHOOKS_VECTORS`, seen from
//! the workspace's root, and is `../shared/vectors` otherwise.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{collections::BTreeMap, env, fs, path::Path};

use axum::Router;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderName;
use serde::Deserialize;
use tower_webhooks::{Endpoint, Envelope, HmacScheme, Provider, Scheme, Secrets, Webhooks};
use tower_webhooks_inbox::EventState;
use tower_webhooks_tests::{FaultyInbox, Server};

#[derive(Deserialize)]
struct File {
    secret: String,
    count: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    request_b64: String,
    request_len: usize,
    recommended: String,
}

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// hyper alone: the request never reached a service.
    Hyper,
    /// axum's router: another path.
    Router,
    /// The endpoint.
    Us,
}

/// Every case that hyper or the router decides alone, where the vectors leave
/// a choice, or where a later feature will change the answer; and why.
const EXPLAINED: [(&str, u16, By, &str); 37] = [
    ("NUL in signature", 400, By::Hyper, "no header value may hold it"),
    ("bare LF in header value", 200, By::Us, "hyper takes a bare LF for a line end: what follows is a header like any other, and none of ours"),
    ("bare CR in header value", 400, By::Hyper, "not a line end"),
    ("obs-fold header", 400, By::Hyper, "folding is obsolete"),
    ("space before colon", 400, By::Hyper, "a smuggling trick"),
    ("no Host", 200, By::Us, "hyper does not ask for it, and we never read it"),
    ("two Host", 200, By::Us, "the same"),
    ("no body, no content-length", 200, By::Us, "the signature is over the empty body: authentic, stored as unusable"),
    ("Content-Length twice, same", 200, By::Us, "hyper takes equal lengths for one"),
    ("Content-Length twice, different", 400, By::Hyper, "the message has no one end"),
    ("Content-Length: +13", 400, By::Hyper, "digits only"),
    ("Content-Length: 13, 13", 400, By::Hyper, "digits only"),
    ("Content-Length huge 2^64", 400, By::Hyper, "does not fit in 64 bits"),
    ("Content-Length 10GB then nothing", 413, By::Us, "refused by the declared length"),
    ("Content-Length larger than body then FIN", 400, By::Us, "the body broke off: nothing is stored"),
    ("TE: identity", 400, By::Hyper, "only chunked ends a message"),
    ("TE: gzip, chunked", 400, By::Us, "hyper would hand on compressed bytes"),
    ("TE: xchunked", 400, By::Hyper, "only chunked ends a message"),
    ("chunked, no terminator then FIN", 400, By::Us, "the body broke off: nothing is stored"),
    ("header 100 KB", 200, By::Us, "within hyper's buffer of about 400 KB"),
    ("header 500 KB", 431, By::Hyper, "beyond that buffer"),
    ("101 headers", 431, By::Hyper, "hyper takes 100"),
    ("GET", 405, By::Us, "no preset has a handshake yet"),
    ("HEAD", 405, By::Us, "no preset has a handshake yet"),
    ("path /hook/", 404, By::Router, "another path"),
    ("path //hook", 404, By::Router, "another path"),
    ("path /HOOK", 404, By::Router, "another path"),
    ("path /%68ook", 404, By::Router, "the router compares the path as sent"),
    ("path 70 KB", 414, By::Hyper, "beyond 65,534 bytes"),
    ("HTTP/0.9", 400, By::Hyper, "no version"),
    ("HTTP/2.0 in h1", 400, By::Hyper, "no such version of this syntax"),
    ("garbage", 400, By::Hyper, "a TLS greeting"),
    ("Expect: 100-continue, body sent", 100, By::Us, "100 when the head has passed, then 200"),
    ("Expect: something", 200, By::Us, "hyper ignores expectations that it does not know"),
    ("Content-Encoding: gzip, signed compressed bytes, /hook", 415, By::Us, "a provider cannot declare codings yet, and this one does not"),
    ("Content-Encoding: 1 /hook", 415, By::Us, "not declared"),
    ("1.1 MiB body chunked no CL", 413, By::Us, "counted as it comes"),
];

/// A decompressing layer outside ours: it breaks signatures or inflates what
/// nobody has signed, so the receiver under test has no such path.
const NOT_BUILT_THIS_WAY: &str = "/dec";

#[tokio::test]
#[ignore = "reads the shared vectors; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn raw_requests_get_their_recommended_answers() {
    let file = read();
    let explained: BTreeMap<_, _> =
        EXPLAINED.into_iter().map(|(case, status, by, why)| (case, (status, by, why))).collect();
    assert_eq!(explained.len(), EXPLAINED.len());

    let (mut ran, mut skipped, mut wrong) = (0, 0, Vec::new());
    for case in &file.cases {
        if case.case.contains(NOT_BUILT_THIS_WAY) {
            skipped += 1;
            continue;
        }
        ran += 1;
        let inbox = FaultyInbox::new();
        let server = Server::start(app(&file.secret, &inbox).await).await;
        let answer = server.exchange(&whole(case)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (status, stored) = (status(&answer), inbox.all().await);

        let (expected, by) = match explained.get(case.case.as_str()) {
            Some((expected, by, _)) => (*expected, *by),
            None => (case.recommended[..3].parse().unwrap(), By::Us),
        };
        let accepted = expected < 300;
        let last = answer.rsplit("HTTP/1.").next().unwrap_or_default();
        let right = status == Some(expected)
            && (expected != 100 || last.starts_with("1 200"))
            && agrees(&case.recommended, expected)
            && stored.len() == usize::from(accepted)
            && stored.iter().all(|record| record.event.state == EventState::Unusable);
        if !right {
            wrong.push(format!(
                "{}: {status:?} for {expected} ({by:?}), {} stored",
                case.case,
                stored.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((ran, skipped), (61, 4));
    assert_eq!(ran + skipped, file.count);
    for case in explained.keys() {
        assert!(file.cases.iter().any(|known| known.case == *case), "{case}");
    }
}

/// Whether an explained status is one that the vectors recommend.
fn agrees(recommended: &str, status: u16) -> bool {
    // The one exception, until codings can be declared.
    recommended.contains(&status.to_string()) || (recommended == "200" && status == 415)
}

async fn app(secret: &str, inbox: &FaultyInbox) -> Router {
    let scheme = HmacScheme::new(HeaderName::from_static("x-hub-signature-256"))
        .with_prefix("sha256=");
    let provider = Provider::new("hub", Scheme::Hmac(scheme), Envelope::new("/type"));
    let endpoint = Endpoint::new("hub", provider, Secrets::new(secret).unwrap());
    let webhooks = Webhooks::start(inbox.clone(), [endpoint]).await.unwrap();
    // The service outlives its workers here; nothing is handled.
    Router::new().route_service("/hook", webhooks.endpoint("hub").unwrap())
}

fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// The file keeps 4,096 bytes of a long request: the rest is the same letter
/// up to what ends it, and its length says whether that was put back right.
fn whole(case: &Case) -> Vec<u8> {
    let mut bytes = STANDARD.decode(&case.request_b64).unwrap();
    if bytes.len() < case.request_len {
        let end: &[u8] = match case.case.as_str() {
            "1.1 MiB body chunked no CL" => b"\r\n0\r\n\r\n",
            "header 100 KB" | "header 500 KB" => b"\r\nConnection: close\r\n\r\nHello, World!",
            "path 70 KB" => {
                b" HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a\
                  37570b6d7586c22c46f4379c8b043e17\r\nContent-Length: 13\r\nConnection: close\r\n\r\n\
                  Hello, World!"
            }
            _ => b"",
        };
        assert_eq!(bytes.last(), Some(&b'a'), "{}", case.case);
        bytes.resize(case.request_len - end.len(), b'a');
        bytes.extend_from_slice(end);
    }
    assert_eq!(bytes.len(), case.request_len, "{}", case.case);
    bytes
}

fn read() -> File {
    let folder = env::var("TOWER_WEBHOOKS_VECTORS").unwrap_or("../shared/vectors".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join(folder).join("http-raw-axum-baseline.json");
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
