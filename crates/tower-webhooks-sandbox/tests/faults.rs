//! Faults against receivers that are flawed in one way each, and against one
//! that is not.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinHandle};
use tower_webhooks_core::{Head, Provider, Secret, SecretPair, Secrets, Verifier, providers};
use tower_webhooks_sandbox::{
    Trigger,
    faults::{Fault, FaultError, FaultPlayer, Reply, Verdict},
};

/// Opens payloads, where that takes a secret of its own.
const PAYLOAD_SECRET: &str = "0123456789abcdef0123456789ABCDEF";

/// In which one way a receiver is flawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Reads whatever comes.
    BodyUnbounded,
    /// Answers 500 to what is no JSON.
    CrashesOnJson,
    /// Decodes the signature, and panics where it is no hexadecimal.
    CrashesOnSignature,
    /// Answers 409 to a duplicate.
    ConflictOnDuplicate,
    /// Verifies only where there is a signature.
    OpenWithoutHeader,
    /// Takes a body that ends early for a whole one.
    TakesTheFirstHalf,
    /// Answers 500 to a media type that it does not know.
    CrashesOnMediaType,
    /// Verifies what was parsed and written again.
    VerifiesWhatItWrote,
    /// Verifies nothing.
    VerifiesNothing,
    /// Verifies, but at the time that the request claims.
    IgnoresAge,
    None,
}

#[derive(Clone)]
struct Receiver {
    flaw: Flaw,
    verifier: Arc<Verifier>,
    seen: Arc<Mutex<Vec<Bytes>>>,
}

