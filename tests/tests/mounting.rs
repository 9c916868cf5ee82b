//! Wherever a tower layer or service goes, ours goes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::Path,
    routing::{any_service, get, post, post_service},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer};
use tower_webhooks::{
    Attempt, Delivery, DrainReport, Endpoint, EndpointService, Event, EventRouter, HandlerError,
    Job, ManualClock, MemoryInbox, Outcome, Provider, Rejection, RejectionKind, Reply, Retry,
    Secret, Secrets, Signer, StartError, Tenant, Verifier, WebhookLayer, WebhookService, Webhooks,
    WebhooksBuilder, Worker, ack,
    layer::{EndpointFuture, ResponseFuture},
    testing::{Runs, Sender},
};
use tower_webhooks_inbox::Committer;
use tower_webhooks_tests::{Acme, Form, NO, SECRET, Wire, YES, acme, ask, head_of};

const STRANGER: (u16, &str, Option<RejectionKind>) =
    (401, NO, Some(RejectionKind::SignatureMissing));

fn unsigned(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

fn verify() -> WebhookLayer {
    WebhookLayer::verify(acme(), Secrets::new(SECRET).unwrap()).unwrap()
}

fn signed(path: &str) -> Request<Body> {
    let sender = Sender::new(acme(), SECRET).unwrap().to(path);
    sender
        .request(r#"{"type":"order.paid","id":"evt_1","data":{"n":1}}"#)
        .unwrap()
}

#[tokio::test]
async fn on_a_whole_router_it_guards_every_path_and_the_fallback() {
    let app: Router = Router::new()
        .route("/acme", post(ack))
        .route("/healthz", get(|| async { "fine" }))
        .layer(verify());
    assert_eq!(
        ask(app.clone(), signed("/acme")).await.summary(),
        (200, YES, None)
    );
    for path in ["/acme", "/healthz", "/nowhere"] {
        assert_eq!(
            ask(app.clone(), unsigned(path)).await.summary(),
            STRANGER,
            "{path}"
        );
    }
    let probe = Request::get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(
        ask(app, probe).await.kind,
        Some(RejectionKind::MethodNotAllowed)
    );
}

#[tokio::test]
async fn as_a_route_layer_it_guards_the_routes_and_not_the_fallback() {
    let app: Router = Router::new()
        .route("/acme", post(ack))
        .route_layer(verify())
        .route("/healthz", get(|| async { "fine" }));
    assert_eq!(
        ask(app.clone(), signed("/acme")).await.summary(),
        (200, YES, None)
    );
    assert_eq!(
        ask(app.clone(), unsigned("/acme")).await.summary(),
        STRANGER
    );
    assert_eq!(
        ask(app.clone(), unsigned("/nowhere")).await.summary(),
        (404, "", None)
    );
    let probe = Request::get("/healthz").body(Body::empty()).unwrap();
    assert_eq!(ask(app, probe).await.summary(), (200, "fine", None));
}

#[tokio::test]
async fn on_one_method_it_leaves_the_other_routes_alone() {
    for route in [post(ack).layer(verify()), post(ack).route_layer(verify())] {
        let app: Router = Router::new()
            .route("/acme", route)
            .route("/open", post(|| async { "open" }));
        assert_eq!(
            ask(app.clone(), signed("/acme")).await.summary(),
            (200, YES, None)
        );
        assert_eq!(
            ask(app.clone(), unsigned("/acme")).await.summary(),
            STRANGER
        );
        assert_eq!(
            ask(app.clone(), unsigned("/open")).await.summary(),
            (200, "open", None)
        );
        let get = Request::get("/acme").body(Body::empty()).unwrap();
        let answer = ask(app, get).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers[header::ALLOW], "POST");
    }
}

#[tokio::test]
async fn a_nested_router_with_a_path_parameter_is_guarded_too() {
    let shop = |Path(shop): Path<String>, Extension(delivery): Extension<Delivery>| async move {
        format!("{shop}: {}", delivery.event().unwrap().event_type())
    };
    let hooks: Router = Router::new().route("/{shop}", post(shop).layer(verify()));
    let app = Router::new().nest("/hooks", hooks);
    let answer = ask(app.clone(), signed("/hooks/ann")).await;
    assert_eq!(answer.summary(), (200, "ann: order.paid", None));
    assert_eq!(ask(app, unsigned("/hooks/ann")).await.summary(), STRANGER);
}

#[tokio::test]
async fn a_service_can_be_a_route_a_nest_or_the_fallback() {
    let acme = Acme::start(Form::Terminal).await;
    let service = || acme.webhooks.endpoint("acme").unwrap();
    for app in [
        Router::new().route_service("/acme", service()),
        Router::new().route("/acme", post_service(service())),
        Router::new().nest_service("/acme", service()),
        Router::new().fallback_service(service()),
        Router::new().route("/acme", any_service(service())),
    ] {
        let answer = ask(app.clone(), acme.request("order.paid", "evt_1")).await;
        assert_eq!(answer.summary(), (200, YES, None));
        assert_eq!(ask(app, unsigned("/acme")).await.summary(), STRANGER);
    }
}

#[tokio::test]
async fn it_stacks_with_tower_http_on_either_side() {
    let acme = Acme::start(Form::Layer).await;
    let limits = || {
        (
            TraceLayer::new_for_http(),
            TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(5)),
            RequestBodyLimitLayer::new(1024 * 1024),
        )
    };
    let answer = service_fn(|request: Request<Body>| async move {
        assert!(request.extensions().get::<Delivery>().is_some());
        Ok::<_, Infallible>(Response::new(Body::from("mine")))
    });
    let outside = ServiceBuilder::new()
        .layer(limits())
        .layer(acme.webhooks.layer("acme").unwrap())
        .service(answer);
    let inside = ServiceBuilder::new()
        .layer(acme.webhooks.layer("acme").unwrap())
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(TraceLayer::new_for_http())
        .service(answer);
    let good = acme.request("order.paid", "evt_1");
    let (parts, _) = outside.oneshot(good).await.unwrap().into_parts();
    assert_eq!(parts.status, 200);
    let answer = ask(inside.clone(), acme.request("order.paid", "evt_1")).await;
    assert_eq!(answer.summary(), (200, "mine", None));
    assert_eq!(ask(inside, unsigned("/acme")).await.summary(), STRANGER);

    // The same in axum, where the whole stack is one layer.
    let stack = ServiceBuilder::new()
        .layer(limits())
        .layer(acme.webhooks.layer("acme").unwrap());
    let app: Router = Router::new().route("/acme", post(ack).layer(stack));
    let answer = ask(app.clone(), acme.request("order.paid", "evt_1")).await;
    assert_eq!(answer.summary(), (200, YES, None));
    assert_eq!(ask(app, unsigned("/acme")).await.summary(), STRANGER);
}

