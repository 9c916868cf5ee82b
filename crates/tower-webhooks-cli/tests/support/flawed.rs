//! A careful receiver of M2M's events that keeps them in files, and the same
//! with one flaw.
//!
//! `journal` holds what was stored, `effects` a line for each effect, `seen` the
//! marks of the receiver that makes them too early.

use std::{
    collections::HashSet,
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
};
use serde::{Deserialize, Serialize};
use tower_webhooks_core::{Head, Secrets, Verifier, providers};

use super::SECRET;

/// How long a handler takes.
const HANDLER: Duration = Duration::from_millis(50);

/// How long a receiver that is not quick enough leaves a gap open.
const GAP: Duration = Duration::from_millis(100);

/// In which one way a receiver is flawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Answers, and stores afterwards.
    AckBeforeCommit,
    /// Reads whatever comes.
    BodyUnbounded,
    /// Looks whether it knows an event, and only then takes it.
    CheckThenInsert,
    /// Decodes the signature, and panics where it is no hexadecimal.
    CrashesOnHex,
    /// Handles events before it answers: no flaw where handlers are quick.
    HandlesFirst,
    /// Verifies, but at the time that the request claims.
    IgnoresAge,
    /// Notes that it knows an event before it has stored it.
    MarksSeenBeforeStored,
    /// Takes every event as a new one.
    NoDedup,
    None,
    /// Verifies only where there is a signature.
    OpenWithoutHeader,
    /// Handles an event as what a header says that nobody signed.
    TrustsUnsignedType,
    /// Verifies what it wrote again after parsing.
    VerifiesWhatItWrote,
}

impl Flaw {
    pub(crate) const ALL: [Self; 12] = [
        Self::AckBeforeCommit,
        Self::BodyUnbounded,
        Self::CheckThenInsert,
        Self::CrashesOnHex,
        Self::HandlesFirst,
        Self::IgnoresAge,
        Self::MarksSeenBeforeStored,
        Self::NoDedup,
        Self::None,
        Self::OpenWithoutHeader,
        Self::TrustsUnsignedType,
        Self::VerifiesWhatItWrote,
    ];
}

#[derive(Clone)]
pub(crate) struct Flawed {
    flaw: Flaw,
    verifier: Arc<Verifier>,
    folder: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    stored: HashSet<String>,
    handled: HashSet<String>,
    seen: HashSet<String>,
}

impl Flawed {
    /// Opens its files, in which an earlier one may have left something. Inside
    /// of a runtime, where what is not handled yet is handled.
    pub(crate) fn open(flaw: Flaw, folder: PathBuf) -> Self {
        let lines = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<HashSet<_>>()
        };
        let known = Known {
            stored: lines("journal"),
            handled: lines("effects"),
            seen: lines("seen"),
        };
        let secrets = Secrets::new(SECRET).unwrap();
        let opened = Self {
            flaw,
            verifier: Arc::new(Verifier::new(providers::m2m(), &secrets).unwrap()),
            folder,
            known: Arc::new(Mutex::new(known)),
        };
        opened.append("effects", "");
        let left = {
            let known = opened.known();
            let left = known.stored.difference(&known.handled);
            left.cloned().collect::<Vec<_>>()
        };
        for event in left {
            opened.handle(event);
        }
        opened
    }

    pub(crate) fn app(self) -> Router {
        Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.sync_all().unwrap();
    }

    /// Keeps an event, and whether it is a new one.
    fn store(&self, event: &str) -> bool {
        let mut known = self.known();
        let is_new = known.stored.insert(event.to_owned());
        if is_new {
            self.append("journal", &format!("{event}\n"));
        }
        is_new || self.flaw == Flaw::NoDedup
    }

    /// Runs what comes of an event, later.
    fn handle(&self, event: String) {
        let receiver = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HANDLER).await;
            receiver.run(event);
        });
    }

    fn run(&self, event: String) {
        self.append("effects", &format!("{event}\n"));
        self.known().handled.insert(event);
    }

    async fn take(self, event: String) {
        match self.flaw {
            Flaw::AckBeforeCommit => {
                // What it knows it has in its head.
                if !self.known().seen.insert(event.clone()) {
                    return;
                }
                tokio::spawn(async move {
                    tokio::time::sleep(GAP).await;
                    self.store(&event);
                    self.handle(event);
                });
                return;
            }
            Flaw::CheckThenInsert => {
                if self.known().stored.contains(&event) {
                    return;
                }
                tokio::time::sleep(GAP).await;
                self.store(&event);
                self.handle(event);
                return;
            }
            Flaw::MarksSeenBeforeStored => {
                if !self.known().seen.insert(event.clone()) {
                    return;
                }
                self.append("seen", &format!("{event}\n"));
                tokio::time::sleep(GAP).await;
            }
            _ => {}
        }
        if self.store(&event) {
            match self.flaw {
                Flaw::HandlesFirst => self.run(event),
                _ => self.handle(event),
            }
        }
    }
}

async fn receive(State(receiver): State<Flawed>, headers: HeaderMap, body: Body) -> StatusCode {
    let flaw = receiver.flaw;
    let limit = match flaw {
        Flaw::BodyUnbounded => usize::MAX,
        _ => 1 << 20,
    };
    let Ok(mut body) = to_bytes(body, limit).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    if flaw == Flaw::VerifiesWhatItWrote {
        let Ok(event) = serde_json::from_slice::<LinkCreated>(&body) else {
            return StatusCode::BAD_REQUEST;
        };
        body = serde_json::to_vec(&event).unwrap().into();
    }
    let signature = headers.get("x-m2m-signature");
    if let (Flaw::CrashesOnHex, Some(signature)) = (flaw, signature) {
        let signature = signature.to_str().unwrap().to_owned();
        // As servers answer a handler that panics.
        if tokio::spawn(async move { decode(&signature) })
            .await
            .is_err()
        {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    let event_type = if flaw == Flaw::OpenWithoutHeader && signature.is_none() {
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        event["event"].as_str().map(str::to_owned)
    } else {
        match verified(&receiver.verifier, flaw, &headers, body.clone()) {
            Some(event_type) => event_type,
            None => return StatusCode::UNAUTHORIZED,
        }
    };
    let event_type = match flaw {
        Flaw::TrustsUnsignedType => headers
            .get("x-m2m-event")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        _ => event_type,
    };
    // Only one type is handled here.
    if event_type.as_deref() == Some(providers::m2m().events().list[0].name.as_str()) {
        let event = String::from_utf8(body.to_vec()).unwrap();
        receiver.take(event).await;
    }
    StatusCode::OK
}

/// The event that is handled here, with its members in the order in which they
/// come.
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
    let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// The type of an authentic request, if it names an event.
fn verified(
    verifier: &Verifier,
    flaw: Flaw,
    headers: &HeaderMap,
    body: Bytes,
) -> Option<Option<String>> {
    let now = match flaw {
        Flaw::IgnoresAge => {
            let claimed = headers.get("x-m2m-timestamp")?.to_str().ok()?;
            SystemTime::UNIX_EPOCH + Duration::from_secs(claimed.parse().ok()?)
        }
        _ => SystemTime::now(),
    };
    let (method, uri) = (Method::POST, Uri::from_static("/hook"));
    let screened = verifier.provider().screen(headers, now).ok()?;
    let head = Head::new(&method, &uri, headers);
    let delivery = verifier.verify(head, &screened, body, now).ok()?;
    Some(
        delivery
            .event()
            .ok()
            .map(|event| event.event_type().to_string()),
    )
}
