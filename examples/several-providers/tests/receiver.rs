//! What each provider sends, through the app as it is served, into an inbox in a file.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use several_providers::app;
use tempfile::TempDir;
use tokio::time::timeout;
use tower::ServiceExt as _;
use tower_webhooks::{
    Provider, Rejection, RejectionKind, Secrets, SqliteInbox, Webhooks, providers,
    testing::{Run, Runs, Sender},
};

/// A provider, a type of its events, and the headers that type and id stand in, where they
/// are not in the body.
type Sent = (
    Provider,
    &'static str,
    &'static [(&'static str, &'static str)],
);

fn all() -> [Sent; 5] {
    [
        (
            providers::github(),
            "push",
            &[
                ("x-github-event", "push"),
                ("x-github-delivery", "72d3162e"),
            ],
        ),
        (providers::stripe(), "payment_intent.succeeded", &[]),
        (providers::slack(), "app_mention", &[]),
        (
            providers::shopify(),
            "orders/create",
            &[
                ("x-shopify-topic", "orders/create"),
                ("x-shopify-webhook-id", "b54557e4"),
            ],
        ),
        (providers::monterrey(), "payment.confirmed", &[]),
    ]
}

/// Each one's own, by its name.
fn secret(provider: &Provider) -> String {
    format!("a-secret-of-{}", provider.name())
}

fn path(provider: &Provider) -> String {
    format!("/webhooks/{}", provider.name())
}

/// The request that the provider signs with this secret.
fn signed((provider, event_type, headers): &Sent, secret: String) -> Request<Bytes> {
    let sender = Sender::new(provider.clone(), secret).unwrap();
    let mut sender = sender.to(&path(provider));
    for (name, value) in *headers {
        let name = HeaderName::from_static(name);
        sender = sender.header(name, HeaderValue::from_static(value));
    }
    let event = provider.events().find(event_type).unwrap();
    let sample = event.sample.as_deref().unwrap().to_owned();
    sender.signed(sample).unwrap()
}

struct Desk {
    app: Router,
    runs: Runs,
    webhooks: Arc<Webhooks>,
    _folder: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inbox = SqliteInbox::open(folder.path().join("webhooks.db"));
        let runs = Runs::new();
        let secrets = |variable: &str| {
            let name = variable.strip_suffix("_WEBHOOK_SECRET").unwrap();
            Secrets::new(format!("a-secret-of-{}", name.to_lowercase()))
        };
        let builder = runs.watch(Webhooks::builder());
        let (app, webhooks) = app(secrets, inbox.await.unwrap(), builder).await.unwrap();
        Self {
            app,
            runs,
            webhooks,
            _folder: folder,
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Body> {
        let request = request.map(Body::from);
        self.app.clone().oneshot(request).await.unwrap()
    }

    async fn assert_refused(&self, request: Request<Bytes>, kind: RejectionKind) {
        let answer = self.send(request).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let rejection = answer.extensions().get::<Rejection>().unwrap();
        assert_eq!(rejection.kind(), kind);
    }

    async fn next_run(&self) -> Run {
        let run = timeout(Duration::from_secs(10), self.runs.next());
        run.await.unwrap()
    }

    async fn stored(&self) -> u64 {
        let stats = self.webhooks.inbox().stats().await.unwrap();
        stats.events.values().sum()
    }
}

#[tokio::test]
async fn each_provider_is_let_in_and_handled_by_its_own_closure() {
    let desk = Desk::open().await;
    for (before, sent) in (0..).zip(all()) {
        let answer = desk.send(signed(&sent, secret(&sent.0))).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", sent.0.name());
        let run = desk.next_run().await;
        assert_eq!(run.error, None, "{}", sent.0.name());
        assert_eq!(&run.endpoint, sent.0.name());
        assert_eq!(run.event_type, sent.1);
        assert_eq!(run.handler, sent.1);
        assert_eq!(desk.stored().await, before + 1);
    }
}

#[tokio::test]
async fn one_changed_byte_is_refused() {
    let desk = Desk::open().await;
    for sent in all() {
        let altered = signed(&sent, secret(&sent.0)).map(|body| {
            let mut body = body.to_vec();
            let middle = body.len() / 2;
            body[middle] ^= 1;
            Bytes::from(body)
        });
        let kind = RejectionKind::SignatureMismatch;
        desk.assert_refused(altered, kind).await;
    }
    assert_eq!(desk.stored().await, 0);
}

#[tokio::test]
async fn the_secret_of_one_provider_opens_no_other_ones_door() {
    let desk = Desk::open().await;
    for (sent, other) in all().iter().zip(all().iter().cycle().skip(1)) {
        let request = signed(sent, secret(&other.0));
        desk.assert_refused(request, RejectionKind::SignatureMismatch)
            .await;
    }
    assert_eq!(desk.stored().await, 0);
}

#[tokio::test]
async fn slacks_url_verification_is_answered_and_not_stored() {
    let desk = Desk::open().await;
    let slack = providers::slack();
    let sender = Sender::new(slack.clone(), secret(&slack)).unwrap();
    let asked = sender
        .to(&path(&slack))
        .signed(r#"{"type":"url_verification","challenge":"3eZbrw1aBm2r"}"#)
        .unwrap();
    let answer = desk.send(asked.clone()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = to_bytes(answer.into_body(), 1024).await.unwrap();
    assert_eq!(body, r#"{"challenge":"3eZbrw1aBm2r"}"#);

    let mut unsigned = asked;
    unsigned.headers_mut().remove("x-slack-signature");
    desk.assert_refused(unsigned, RejectionKind::SignatureMissing)
        .await;
    assert_eq!(desk.stored().await, 0);
}