#[tokio::test]
async fn plain_hyper_serves_both_forms() {
    let acme = Acme::start(Form::Terminal).await;
    let endpoint = acme.webhooks.endpoint("acme").unwrap();
    let own = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"mine"))))
    });
    let layer = acme
        .webhooks
        .layer("acme")
        .unwrap()
        .with_inner_body::<Full<Bytes>>();
    let layered = ServiceBuilder::new().layer(layer).service(own);
    assert_eq!(
        over_hyper(&acme, endpoint).await,
        (YES.to_owned(), NO.to_owned())
    );
    assert_eq!(
        over_hyper(&acme, layered).await,
        ("mine".to_owned(), NO.to_owned())
    );
}

/// The bodies that a good and an unsigned request get.
async fn over_hyper<S, B>(acme: &Acme, service: S) -> (String, String)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(service))
            .await
    });
    let mut wire = Wire::connect(address).await;
    let mut bodies = Vec::new();
    for request in [acme.request("order.paid", "evt_1"), unsigned("/acme")] {
        let (head, body) = head_of(request).await;
        wire.send(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())
            .await;
        wire.send(&body).await;
        let answer = wire.answer().await;
        bodies.push(answer.split_once("\r\n\r\n").unwrap().1.to_owned());
    }
    serving.abort();
    let [good, refused] = <[String; 2]>::try_from(bodies).unwrap();
    (good, refused)
}

#[derive(Debug, PartialEq)]
struct Broken;

