//! Mistakes in the set-up fail at start, and say what to change.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::collections::HashMap;

use axum::Json;
use http::HeaderName;
use tower_webhooks::{
    Decide, Endpoint, EventRouter, Handler, Job, MemoryInbox, Provider, Secret, SecretErrorKind,
    Secrets, SetupError, StartError, WebhookLayer, Webhooks,
    provider::{EventInfo, Events, HmacScheme, KeyEncoding, Part, Scheme},
    providers,
    router::SetupProblem,
    worker::HandledEndpoint,
};
use tower_webhooks_inbox::InboxErrorKind;
use tower_webhooks_tests::{FaultyInbox, SECRET, acme};

async fn works(_: Job) {}

fn endpoint(events: EventRouter) -> Endpoint {
    Endpoint::new("acme", acme(), Secrets::new(SECRET).unwrap()).events(events)
}

async fn assert_starts(endpoint: Endpoint) {
    let webhooks = Webhooks::start(MemoryInbox::new(), [endpoint])
        .await
        .unwrap();
    assert!(webhooks.is_accepting());
}

async fn mistake(endpoints: impl IntoIterator<Item = Endpoint>) -> StartError {
    Webhooks::start(MemoryInbox::new(), endpoints)
        .await
        .unwrap_err()
}

async fn problem(events: EventRouter) -> (SetupProblem, String) {
    let error = mistake([endpoint(events)]).await;
    let text = error.to_string();
    assert!(text.starts_with("endpoint `acme`: "), "{text}");
    match error {
        StartError::Handlers { problems, .. } => {
            let [problem] = problems.iter().collect::<Vec<_>>()[..] else {
                panic!("one problem and not {problems}");
            };
            (problem.clone(), text)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn two_endpoints_of_one_name_do_not_start() {
    let error = mistake([endpoint(EventRouter::new()), endpoint(EventRouter::new())]).await;
    assert!(matches!(&error, StartError::Name(name) if *name == "acme"));
    assert!(error.to_string().contains("must be unique"), "{error}");
}

#[tokio::test]
async fn two_handlers_of_one_name_do_not_start_and_are_told_how_to_differ() {
    let events = EventRouter::new()
        .on("order.paid", works)
        .on("order.paid", works);
    let (problem, text) = problem(events).await;
    assert!(matches!(problem, SetupProblem::DuplicateName { name, .. } if name == "order.paid"));
    assert!(text.contains(r#".named("…")"#), "{text}");

    let events = EventRouter::new()
        .on("order.paid", works)
        .on("order.lost", works.named("order.paid"));
    assert!(matches!(
        problem_of(events).await,
        SetupProblem::DuplicateName { .. }
    ));
}

async fn problem_of(events: EventRouter) -> SetupProblem {
    problem(events).await.0
}

#[tokio::test]
async fn a_handler_without_a_name_does_not_start() {
    let events = EventRouter::new().on("order.paid", works.named(""));
    let problem = problem_of(events).await;
    assert!(matches!(problem, SetupProblem::EmptyName { pattern } if pattern == "order.paid"));
}

#[tokio::test]
async fn patterns_that_can_match_nothing_do_not_start() {
    for pattern in ["", ".*", "order*", "*.paid", "order.*.paid", "order.**"] {
        let problem = problem_of(EventRouter::new().on(pattern, works)).await;
        assert!(
            matches!(problem, SetupProblem::Pattern(_)),
            "{pattern:?}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_handler_in_order_needs_events_with_a_key() {
    for events in [
        EventRouter::new().on("order.paid", works.named("ship").in_order()),
        EventRouter::new().on("order.paid", works.named("ship").in_order_skipping_dead()),
    ] {
        let keyed = acme().with_ordering_key("/data/customer");
        let secrets = || Secrets::new(SECRET).unwrap();
        assert_starts(Endpoint::new("acme", keyed, secrets()).events(events.clone())).await;
        let alone = HandledEndpoint::new("acme", acme(), events.clone()).unwrap_err();
        let (problem, text) = problem(events.clone()).await;
        assert!(matches!(&problem, SetupProblem::NoOrderingKey { name } if *name == "ship"));
        assert_eq!(alone.iter().collect::<Vec<_>>(), [&problem]);
        assert!(text.contains("Provider::with_ordering_key"), "{text}");

        // A key that anybody could choose is none.
        let unsigned = acme().with_ordering_key(HeaderName::from_static("x-customer"));
        let error = mistake([Endpoint::new("acme", unsigned, secrets()).events(events)]).await;
        assert!(matches!(&error, StartError::Endpoint { .. }), "{error}");
        assert!(
            error.to_string().contains("only a field of the body"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn all_mistakes_of_a_router_are_told_together() {
    let events = EventRouter::new()
        .on("order*", works)
        .on("order.paid", works.named(""))
        .on("order.lost", works)
        .on("order.lost", works);
    match mistake([endpoint(events)]).await {
        StartError::Handlers { problems, .. } => assert_eq!(problems.iter().count(), 3),
        other => panic!("{other}"),
    }
}

async fn approves(_: Job) -> Json<u8> {
    Json(0)
}

#[tokio::test]
async fn a_reply_needs_a_default_that_can_be_written_and_one_handler() {
    let unwritable = HashMap::from([(vec![1u8], 1u8)]); // no text, no key in JSON
    let events = EventRouter::new().reply("card", approves.or_default(Json(unwritable)));
    let (problem, text) = problem(events).await;
    assert!(matches!(problem, SetupProblem::DefaultReply { pattern, .. } if pattern == "card"));
    assert!(text.contains("default reply"), "{text}");

    let events = EventRouter::new()
        .reply("card", approves.or_default(Json(5)))
        .reply("card", approves.or_default(Json(5)));
    let problem = problem_of(events).await;
    assert!(matches!(problem, SetupProblem::DuplicateReply { pattern } if pattern == "card"));
}

#[tokio::test]
async fn a_type_outside_a_complete_list_does_not_start_and_the_nearest_is_named() {
    let types = || ["order.paid", "order.lost"].map(|name| EventInfo::new(name, "{}"));
    let with = |events: Events, pattern: &'static str| {
        Endpoint::new(
            "acme",
            acme().with_events(events),
            Secrets::new(SECRET).unwrap(),
        )
        .events(EventRouter::new().on(pattern, works))
    };
    for (pattern, nearest) in [
        ("orders.paid", Some("order.paid")),
        ("Order.paid", Some("order.paid")),
        ("xyz", None),
        ("refund.*", None),
    ] {
        let error = mistake([with(Events::complete(types()), pattern)]).await;
        let text = error.to_string();
        match error {
            StartError::EventType {
                pattern: named,
                nearest: near,
                ..
            } => assert_eq!((named.as_str(), near.as_deref()), (pattern, nearest)),
            other => panic!("{pattern}: {other}"),
        }
        let hint = nearest.map(|nearest| format!("did you mean `{nearest}`?"));
        assert_eq!(text.contains("did you mean"), hint.is_some(), "{text}");
        assert!(text.contains(&hint.unwrap_or_default()), "{text}");
        // Where the list is open, it is only suspicious.
        let open = with(Events::open(types()), pattern);
        assert_starts(open).await;
    }
    for pattern in ["order.paid", "order.*", "*"] {
        let listed = with(Events::complete(types()), pattern);
        assert_starts(listed).await;
    }
}

#[test]
fn secrets_that_are_none_are_refused_when_they_are_made() {
    for text in ["", " ", "\t\r\n"] {
        assert_eq!(
            Secrets::new(text).unwrap_err().kind(),
            SecretErrorKind::Empty,
            "{text:?}"
        );
        assert_eq!(
            Secret::new(text).unwrap_err().kind(),
            SecretErrorKind::Empty,
            "{text:?}"
        );
        let previous = Secrets::new(SECRET).unwrap().with_previous(text);
        assert_eq!(
            previous.unwrap_err().kind(),
            SecretErrorKind::Empty,
            "{text:?}"
        );
    }
    let mut secrets = Secrets::new(SECRET).unwrap();
    for number in 0..3 {
        secrets = secrets.with_previous(format!("secret-{number}")).unwrap();
    }
    let fifth = secrets.with_previous("one-too-many").unwrap_err();
    assert_eq!(fifth.kind(), SecretErrorKind::TooMany);
    assert!(!fifth.to_string().contains("one-too-many"));
}

#[tokio::test]
async fn secrets_that_do_not_fit_the_scheme_do_not_start() {
    let scheme = || HmacScheme::new(HeaderName::from_static("x-acme-signature"));
    let hex = scheme().with_key_encoding(KeyEncoding::Hex);
    let short = scheme().with_key_bytes(24, Some(32));
    for (scheme, secret, kind) in [
        (hex, "not-hexadecimal", SecretErrorKind::Malformed),
        (short.clone(), "tiny-key", SecretErrorKind::TooShort),
        (
            short,
            "a-secret-of-more-than-32-bytes-in-all",
            SecretErrorKind::TooLong,
        ),
    ] {
        let provider = acme().with_scheme(Scheme::Hmac(scheme));
        let secrets = || Secrets::new(secret).unwrap();
        let error = mistake([Endpoint::new("acme", provider.clone(), secrets())]).await;
        assert!(!error.to_string().contains(secret), "{error}");
        match error {
            StartError::Endpoint {
                endpoint,
                error: SetupError::Secret(error),
                ..
            } => assert_eq!((endpoint.as_str(), error.kind()), ("acme", kind)),
            other => panic!("{secret}: {other}"),
        }
        let error = WebhookLayer::verify(provider, secrets()).unwrap_err();
        assert!(matches!(error, SetupError::Secret(error) if error.kind() == kind));
    }
}

#[tokio::test]
async fn a_provider_that_signs_its_url_needs_the_public_one() {
    let signed = HmacScheme::new(HeaderName::from_static("x-acme-signature"))
        .with_signed([Part::Url, Part::Body]);
    let provider: Provider = acme().with_scheme(Scheme::Hmac(signed));
    let without = || Endpoint::new("acme", provider.clone(), Secrets::new(SECRET).unwrap());
    let error = mistake([without()]).await;
    assert!(
        matches!(
            &error,
            StartError::Endpoint {
                error: SetupError::PublicUrlMissing,
                ..
            }
        ),
        "{error}"
    );
    let with = without().with_public_url("https://shop.example/acme");
    assert_starts(with).await;
}

#[tokio::test]
async fn an_inbox_that_is_away_at_start_is_told() {
    let inbox = FaultyInbox::new();
    inbox.fail(Some(InboxErrorKind::Unavailable));
    let error = Webhooks::start(inbox, [endpoint(EventRouter::new())])
        .await
        .unwrap_err();
    assert!(matches!(&error, StartError::Inbox(_)), "{error}");
    assert_eq!(error.to_string(), "the inbox cannot be used");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the inbox is unavailable");
}

#[tokio::test]
async fn an_endpoint_that_there_is_not_cannot_be_mounted() {
    let endpoint = Endpoint::new("m2m", providers::m2m(), Secrets::new(SECRET).unwrap());
    let webhooks = Webhooks::start(MemoryInbox::new(), [endpoint])
        .await
        .unwrap();
    assert!(webhooks.layer("m2m").is_ok());
    assert!(webhooks.endpoint("m2m").is_ok());
    let error = webhooks.layer("M2M").unwrap_err();
    assert_eq!(error.to_string(), "no endpoint is named `M2M`");
    assert_eq!(webhooks.endpoint("M2M").unwrap_err(), error);
    assert_eq!(webhooks.event_types("M2M").unwrap_err(), error);
}
