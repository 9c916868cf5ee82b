//! Raw requests of the shared vectors, against a real server.
//!
//! The folder of the vectors is named by `TOWER_WEBHOOKS_VECTORS`, seen from
//! the workspace's root, and is `../shared/vectors` otherwise.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderName;
use serde::Deserialize;
use tower::util::MapRequestLayer;
use tower_webhooks::{
    Endpoint, Provider, Secrets, Webhooks,
    provider::{Envelope, HmacScheme, Scheme},
};
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

/// The cases that hyper decides alone, before any service, or the router; that
/// the vectors leave open; or that need a word. Each with its status, who
/// answers, and why.
const EXPLAINED: &str = "
NUL in signature | 400 | hyper | no header value may hold it
bare LF in header value | 200 | us | hyper takes a bare LF for a line end: what follows is a header like any other, and none of ours
bare CR in header value | 400 | hyper | not a line end
obs-fold header | 400 | hyper | folding is obsolete
space before colon | 400 | hyper | a smuggling trick
no Host | 200 | us | hyper does not ask for it, and we never read it
two Host | 200 | us | the same
no body, no content-length | 200 | us | the signature is over the empty body: authentic, stored as unusable
Content-Length twice, same | 200 | us | hyper takes equal lengths for one
Content-Length twice, different | 400 | hyper | the message has no one end
Content-Length: +13 | 400 | hyper | digits only
Content-Length: 13, 13 | 400 | hyper | digits only
Content-Length huge 2^64 | 400 | hyper | does not fit in 64 bits
Content-Length 10GB then nothing | 413 | us | refused by the declared length
Content-Length larger than body then FIN | 400 | us | the body broke off: nothing is stored
TE chunked + CL both | 200 | us | hyper drops the length, so that nobody behind it can believe it, and closes the connection; where both are seen it is 400
TE: identity | 400 | hyper | only chunked ends a message
TE: gzip, chunked | 400 | us | hyper would hand on compressed bytes
TE: xchunked | 400 | hyper | only chunked ends a message
chunked, no terminator then FIN | 400 | us | the body broke off: nothing is stored
header 100 KB | 200 | us | within hyper's buffer of about 400 KB
header 500 KB | 431 | hyper | beyond that buffer
101 headers | 431 | hyper | hyper takes 100
GET | 405 | us | no preset has a handshake yet
HEAD | 405 | us | no preset has a handshake yet
path /hook/ | 404 | router | another path
path //hook | 404 | router | another path
path /HOOK | 404 | router | another path
path /%68ook | 404 | router | the router compares the path as sent
path 70 KB | 414 | hyper | beyond 65,534 bytes
HTTP/0.9 | 400 | hyper | no version
HTTP/2.0 in h1 | 400 | hyper | no such version of this syntax
garbage | 400 | hyper | a TLS greeting
Expect: 100-continue, body sent | 100 | us | 100 when the head has passed, then 200
Expect: something | 200 | us | hyper ignores expectations that it does not know
Content-Encoding: gzip, signed compressed bytes, /hook | 415 | us | a provider cannot declare codings yet, and this one does not
Content-Encoding: 1 /hook | 415 | us | not declared
1.1 MiB body chunked no CL | 413 | us | counted as it comes
";

/// A decompressing layer outside ours: it breaks signatures or inflates what
/// nobody has signed, so the receiver under test has no such path.
const NOT_BUILT_THIS_WAY: &str = "/dec";

#[tokio::test]
#[ignore = "reads the shared vectors; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
async fn raw_requests_get_their_recommended_answers() {
    let file = read();
    let mut explained: BTreeMap<_, _> = EXPLAINED.lines().filter_map(row).collect();
    let (mut ran, mut skipped, mut wrong) = (0, 0, Vec::new());
    for case in &file.cases {
        if case.case.contains(NOT_BUILT_THIS_WAY) {
            skipped += 1;
            continue;
        }
        ran += 1;
        let expected = explained
            .remove(case.case.as_str())
            .unwrap_or_else(|| (case.recommended.split_at(3).0.parse().unwrap(), "us"));
        let (inbox, reached) = (FaultyInbox::new(), Reached::default());
        let webhooks = start(&file.secret, &inbox).await;
        let server = Server::start(app(&webhooks, &reached)).await;
        let finish = case.case.ends_with("then FIN") || case.case.ends_with("then nothing");
        let answer = server.exchange(&whole(case), finish).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();

        let stored = inbox.all().await;
        let right = (status(&answer), reached.who()) == (Some(expected.0), expected.1)
            && (expected.0 != 100 || answer.contains("\r\n\r\nHTTP/1.1 200 "))
            && (case.recommended.contains(&expected.0.to_string())
                || EXCEPT.contains(&(&case.case, expected.0)))
            && stored.len() == usize::from(expected.0 < 300)
            && stored
                .iter()
                .all(|record| record.event.state == EventState::Unusable);
        if !right {
            wrong.push(format!(
                "{}: {:?} by {} for {expected:?}, {} stored",
                case.case,
                status(&answer),
                reached.who(),
                stored.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((ran, skipped, file.count), (61, 4, 65));
    assert!(explained.is_empty(), "no such cases: {explained:?}");
}

/// Where the answer is not the recommended one: a coding, until codings can be
/// declared; and a length that hyper takes out of the message.
const EXCEPT: [(&str, u16); 2] = [
    (
        "Content-Encoding: gzip, signed compressed bytes, /hook",
        415,
    ),
    ("TE chunked + CL both", 200),
];

fn row(line: &'static str) -> Option<(&'static str, (u16, &'static str))> {
    let [case, status, by, _why] = line.split(" | ").collect::<Vec<_>>()[..] else {
        return None;
    };
    Some((case, (status.parse().unwrap(), by)))
}

/// How far a request came.
#[derive(Debug, Clone, Default)]
struct Reached {
    router: Arc<AtomicUsize>,
    endpoint: Arc<AtomicUsize>,
}

impl Reached {
    fn who(&self) -> &'static str {
        let [router, endpoint] =
            [&self.router, &self.endpoint].map(|count| count.load(Ordering::SeqCst));
        match (router, endpoint) {
            (0, 0) => "hyper",
            (_, 0) => "router",
            _ => "us",
        }
    }
}

/// Counts what comes by.
fn counted(
    count: &Arc<AtomicUsize>,
) -> MapRequestLayer<impl Fn(Request) -> Request + Clone + use<>> {
    let count = Arc::clone(count);
    MapRequestLayer::new(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        request
    })
}

async fn start(secret: &str, inbox: &FaultyInbox) -> Webhooks {
    let scheme =
        HmacScheme::new(HeaderName::from_static("x-hub-signature-256")).with_prefix("sha256=");
    let provider = Provider::new("hub", Scheme::Hmac(scheme), Envelope::new("/type"));
    let endpoint = Endpoint::new("hub", provider, Secrets::new(secret).unwrap());
    Webhooks::start(inbox.clone(), [endpoint]).await.unwrap()
}

fn app(webhooks: &Webhooks, reached: &Reached) -> Router {
    Router::new()
        .route_service("/hook", webhooks.endpoint("hub").unwrap())
        .route_layer(counted(&reached.endpoint))
        .layer(counted(&reached.router))
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
    let folder =
        env::var("TOWER_WEBHOOKS_VECTORS").unwrap_or_else(|_| "../shared/vectors".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join(folder).join("http-raw-axum-baseline.json");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}