#[tokio::test]
async fn an_error_of_the_inner_service_passes_untouched_and_stores_nothing() {
    let acme = Acme::start(Form::Layer).await;
    let broken = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(Broken) });
    let service = ServiceBuilder::new()
        .layer(acme.webhooks.layer("acme").unwrap())
        .service(broken);
    let good = acme.request("order.paid", "evt_1");
    assert_eq!(service.clone().oneshot(good).await.unwrap_err(), Broken);
    assert!(acme.inbox.all().await.is_empty());
    // What we refuse is an answer, never an error.
    assert_eq!(ask(service, unsigned("/acme")).await.summary(), STRANGER);
}

/// Answers only after it was ready, as tower allows; a clone is not.
#[derive(Debug)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been ready"
        );
        ready(Ok(Response::new(Body::from("ready"))))
    }
}

#[tokio::test]
async fn the_inner_service_is_called_only_after_it_was_ready() {
    let acme = Acme::start(Form::Layer).await;
    let mut service = ServiceBuilder::new()
        .layer(acme.webhooks.layer("acme").unwrap())
        .service(Strict { ready: false });
    for number in 0..3 {
        let request = acme.request("order.paid", &format!("evt_{number}"));
        let ready = tower::ServiceExt::<Request<Body>>::ready(&mut service)
            .await
            .unwrap();
        let response = ready.call(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let clone = service.clone();
        let request = acme.request("order.paid", &format!("evt_{number}"));
        assert_eq!(ask(clone, request).await.summary(), (200, "ready", None));
    }
}

#[derive(Deserialize)]
struct Paid {
    n: u64,
}

#[derive(Deserialize)]
struct Elsewhere {
    #[allow(dead_code, reason = "never there")]
    account: String,
}

#[tokio::test]
async fn inner_handlers_take_the_event_and_the_delivery() {
    let acme = Acme::start(Form::Layer).await;
    let paid = |Extension(delivery): Extension<Delivery>, event: Event<Paid>, body: String| async move {
        assert_eq!(delivery.body(), &body);
        format!("{} {} {}", event.event_type(), event.id(), event.data.n)
    };
    let elsewhere = |_: Event<Elsewhere>| async { "it fits" };
    let layer = || acme.webhooks.layer("acme").unwrap();
    let app: Router = Router::new()
        .route("/acme", post(paid).layer(layer()))
        .route("/elsewhere", post(elsewhere).layer(layer()))
        .route("/open", post(elsewhere));
    let answer = ask(app.clone(), acme.request("order.paid", "evt_1")).await;
    assert_eq!(answer.summary(), (200, "order.paid evt_1 1", None));

    let mut misfit = acme.request("order.paid", "evt_2");
    *misfit.uri_mut() = "/elsewhere".parse().unwrap();
    let answer = ask(app.clone(), misfit).await;
    assert_eq!(answer.summary(), (422, "the payload does not fit", None));
    // The answer was no 2xx: a veto.
    assert_eq!(acme.inbox.all().await.len(), 1);

    let answer = ask(app, unsigned("/open")).await;
    assert_eq!(answer.status, 500);
    assert!(String::from_utf8_lossy(&answer.body).contains(".layer("));
}

#[test]
fn public_types_cross_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    fn shown<T: fmt::Debug>() {}
    macro_rules! all {
        ($check:ident: $($kind:ty),* $(,)?) => { $($check::<$kind>();)* };
    }
    all!(shared:
        Attempt, Committer, Delivery, DrainReport, EndpointService, Event<Paid>, EventRouter,
        EventRouter<String>, HandlerError, Job, ManualClock, MemoryInbox, Outcome, Provider,
        Rejection, Reply, Retry, Runs, Secret, Secrets, Sender, Signer, StartError, Tenant,
        Verifier, WebhookLayer, WebhookService<Router>, Webhooks,
    );
    all!(sent:
        Endpoint, EndpointFuture<Body>, ResponseFuture<Router, Body, Body>, WebhooksBuilder, Worker,
    );
    all!(shown:
        Attempt, Committer, Delivery, DrainReport, Endpoint, EndpointFuture<Body>,
        EndpointService, EventRouter, HandlerError, Job, ManualClock, MemoryInbox, Outcome,
        Provider, Rejection, Reply, ResponseFuture<Router, Body, Body>, Retry, Runs, Secret,
        Secrets, Sender, Signer, StartError, Tenant, Verifier, WebhookLayer,
        WebhookService<Router>, Webhooks, WebhooksBuilder, Worker,
    );
}