struct Listening {
    url: String,
    pair: SecretPair,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(flaw: Flaw, provider: Provider) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let pair = SecretPair::generate(&provider, &[7; 32]).unwrap();
    let verifier = Verifier::new(provider, &Secrets::new(pair.receiver()).unwrap())
        .unwrap()
        .with_public_url(Some(url.clone().into()))
        .with_payload_secrets(&Secrets::new(PAYLOAD_SECRET).unwrap())
        .unwrap();
    let receiver = Receiver {
        flaw,
        verifier: Arc::new(verifier),
        seen: Arc::default(),
    };
    let app = Router::new()
        .fallback(receive)
        .layer(DefaultBodyLimit::disable())
        .with_state(receiver);
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Listening { url, pair, task }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Body) -> StatusCode {
    let flaw = receiver.flaw;
    let limit = match flaw {
        Flaw::BodyUnbounded => usize::MAX,
        _ => 1 << 20,
    };
    let mut body = match axum::body::to_bytes(body, limit).await {
        Ok(body) => body,
        Err(_) if flaw == Flaw::TakesTheFirstHalf => return StatusCode::OK,
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE,
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    if flaw == Flaw::CrashesOnMediaType && headers[header::CONTENT_TYPE] != "application/json" {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let is_json = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
    if flaw == Flaw::CrashesOnJson && !is_json {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if flaw == Flaw::VerifiesWhatItWrote {
        let Ok(event) = serde_json::from_slice::<LinkCreated>(&body) else {
            return StatusCode::BAD_REQUEST;
        };
        body = serde_json::to_vec(&event).unwrap().into();
    }
    let signature = headers.get("x-m2m-signature");
    let is_open = flaw == Flaw::OpenWithoutHeader && signature.is_none();
    if let (Flaw::CrashesOnSignature, Some(signature)) = (flaw, signature) {
        let signature = signature.to_str().unwrap().to_owned();
        // As servers answer a handler that panics.
        let decoded = tokio::spawn(async move { decode(&signature) });
        if decoded.await.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    if flaw != Flaw::VerifiesNothing && !is_open {
        let now = match flaw {
            Flaw::IgnoresAge => claimed(&headers),
            _ => SystemTime::now(),
        };
        let (method, uri) = (Method::POST, Uri::from_static("/hook"));
        let head = Head::new(&method, &uri, &headers);
        let verified = receiver
            .verifier
            .provider()
            .screen(&headers, now)
            .and_then(|screened| receiver.verifier.verify(head, &screened, body.clone(), now));
        if verified.is_err() {
            return StatusCode::UNAUTHORIZED;
        }
    }
    let mut seen = receiver.seen.lock().unwrap();
    if seen.contains(&body) && flaw == Flaw::ConflictOnDuplicate {
        return StatusCode::CONFLICT;
    }
    seen.push(body);
    StatusCode::OK
}

/// The event that is played here, with its members in the order in which they come.
#[derive(Deserialize, Serialize)]
struct LinkCreated {
    event: String,
    timestamp: String,
    data: Link,
    /// What tells two events of the player's apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhooks_send: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    link_id: String,
    reference_id: String,
    url: String,
    status: String,
    expires_at: String,
    created_at: String,
}

/// The bytes of a signature in hexadecimal: no sender would send another.
fn decode(signature: &str) -> Vec<u8> {
    let digits = signature.strip_prefix("sha256=").unwrap();
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn claimed(headers: &HeaderMap) -> SystemTime {
    let seconds = headers["x-m2m-timestamp"].to_str().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse().unwrap())
}

fn player(provider: Provider, at: &Listening) -> FaultPlayer {
    let secret = Secret::new(at.pair.sender()).unwrap();
    let player = FaultPlayer::new(provider, secret, at.url.as_str()).unwrap();
    player
        .with_payload_secret(Secret::new(PAYLOAD_SECRET).unwrap())
        .with_timeout(Duration::from_secs(10))
        .with_oversize_bytes(2 << 20)
}

fn event(provider: &Provider) -> Trigger {
    let first = &provider.events().list[0];
    Trigger::new(provider.name().clone(), first.name.clone())
}

#[tokio::test]
async fn a_right_receiver_is_right_for_every_provider_and_fault() {
    // Some faults take their time: all providers at once.
    let mut all = tokio::task::JoinSet::new();
    for provider in providers::all() {
        all.spawn(async move {
            let at = listen(Flaw::None, provider.clone()).await;
            let (player, event) = (player(provider.clone(), &at), event(&provider));
            let plain = player.play_none(&event).await;
            assert_eq!(plain, Ok(Reply::Status(200)), "{}", provider.name());
            for fault in Fault::ALL {
                let played = player.play(fault, &event).await.unwrap();
                let fits = match &played.verdict {
                    Verdict::Right => !played.exchanges.is_empty(),
                    Verdict::NotApplicable(_) => played.exchanges.is_empty(),
                    _ => false,
                };
                assert!(fits, "{} {played:?}", provider.name());
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

/// What a provider cannot send, and why: for all of them, so that a fault that
/// goes missing is seen.
#[tokio::test]
async fn what_a_provider_cannot_send_is_said_with_its_reason() {
    let mut rows = Vec::new();
    for provider in providers::all() {
        let at = listen(Flaw::None, provider.clone()).await;
        let (player, event) = (player(provider.clone(), &at), event(&provider));
        for fault in Fault::ALL {
            // The others are played above.
            if matches!(fault, Fault::SlowBody | Fault::Oversize) {
                continue;
            }
            let played = player.play(fault, &event).await.unwrap();
            if let Verdict::NotApplicable(why) = played.verdict {
                assert_eq!(played.effects, None);
                rows.push((fault.name(), why, provider.name().to_string()));
            }
        }
    }
    let of = |fault: Fault, reason: &str| {
        let rows = rows
            .iter()
            .filter(|row| row.0 == fault.name() && row.1 == reason);
        rows.map(|row| row.2.as_str()).collect::<Vec<_>>()
    };
    let tokens = ["cryptomate", "gitlab", "microsoft-graph", "telegram"];
    assert_eq!(
        of(Fault::BodyChanged, "its signature covers no body"),
        tokens
    );
    assert_eq!(
        of(Fault::MalformedSignature, "its token may be any text"),
        tokens
    );
    let inside = ["adyen", "linear", "mailgun", "microsoft-graph"];
    assert_eq!(
        of(Fault::InvalidJson, "what proves it stands in the JSON"),
        inside
    );
    assert_eq!(of(Fault::InvalidJson, "it sends no JSON"), ["twilio"]);
    let elsewhere = ["github", "shopify", "telegram"];
    assert_eq!(
        of(Fault::DuplicateKeys, "it sends no type in the body"),
        elsewhere
    );
    assert_eq!(
        of(Fault::DuplicateKeys, "this event has no place for it"),
        ["adyen"]
    );
    let timeless = of(Fault::StaleTimestamp, "it signs no time");
    for provider in providers::all() {
        let is_timeless = provider.scheme().timestamp().is_none();
        let name = provider.name().as_str();
        assert_eq!(timeless.contains(&name), is_timeless, "{name}");
        let nameless = of(Fault::SameIdOtherBody, "it sends no id");
        let has_id = provider.envelope().id().is_some();
        assert_eq!(nameless.contains(&name), !has_id, "{name}");
        let once = of(Fault::UnsignedType, "it names its type once");
        assert_eq!(once.contains(&name), name != "m2m", "{name}");
    }
    let reasons = [
        (Fault::BodyChanged, 4),
        (Fault::MalformedSignature, 4),
        (Fault::InvalidJson, 5),
        (Fault::DuplicateKeys, 4),
        (Fault::StaleTimestamp, timeless.len()),
    ];
    for (fault, expected) in reasons {
        let all = rows.iter().filter(|row| row.0 == fault.name());
        assert_eq!(all.count(), expected, "{fault}: no other reason");
    }
    let never = [
        Fault::Chunked,
        Fault::ConcurrentDuplicate,
        Fault::CutConnection,
        Fault::Duplicate,
        Fault::Gzip,
        Fault::MissingSignature,
        Fault::Reorder,
        Fault::TruncatedBody,
        Fault::WrongContentType,
        Fault::WrongSecret,
    ];
    let missing = |fault: &Fault| rows.iter().any(|row| row.0 == fault.name());
    assert!(
        !never.iter().any(missing),
        "every provider can be sent these"
    );
}

#[tokio::test]
async fn each_flaw_is_found_by_its_faults_and_by_no_other() {
    for (flaw, found) in [
        (Flaw::BodyUnbounded, &[Fault::Oversize][..]),
        (
            Flaw::ConflictOnDuplicate,
            &[Fault::Duplicate, Fault::ConcurrentDuplicate],
        ),
        (Flaw::CrashesOnJson, &[Fault::InvalidJson]),
        (Flaw::CrashesOnMediaType, &[Fault::WrongContentType]),
        (Flaw::CrashesOnSignature, &[Fault::MalformedSignature]),
        (Flaw::IgnoresAge, &[Fault::StaleTimestamp]),
        (Flaw::OpenWithoutHeader, &[Fault::MissingSignature]),
        (
            Flaw::TakesTheFirstHalf,
            &[Fault::TruncatedBody, Fault::Oversize],
        ),
        (Flaw::VerifiesWhatItWrote, &[Fault::BodyChanged]),
        (
            Flaw::VerifiesNothing,
            &[
                Fault::WrongSecret,
                Fault::MissingSignature,
                Fault::MalformedSignature,
                Fault::BodyChanged,
                Fault::StaleTimestamp,
            ],
        ),
    ] {
        let m2m = providers::m2m();
        let at = listen(flaw, m2m.clone()).await;
        let (player, event) = (player(m2m.clone(), &at), event(&m2m));
        for fault in Fault::ALL {
            let played = player.play(fault, &event).await.unwrap();
            let is_wrong = matches!(played.verdict, Verdict::Wrong(_));
            let is_planted = found.contains(&fault);
            assert_eq!(is_wrong, is_planted, "{flaw:?}: {played:?}");
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_answers_nothing_and_is_wrong() {
    let provider = providers::monterrey();
    let at = listen(Flaw::None, provider.clone()).await;
    let (player, event) = (player(provider.clone(), &at), event(&provider));
    drop(at);
    tokio::task::yield_now().await;
    let played = player.play(Fault::WrongSecret, &event).await.unwrap();
    assert_eq!(played.exchanges[0].reply, Reply::Closed);
    assert!(
        matches!(played.verdict, Verdict::Wrong(_)),
        "it refused nothing"
    );
}

#[test]
fn faults_want_an_http_url() {
    let secret = || Secret::new("a-shared-secret").unwrap();
    for url in ["https://127.0.0.1/", "/hook", ""] {
        let error = FaultPlayer::new(providers::monterrey(), secret(), url).unwrap_err();
        assert_eq!(error, FaultError::Url);
    }
}
