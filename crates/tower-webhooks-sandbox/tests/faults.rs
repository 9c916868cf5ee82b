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
use tokio::{net::TcpListener, task::JoinHandle};
use tower_webhooks_core::{Head, Provider, Secret, Secrets, Verifier, providers};
use tower_webhooks_sandbox::{
    Trigger,
    faults::{Fault, FaultError, FaultPlayer, Reply, Verdict},
};

const SECRET: &str = "the-secret-of-receiver-and-player";

/// In which one way a receiver is flawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Reads whatever comes.
    BodyUnbounded,
    /// Answers 500 to what is no JSON.
    CrashesOnJson,
    /// Answers 409 to a duplicate.
    ConflictOnDuplicate,
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
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(flaw: Flaw, provider: Provider) -> Listening {
    let verifier = Verifier::new(provider, &Secrets::new(SECRET).unwrap()).unwrap();
    let receiver = Receiver {
        flaw,
        verifier: Arc::new(verifier),
        seen: Arc::default(),
    };
    let app = Router::new()
        .fallback(receive)
        .layer(DefaultBodyLimit::disable())
        .with_state(receiver);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Listening { url, task }
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
    if flaw == Flaw::VerifiesWhatItWrote && body.last() == Some(&b' ') {
        body = body.slice(..body.len() - 1);
    }
    if flaw != Flaw::VerifiesNothing {
        let now = match flaw {
            Flaw::IgnoresAge => claimed(&headers),
            _ => SystemTime::now(),
        };
        let (method, uri) = (Method::POST, Uri::from_static("/"));
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

fn claimed(headers: &HeaderMap) -> SystemTime {
    let seconds = headers["x-m2m-timestamp"].to_str().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse().unwrap())
}

fn player(provider: Provider, at: &Listening) -> FaultPlayer {
    let secret = Secret::new(SECRET).unwrap();
    let player = FaultPlayer::new(provider, secret, at.url.as_str()).unwrap();
    player
        .with_timeout(Duration::from_secs(10))
        .with_oversize_bytes(2 << 20)
}

fn event(provider: &Provider) -> Trigger {
    let first = &provider.events().list[0];
    Trigger::new(provider.name().clone(), first.name.clone())
}

#[tokio::test]
async fn a_right_receiver_is_right_for_every_provider_played_and_fault() {
    let played = |provider: &Provider| PLAYED.contains(&provider.name().as_str());
    for provider in providers::all().into_iter().filter(played) {
        let at = listen(Flaw::None, provider.clone()).await;
        let (player, event) = (player(provider.clone(), &at), event(&provider));
        assert_eq!(player.play_none(&event).await, Ok(Reply::Status(200)));
        for fault in Fault::ALL {
            let played = player.play(fault, &event).await.unwrap();
            let fits = match &played.verdict {
                Verdict::Right => !played.exchanges.is_empty(),
                Verdict::NotApplicable(_) => played.exchanges.is_empty(),
                _ => false,
            };
            assert!(fits, "{} {played:?}", provider.name());
        }
    }
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
        (Flaw::IgnoresAge, &[Fault::StaleTimestamp]),
        (
            Flaw::TakesTheFirstHalf,
            &[Fault::TruncatedBody, Fault::Oversize],
        ),
        (Flaw::VerifiesWhatItWrote, &[Fault::BodyChanged]),
        (
            Flaw::VerifiesNothing,
            &[
                Fault::WrongSecret,
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
async fn what_a_provider_cannot_send_is_not_played() {
    for (provider, fault, why) in [
        (
            providers::cryptomate(),
            Fault::BodyChanged,
            "its signature covers no body",
        ),
        (
            providers::monterrey(),
            Fault::StaleTimestamp,
            "it signs no time",
        ),
        (
            providers::mppcash(),
            Fault::SameIdOtherBody,
            "it sends no id in the body",
        ),
    ] {
        let at = listen(Flaw::None, provider.clone()).await;
        let played = player(provider.clone(), &at)
            .play(fault, &event(&provider))
            .await
            .unwrap();
        assert_eq!(played.verdict, Verdict::NotApplicable(why));
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
    let secret = || Secret::new(SECRET).unwrap();
    for url in ["https://127.0.0.1/", "/hook", ""] {
        let error = FaultPlayer::new(providers::monterrey(), secret(), url).unwrap_err();
        assert_eq!(error, FaultError::Url);
    }
}

/// Whose APIs the sandbox plays.
const PLAYED: [&str; 5] = ["cryptomate", "devdraft", "m2m", "monterrey", "mppcash"];
