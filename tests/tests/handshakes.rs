//! How a provider makes sure that a receiver is there: the table of answers, and
//! what is tried to get one, or more than one, out of a receiver. In both forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body, routing::any};
use http::{HeaderName, HeaderValue, Method, Request, header};
use tower_webhooks::{
    Endpoint, ManualClock, MemoryInbox, Provider, RejectionKind, Secret, SecretSource, Secrets,
    SetupError, StartError, Tenant, Text, WebhookLayer, Webhooks,
    provider::{Handshake, HandshakeAnswer},
    providers,
    testing::Sender,
};
use tower_webhooks_tests::{Answered, FaultyInbox, Figures, Form, acme, ask, endless};

const SECRET: &str = "handshakes-and-the-tests-share-this";
const TOKEN: &str = "the-token-chosen-in-the-console";

/// RFC 8032, section 7.1, test 1.
const PRIVATE_KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// A receiver of one preset, and its provider.
struct Receiver {
    inbox: FaultyInbox,
    webhooks: Webhooks,
    app: Router,
    clock: ManualClock,
    provider: Provider,
}

impl Receiver {
    async fn start(form: Form, name: &str) -> Self {
        let provider = providers::find(name).unwrap();
        let secrets = if name.starts_with("discord") {
            PUBLIC_KEY
        } else {
            SECRET
        };
        let secrets = Secrets::new(secrets).unwrap();
        Self::of(form, provider.clone(), |name| {
            Endpoint::new(name, provider, secrets)
                .with_handshake_secrets(Secrets::new(TOKEN).unwrap())
        })
        .await
    }

    async fn of(form: Form, provider: Provider, make: impl FnOnce(Text) -> Endpoint) -> Self {
        let name = provider.name().clone();
        let inbox = FaultyInbox::new();
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let webhooks = Webhooks::builder()
            .with_clock(clock.clone())
            .start(inbox.clone(), [make(name.clone())])
            .await
            .unwrap();
        Self {
            app: form.mount(&webhooks, &name),
            inbox,
            webhooks,
            clock,
            provider,
        }
    }

    /// A signed request with this body.
    fn signed(&self, body: &str) -> Request<Body> {
        self.signed_with(SECRET, body)
    }

    fn signed_with(&self, secret: &str, body: &str) -> Request<Body> {
        let secret = if self.provider.name().starts_with("discord") {
            PRIVATE_KEY
        } else {
            secret
        };
        let nonce = HeaderName::from_static("x-lark-request-nonce");
        Sender::new(self.provider.clone(), secret)
            .unwrap()
            .to(&format!("/{}", self.provider.name()))
            .at(&self.clock)
            .header(nonce, HeaderValue::from_static("1"))
            .request(body.to_owned())
            .unwrap()
    }

