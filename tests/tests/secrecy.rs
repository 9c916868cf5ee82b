//! No secret, expected digest or body text in any log, at any level, nor in
//! the `Debug` of a public type. One test, since the logs of a process are one.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    fmt::{Debug, Write as _},
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{Extension, Json, Router, body::Body, routing::post};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use http::{HeaderValue, Request, header, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::trace::TraceLayer;
use tower_webhooks::{
    Clock, Decide, Delivery, Endpoint, Event, EventRouter, Handler, HandlerError, Inbox as _, Job,
    MemoryInbox, Provider, Retry, Secret, SecretSource, Secrets, Signer, SystemClock, Tenant, Text,
    Verifier, WebhookLayer, Webhooks, ack, providers,
    testing::{Runs, Sender},
};
use tower_webhooks_inbox::{EventSeq, InboxErrorKind, NewEvent, Page, Selection};
use tower_webhooks_tests::{FaultyInbox, Form, Server, acme, ask, head_of, soon};

const SECRET: &str = "S3CRET-of-the-current-kind-0123456789";
const PREVIOUS: &str = "S3CRET-of-the-previous-kind-987654321";
const TENANTS: &str = "S3CRET-of-a-tenant-5555555555";
const OTHERS: &str = "S3CRET-of-nobody-here-77777777";
const BODY_TEXT: &str = "PRIVATE-text-in-a-body";
const REPLY_TEXT: &str = "PRIVATE-text-in-a-reply";

/// Everything that was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Tenancy;

impl SecretSource for Tenancy {
    fn key(&self, parts: &Parts) -> Option<Text> {
        parts.headers.get("x-tenant")?.to_str().ok().map(Text::from)
    }

    async fn look_up(
        &self,
        key: Text,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        match key.as_str() {
            "known" => Ok(Some(Tenant::new(key, Secrets::new(TENANTS)?))),
            "broken" => Err("the table of tenants is locked".into()),
            _ => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Unlike {
    #[allow(dead_code, reason = "only its decoding is looked at")]
    note: u64,
}

/// What must not be seen, and what it is.
#[derive(Default)]
struct Forbidden(Vec<(String, String)>);

impl Forbidden {
    fn add(&mut self, what: &str, text: &str) {
        self.0.push((what.to_owned(), text.to_owned()));
    }

    /// A secret, in every form in which it may come to light.
    fn add_secret(&mut self, secret: &str) {
        self.add(secret, secret);
        self.add(secret, &const_hex::encode(secret));
        self.add(secret, &const_hex::encode_upper(secret));
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            self.add(secret, &engine.encode(secret));
        }
        // As a list of bytes, which is how `Debug` prints a vector.
        self.add(
            secret,
            format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']),
        );
    }

    /// The digest that a request has, or should have had.
    fn add_digest(&mut self, what: &str, request: &Request<Body>, provider: &Provider) {
        let value = request.headers()[provider.scheme().header().unwrap()]
            .to_str()
            .unwrap();
        let digest = value.rsplit('=').next().unwrap();
        self.add(what, digest);
        if let Ok(bytes) = const_hex::decode(digest) {
            self.add(what, &STANDARD.encode(&bytes));
            self.add(what, format!("{bytes:?}").trim_matches(['[', ']']));
        }
    }

    fn check(&self, place: &str, text: &str) {
        for (what, form) in &self.0 {
            let shown = text.lines().find(|line| line.contains(form));
            assert_eq!(shown, None, "{what} is shown in {place}");
        }
    }
}

#[tokio::test]
async fn no_secret_digest_or_body_is_logged_or_printed() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut forbidden = Forbidden::default();
    for secret in [SECRET, PREVIOUS, TENANTS, OTHERS] {
        forbidden.add_secret(secret);
    }
    forbidden.add("the text of a body", BODY_TEXT);
    forbidden.add("the text of a body", &STANDARD.encode(BODY_TEXT));
    forbidden.add("the text of a reply", REPLY_TEXT);

    let mut shown = String::new();
    for form in Form::BOTH {
        let inbox = FaultyInbox::new();
        let runs = Runs::new();
        let webhooks = start(&inbox, &runs, &mut shown).await;
        let app = Router::new()
            .merge(form.mount(&webhooks, "acme"))
            .merge(form.mount(&webhooks, "cards"))
            .merge(form.mount(&webhooks, "tenants"))
            .route("/event", extracting(&webhooks))
            .layer(TraceLayer::new_for_http());
        for (request, digest_of) in requests(&mut forbidden) {
            let answer = ask(app.clone(), request).await;
            tracing::info!(status = %answer.status, "answered: {digest_of}");
        }
        // The jobs: one done, one dead for its payload, one for its error.
        for _ in 0..3 {
            show(&mut shown, &soon(runs.next()).await);
        }
        inbox.fail(Some(InboxErrorKind::Full));
        assert_eq!(ask(app.clone(), order("away", SECRET)).await.status, 503);
        inbox.fail(None);
        for record in inbox.all().await {
            show(&mut shown, &record);
        }
        over_a_socket(app).await;
        show(&mut shown, &webhooks);
        show(&mut shown, &webhooks.layer("acme").unwrap());
        show(&mut shown, &webhooks.endpoint("acme").unwrap());
        show(&mut shown, &webhooks.drain(Duration::from_secs(5)).await);
    }
    show_the_rest(&mut shown).await;

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The search itself: what is to be logged is there.
    for expected in [
        "webhook refused",
        "signature-mismatch",
        "an event was not stored",
        "answered",
    ] {
        assert!(logged.contains(expected), "{expected:?} was not logged");
    }
    assert!(shown.contains("[redacted]") && shown.contains("body_bytes"));
    forbidden.check("the log", &logged);
    forbidden.check("what `Debug` prints", &shown);
}

fn show(shown: &mut String, value: &dyn Debug) {
    writeln!(shown, "{value:?}\n{value:#?}").unwrap();
}

async fn start(inbox: &FaultyInbox, runs: &Runs, shown: &mut String) -> Webhooks {
    let secrets = || {
        Secrets::new(SECRET)
            .unwrap()
            .with_previous(PREVIOUS)
            .unwrap()
    };
    let typed = |_: Event<Unlike>| async {};
    let fails = |_: Job| async { Err::<(), _>(HandlerError::permanent("out of order")) };
    let notes = |job: Job| async move { tracing::info!(?job, "handled") };
    let events = EventRouter::new()
        .on("order.paid", typed)
        .on("order.paid", fails.named("fails").retry(Retry::none()))
        .on("order.paid", notes.named("notes"));
    let decide = |event: Event<Value>| async move {
        match event.data["bill_amount"].as_u64() {
            Some(_) => Ok(Json(json!({ "code": REPLY_TEXT }))),
            None => Err(HandlerError::msg("no amount")),
        }
    };
    let replies = EventRouter::new().reply(
        "cards.authorization.*",
        decide.or_default(Json(json!({ "code": REPLY_TEXT }))),
    );
    let endpoints = [
        Endpoint::new("acme", acme(), secrets()).events(events),
        Endpoint::new("cards", providers::cryptomate(), secrets()).events(replies),
        Endpoint::multi_tenant("tenants", acme(), Tenancy),
    ];
    show(shown, &endpoints);
    let builder = runs.watch(Webhooks::builder());
    show(shown, &builder);
    builder.start(inbox.clone(), endpoints).await.unwrap()
}

/// An inner handler that takes a typed event which does not fit.
fn extracting(webhooks: &Webhooks) -> axum::routing::MethodRouter {
    let inner = |Extension(delivery): Extension<Delivery>, _: Event<Unlike>| async move {
        tracing::info!(?delivery, "never reached");
    };
    post(inner).layer(webhooks.layer("acme").unwrap())
}

fn text(id: &str) -> String {
    format!(r#"{{"type":"order.paid","id":"{id}","data":{{"note":"{BODY_TEXT}"}}}}"#)
}

fn order(id: &str, secret: &str) -> Request<Body> {
    let sender = Sender::new(acme(), secret).unwrap().to("/acme");
    sender.request(text(id)).unwrap()
}

fn card(operation: &str, data: &str, secret: &str) -> Request<Body> {
    let sender = Sender::new(providers::cryptomate(), secret)
        .unwrap()
        .to("/cards");
    let head = r#""product":"cards","event_type":"authorization","status":"pending""#;
    let text = format!(r#"{{{head},"operation_id":"{operation}","data":{data}}}"#);
    sender.request(text).unwrap()
}

/// Good and bad requests of every kind; the digests that they have or should
/// have had become forbidden.
fn requests(forbidden: &mut Forbidden) -> Vec<(Request<Body>, &'static str)> {
    type Change = fn(&mut Request<Body>);
    let changes: [(&'static str, Change); 9] = [
        ("good", |_| {}),
        ("again", |_| {}),
        ("no signature", |request| {
            request.headers_mut().remove("x-acme-signature");
        }),
        ("truncated", |request| {
            let value = request.headers()["x-acme-signature"].to_str().unwrap();
            let cut = HeaderValue::from_str(value.split_at(value.len() - 2).0).unwrap();
            request.headers_mut().insert("x-acme-signature", cut);
        }),
        ("repeated", |request| {
            let value = request.headers()["x-acme-signature"].clone();
            request.headers_mut().append("x-acme-signature", value);
        }),
        ("conflict", |_| {}),
        ("coding", |request| {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        }),
        ("too large", |request| {
            let length = HeaderValue::from_static("35184372088832");
            request.headers_mut().insert(header::CONTENT_LENGTH, length);
        }),
        ("credentials", |request| {
            let value = HeaderValue::from_static(OTHERS);
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, value.clone());
            request.headers_mut().insert(header::COOKIE, value);
        }),
    ];
    let mut requests = Vec::new();
    for (what, change) in changes {
        let mut request = order("evt_1", SECRET);
        if what == "conflict" {
            let other = text("evt_1").replace("note", "memo");
            request = Sender::new(acme(), SECRET)
                .unwrap()
                .to("/acme")
                .request(other)
                .unwrap();
        }
        forbidden.add_digest(what, &request, &acme());
        change(&mut request);
        requests.push((request, what));
    }

    // One that another secret signed: what it should have been stays unsaid.
    let at = SystemClock.now();
    let clock = tower_webhooks::ManualClock::at(at);
    let signed = |secret| {
        let sender = Sender::new(acme(), secret).unwrap().to("/acme").at(&clock);
        sender.request(text("evt_2")).unwrap()
    };
    for secret in [SECRET, PREVIOUS, OTHERS] {
        forbidden.add_digest("expected", &signed(secret), &acme());
    }
    requests.push((signed(OTHERS), "another secret"));
    let mut unreadable = Sender::new(acme(), SECRET).unwrap().to("/acme");
    requests.push((unreadable.request(BODY_TEXT).unwrap(), "not JSON"));
    unreadable = unreadable.to("/event");
    requests.push((unreadable.request(text("evt_3")).unwrap(), "does not fit"));

    let bill = format!(r#"{{"bill_amount":1,"note":"{BODY_TEXT}"}}"#);
    requests.push((card("op_1", &bill, SECRET), "decided"));
    requests.push((card("op_1", &bill, SECRET), "decided before"));
    requests.push((card("op_1", &format!("{bill} "), SECRET), "another body"));
    requests.push((
        card("op_2", &format!("\"{BODY_TEXT}\""), PREVIOUS),
        "not decided",
    ));
    requests.push((card("op_3", &bill, OTHERS), "another key"));

    for tenant in ["known", "broken", "nobody"] {
        let sender = Sender::new(acme(), TENANTS).unwrap().to("/tenants");
        let mut request = sender.request(text("evt_1")).unwrap();
        let value = HeaderValue::from_static(tenant);
        request.headers_mut().insert("x-tenant", value);
        requests.push((request, tenant));
    }
    requests
}

/// A good request and a forged one, as hyper sees them.
async fn over_a_socket(app: Router) {
    let server = Server::start(app).await;
    for (secret, status) in [(SECRET, "200"), (OTHERS, "401")] {
        let (head, body) = head_of(order("over-a-socket", secret)).await;
        let mut wire = server.connect().await;
        wire.send(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())
            .await;
        wire.send(&body).await;
        assert!(
            wire.answer()
                .await
                .starts_with(&format!("HTTP/1.1 {status} "))
        );
    }
}

/// Public types that the requests above do not bring to light.
async fn show_the_rest(shown: &mut String) {
    let secrets = Secrets::new(SECRET)
        .unwrap()
        .with_previous(PREVIOUS)
        .unwrap();
    let secret = Secret::new(SECRET).unwrap().with_label("current");
    let verifier = Verifier::new(acme(), &secrets).unwrap();
    let signer = Signer::new(acme(), secret.clone());
    let sender = Sender::new(acme(), SECRET).unwrap();
    let (parts, _) = sender.request(text("evt_9")).unwrap().into_parts();
    let now = SystemTime::now();
    let screened = acme().screen(&parts.headers, now).unwrap();
    let delivery = verifier
        .verify((&parts).into(), &screened, text("evt_9").into(), now)
        .unwrap();
    show(
        shown,
        &(&secret, &secrets, &verifier, &signer, &sender, &screened),
    );
    show(
        shown,
        &(
            &delivery,
            delivery.event(),
            Tenant::new("ann", secrets.clone()),
        ),
    );
    // The signature's header is marked, so that whoever prints headers does not print it.
    show(shown, &parts.headers);

    let verify = || WebhookLayer::verify(acme(), secrets.clone()).unwrap();
    let layered: Router = Router::new().route("/", post(ack).layer(verify()));
    show(shown, &(verify(), layered));
    for mistake in [Secret::new(""), Secret::new(" ")] {
        show(shown, &mistake);
    }

    let mut restored = tower_webhooks_core::Restored::new(text("evt_9").into(), now);
    restored.headers = parts.headers;
    show(shown, &restored);
    let event = NewEvent::new("acme", text("evt_9"), now);
    show(shown, &event);
    let inbox = MemoryInbox::new();
    let batch = tower_webhooks_inbox::Batch {
        inserts: vec![event],
        ..Default::default()
    };
    show(shown, &batch);
    show(shown, &inbox.apply(batch).await.unwrap());
    show(shown, &inbox.get(EventSeq(1)).await.unwrap());
    show(
        shown,
        &inbox
            .list(&Default::default(), Page::default())
            .await
            .unwrap(),
    );
    show(shown, &inbox.replay(&Selection::default()).await.unwrap());
    show(shown, &inbox);
}