    /// A request without a body, with this query.
    fn query(&self, method: Method, query: &str) -> Request<Body> {
        let uri = format!("/{}?{query}", self.provider.name());
        let request = Request::builder().method(method).uri(uri);
        request.body(Body::empty()).unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> Answered {
        ask(self.app.clone(), request).await
    }

    async fn stored(&self) -> usize {
        self.inbox.all().await.len()
    }
}

/// Without what proves it.
fn unsigned(mut request: Request<Body>) -> Request<Body> {
    let headers = request.headers_mut();
    headers.clear();
    request
}

const ZOOM: &str =
    r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
const SLACK: &str = r#"{"token":"x","type":"url_verification","challenge":"3eZbrw1a"}"#;
const META: &str =
    "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=the-token-chosen-in-the-console";
const LARK: &str =
    r#"{"challenge":"ajls","token":"the-token-chosen-in-the-console","type":"url_verification"}"#;

type Ask = fn(&Receiver) -> Request<Body>;

#[tokio::test]
async fn each_handshake_is_answered_as_its_provider_wants_and_stores_nothing() {
    // printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac handshakes-and-the-tests-share-this
    let zoom = r#"{"encryptedToken":"213271ce0f3a64ce835c34f89d7a40aea91e26a9308036224c8ba205497f5d3f","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}"#;
    let (json, text) = (Some("application/json"), Some("text/plain; charset=utf-8"));
    let table: [(&str, Ask, u16, &str, Option<&str>); 8] = [
        (
            "slack",
            |slack| slack.signed(SLACK),
            200,
            r#"{"challenge":"3eZbrw1a"}"#,
            json,
        ),
        ("zoom", |zoom| zoom.signed(ZOOM), 200, zoom, json),
        (
            "discord",
            |discord| discord.signed(r#"{"version":1,"application_id":"1","type":0}"#),
            204,
            "",
            json,
        ),
        (
            "discord-interactions",
            |discord| discord.signed(r#"{"type":1,"id":"1"}"#),
            200,
            r#"{"type":1}"#,
            json,
        ),
        (
            "meta",
            |meta| meta.query(Method::GET, META),
            200,
            "1158201444",
            text,
        ),
        (
            "microsoft-graph",
            |graph| graph.query(Method::POST, "validationToken=Validation%3A+Testing+id-7"),
            200,
            "Validation: Testing id-7",
            text,
        ),
        (
            "lark",
            |lark| unsigned(lark.signed(LARK)),
            200,
            r#"{"challenge":"ajls"}"#,
            json,
        ),
        (
            "lark",
            |lark| lark.signed(LARK),
            200,
            r#"{"challenge":"ajls"}"#,
            json,
        ),
    ];
    for form in Form::BOTH {
        for (name, request, status, body, content_type) in table {
            let figures = Figures::new();
            let _counting = figures.set();
            let receiver = Receiver::start(form, name).await;
            let answer = receiver.ask(request(&receiver)).await;
            assert_eq!(answer.summary(), (status, body, None), "{form:?} {name}");
            let found = answer.headers.get(header::CONTENT_TYPE);
            assert_eq!(
                found.map(|value| value.to_str().unwrap()),
                content_type,
                "{name}"
            );
            assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(receiver.stored().await, 0, "{form:?} {name}");
            assert_eq!(receiver.webhooks.bytes_in_flight(), 0, "{form:?} {name}");
            let counted = format!(r#"webhooks_handshakes_total{{endpoint="{name}"}}"#);
            assert_eq!(figures.of(&counted), 1.0, "{form:?} {name}");

            let sample = receiver.provider.events().list[0].sample.clone().unwrap();
            let answer = receiver.ask(receiver.signed(&sample)).await;
            assert!(answer.status.is_success(), "{form:?} {name}: {answer:?}");
            assert_eq!(
                receiver.stored().await,
                1,
                "an event is stored: {form:?} {name}"
            );
            assert_eq!(figures.of(&counted), 1.0, "{form:?} {name}");
        }
    }
}

/// Each is a request of the table above with one thing changed.
#[tokio::test]
async fn what_is_no_proven_handshake_is_refused_and_stores_nothing() {
    use RejectionKind as K;
    let table: [(&str, &str, Ask, u16, RejectionKind); 18] = [
        (
            "zoom",
            "a token that is a signed message",
            |zoom| zoom.signed(&ZOOM.replace("qgg8", "v0:1790000000:")),
            401,
            K::SignatureMalformed,
        ),
        (
            "zoom",
            "a token that is a body",
            |zoom| zoom.signed(&ZOOM.replace("qgg8", r#"{\"event\":\"meeting.started\"}"#)),
            401,
            K::SignatureMalformed,
        ),
        (
            "zoom",
            "no signature",
            |zoom| unsigned(zoom.signed(ZOOM)),
            401,
            K::SignatureMissing,
        ),
        (
            "zoom",
            "another's signature",
            |zoom| zoom.signed_with("another secret", ZOOM),
            401,
            K::SignatureMismatch,
        ),
        (
            "slack",
            "no signature",
            |slack| unsigned(slack.signed(SLACK)),
            401,
            K::SignatureMissing,
        ),
        (
            "slack",
            "ssl_check in a form, unsigned",
            |slack| unsigned(slack.signed("ssl_check=1&token=x&type=url_verification&challenge=a")),
            401,
            K::SignatureMissing,
        ),
        (
            "slack",
            "ssl_check in the query",
            |slack| {
                slack.query(
                    Method::POST,
                    "ssl_check=1&type=url_verification&challenge=a",
                )
            },
            401,
            K::SignatureMissing,
        ),
        (
            "slack",
            "by GET",
            |slack| slack.query(Method::GET, "ssl_check=1&type=url_verification&challenge=a"),
            405,
            K::MethodNotAllowed,
        ),
        (
            "slack",
            "a challenge that is a page",
            |slack| slack.signed(&SLACK.replace("3eZ", "<script>")),
            401,
            K::SignatureMalformed,
        ),
        (
            "meta",
            "another token",
            |meta| meta.query(Method::GET, &META.replace("the-token", "The-token")),
            401,
            K::SignatureMismatch,
        ),
        (
            "meta",
            "no token",
            |meta| meta.query(Method::GET, META.split_once("&hub.verify").unwrap().0),
            401,
            K::SignatureMismatch,
        ),
        (
            "meta",
            "a challenge that is a page",
            |meta| meta.query(Method::GET, &META.replace("1158201444", "%3Cscript%3E")),
            401,
            K::SignatureMalformed,
        ),
        (
            "meta",
            "by POST",
            |meta| meta.query(Method::POST, META),
            401,
            K::SignatureMissing,
        ),
        (
            "meta",
            "another mode",
            |meta| meta.query(Method::GET, &META.replace("subscribe", "unsubscribe")),
            405,
            K::MethodNotAllowed,
        ),
        (
            "microsoft-graph",
            "a new line",
            |graph| graph.query(Method::POST, "validationToken=a%0d%0aSet-Cookie:x"),
            401,
            K::SignatureMalformed,
        ),
        (
            "lark",
            "another token",
            |lark| unsigned(lark.signed(&LARK.replace("the-token", "The-token"))),
            401,
            K::SignatureMismatch,
        ),
        (
            "lark",
            "in clear",
            |lark| unsigned(lark.signed(LARK)).map(|_| Body::from(LARK)),
            401,
            K::SignatureMissing,
        ),
        (
            "github",
            "a provider without one",
            |github| github.query(Method::GET, META),
            405,
            K::MethodNotAllowed,
        ),
    ];
    for form in Form::BOTH {
        for (name, what, request, status, kind) in table {
            let receiver = Receiver::start(form, name).await;
            let refused = receiver.provider.answers().refuse.body.clone();
            let body = if status == 401 { &*refused } else { "" };
            let answer = receiver.ask(request(&receiver)).await;
            let expected = (status, body, Some(kind));
            assert_eq!(answer.summary(), expected, "{form:?} {name}: {what}");
            assert_eq!(receiver.stored().await, 0, "{form:?} {name}: {what}");
            if status == 405 {
                let allowed = if name == "meta" { "GET, POST" } else { "POST" };
                assert_eq!(answer.headers[header::ALLOW], allowed, "{form:?} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_signed_form_with_ssl_check_is_a_delivery_like_any_other() {
    for form in Form::BOTH {
        let slack = Receiver::start(form, "slack").await;
        let answer = slack.ask(slack.signed("ssl_check=1&token=x")).await;
        let expected = slack.provider.answers().acknowledge.body.clone();
        assert_eq!(answer.summary(), (200, &*expected, None), "{form:?}");
        assert_eq!(slack.stored().await, 1, "{form:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_read_no_further_than_its_handshake_needs() {
    for form in Form::BOTH {
        let graph = Receiver::start(form, "microsoft-graph").await;
        let (request, taken) = endless(graph.query(Method::POST, "validationToken=a"));
        assert_eq!(graph.ask(request).await.summary(), (200, "a", None));
        assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}");

        let lark = Receiver::start(form, "lark").await;
        let (request, taken) = endless(unsigned(lark.signed(LARK)));
        let answer = lark.ask(request).await;
        assert_eq!(answer.kind, Some(RejectionKind::SignatureMissing));
        assert_eq!(answer.status, 401);
        assert_eq!(
            taken.load(Ordering::Relaxed),
            17,
            "16 KiB and one: {form:?}"
        );

        let mut declared = unsigned(lark.signed(LARK));
        let length = HeaderValue::from_static("16385");
        declared
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        let (request, taken) = endless(declared);
        let answer = lark.ask(request).await;
        assert_eq!(answer.kind, Some(RejectionKind::SignatureMissing));
        assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}");
    }
}

#[tokio::test]
async fn a_token_that_has_expired_proves_nothing() {
    for form in Form::BOTH {
        let provider = providers::meta();
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_060);
        let old = Secret::new(TOKEN).unwrap().with_expiry(expires_at);
        let tokens = Secrets::new("another token")
            .unwrap()
            .add_secret(old)
            .unwrap();
        let meta = Receiver::of(form, provider.clone(), |name| {
            Endpoint::new(name, provider, Secrets::new(SECRET).unwrap())
                .with_handshake_secrets(tokens)
        })
        .await;
        let before = meta.ask(meta.query(Method::GET, META)).await;
        assert_eq!(before.status, 200, "{form:?}");
        meta.clock.advance(Duration::from_secs(60));
        let after = meta.ask(meta.query(Method::GET, META)).await;
        assert_eq!(
            after.kind,
            Some(RejectionKind::SignatureMismatch),
            "{form:?}"
        );
    }
}

/// Tenants call with their name in a header.
struct Tenants;

impl SecretSource for Tenants {
    fn key(&self, parts: &http::request::Parts) -> Option<Text> {
        parts.headers.get("x-tenant")?.to_str().ok().map(Text::from)
    }

    async fn look_up(
        &self,
        key: Text,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match key.as_str() {
            "books" | "tea" => {
                let secrets = Secrets::new(format!("the-secret-of-{key}"))?;
                Some(Tenant::new(key, secrets))
            }
            _ => None,
        })
    }
}

fn of_tenant(name: &'static str, mut request: Request<Body>) -> Request<Body> {
    let value = HeaderValue::from_static(name);
    request.headers_mut().insert("x-tenant", value);
    request
}

#[tokio::test]
async fn a_tenants_handshake_is_answered_with_its_own_secret() {
    for form in Form::BOTH {
        let provider = providers::zoom();
        let zoom = Receiver::of(form, provider.clone(), |name| {
            Endpoint::multi_tenant(name, provider, Tenants)
        })
        .await;
        // printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac the-secret-of-tea
        let digest = "00456265d4a41f055428729252b9842427aded21e8f900cbe58087c258b50ccb";
        let request = zoom.signed_with("the-secret-of-tea", ZOOM);
        let answer = zoom.ask(of_tenant("tea", request)).await;
        let expected =
            format!(r#"{{"encryptedToken":"{digest}","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#);
        assert_eq!(answer.summary(), (200, &*expected, None), "{form:?}");

        for (tenant, kind) in [
            ("books", RejectionKind::SignatureMismatch),
            ("nobody", RejectionKind::TenantUnknown),
        ] {
            let request = zoom.signed_with("the-secret-of-tea", ZOOM);
            let answer = zoom.ask(of_tenant(tenant, request)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.kind),
                (401, Some(kind)),
                "{form:?}"
            );
        }
        assert_eq!(zoom.stored().await, 0, "{form:?}");
    }
}

#[tokio::test]
async fn a_tenants_query_is_answered_once_the_tenant_is_known() {
    for form in Form::BOTH {
        let provider = providers::meta();
        let meta = Receiver::of(form, provider.clone(), |name| {
            Endpoint::multi_tenant(name, provider, Tenants)
                .with_handshake_secrets(Secrets::new(TOKEN).unwrap())
        })
        .await;
        let known = of_tenant("tea", meta.query(Method::GET, META));
        assert_eq!(meta.ask(known).await.summary(), (200, "1158201444", None));
        let unknown = of_tenant("nobody", meta.query(Method::GET, META));
        let answer = meta.ask(unknown).await;
        assert_eq!(answer.kind, Some(RejectionKind::TenantUnknown), "{form:?}");
    }
}

#[tokio::test]
async fn a_layer_that_only_verifies_answers_them_too_and_the_inner_service_sees_none() {
    let layer = Endpoint::new("zoom", providers::zoom(), Secrets::new(SECRET).unwrap());
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    let layer = layer.with_clock(clock.clone()).verify_only().unwrap();
    let inner = any(|| async { "the inner service" });
    let app: Router = Router::new().route("/zoom", inner.layer(layer));
    let sender = Sender::new(providers::zoom(), SECRET).unwrap();
    let sender = sender.to("/zoom").at(&clock);
    let answer = ask(app.clone(), sender.request(ZOOM).unwrap()).await;
    assert!(answer.summary().1.contains("encryptedToken"), "{answer:?}");
    let event = sender.request(r#"{"event":"meeting.started"}"#).unwrap();
    assert_eq!(
        ask(app, event).await.summary(),
        (200, "the inner service", None)
    );
}

#[tokio::test]
async fn a_provider_whose_handshake_has_a_token_does_not_start_without() {
    for provider in [providers::meta(), providers::lark()] {
        let secrets = || Secrets::new(SECRET).unwrap();
        let fixed = Endpoint::new("shop", provider.clone(), secrets());
        let looked_up = Endpoint::multi_tenant("shop", provider.clone(), Tenants);
        for endpoint in [fixed, looked_up] {
            let error = Webhooks::start(MemoryInbox::new(), [endpoint]).await;
            let error = error.unwrap_err();
            let StartError::Endpoint { error: setup, .. } = &error else {
                panic!("{error}");
            };
            assert!(matches!(setup, SetupError::HandshakeSecretsMissing));
            let text = error.to_string();
            assert!(text.contains("`with_handshake_secrets`"), "{text}");
        }
        let verify = WebhookLayer::verify(provider.clone(), secrets());
        assert!(matches!(verify, Err(SetupError::HandshakeSecretsMissing)));
        let complete = Endpoint::new("shop", provider, secrets())
            .with_handshake_secrets(Secrets::new(TOKEN).unwrap());
        assert!(complete.verify_only().is_ok());
    }
}

/// Twitter's check, asked for by GET: whoever asks would get the signature of
/// any body that is sent as the token.
#[tokio::test]
async fn a_provider_that_would_sign_for_a_stranger_does_not_start() {
    let answer = HandshakeAnswer::SignedJson {
        pointer: "/crc_token".to_owned(),
        plain: "crc_token".to_owned(),
        digest: "response_token".to_owned(),
    };
    let start = async |handshake: Handshake| {
        let provider = acme().with_handshakes([handshake.with_answer(answer.clone())]);
        let endpoint = Endpoint::new("acme", provider, Secrets::new(SECRET).unwrap());
        Webhooks::start(MemoryInbox::new(), [endpoint]).await
    };
    let error = start(Handshake::query("GET", "crc_token"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("for a stranger"), "{error}");
    let signed = start(Handshake::signed_body("/type", "crc")).await;
    assert!(signed.is_ok());
}
