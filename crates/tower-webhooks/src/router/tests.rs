//! Registration, matching and naming.

use axum::{
    Extension, Json,
    extract::{FromRef, State},
};
use http::StatusCode;
use serde_json::json;
use tower_webhooks_core::{Delivery, Text};
use tower_webhooks_inbox::Reply;

use super::{
    SetupProblem,
    handler::Handler,
    reply::{Decide, IntoReply},
};
use crate::{Attempt, Event, EventRouter, HandlerError, Job, Outcome, fixtures, testing::TestJob};

async fn nothing() {}

fn problems(router: EventRouter) -> Vec<SetupProblem> {
    router.build().unwrap_err().iter().cloned().collect()
}

#[test]
fn mistakes_are_remembered_and_reported_together() {
    let router = EventRouter::new()
        .on("", nothing)
        .on("a*", nothing)
        .on("a.b", nothing)
        .on("a.b", nothing)
        .on("c", nothing.named("a.b"))
        .on("d", nothing.named(""));
    let found = problems(router);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(matches!(found[0], SetupProblem::Pattern(_)));
    assert_eq!(
        found[1].to_string(),
        "event pattern `a*`: `*` stands alone, or at the end after a dot, as in `balance.*`"
    );
    assert_eq!(
        found[2].to_string(),
        "two handlers are named `a.b`, registered for `a.b` and `a.b`: give one of them another name with `.named(\"…\")`"
    );
    assert_eq!(
        found[3],
        SetupProblem::DuplicateName {
            name: Text::from("a.b"),
            first: Text::from("a.b"),
            second: Text::from("c"),
        }
    );
    assert_eq!(
        found[4],
        SetupProblem::EmptyName {
            pattern: Text::from("d")
        }
    );
}

#[test]
fn two_fallbacks_need_two_names() {
    let one = || EventRouter::new().fallback(nothing);
    assert!(matches!(
        problems(one().merge(one()))[..],
        [SetupProblem::DuplicateName { .. }]
    ));
    let named = EventRouter::new().fallback(nothing.named("audit"));
    let routes = one().merge(named).build().unwrap();
    let names: Vec<_> = routes
        .handlers()
        .iter()
        .map(|it| it.info.name.as_str())
        .collect();
    assert_eq!(names, ["fallback", "audit"]);
    assert!(routes.handlers().iter().all(|it| it.info.fallback));
}

#[test]
fn what_is_handled_is_listed_once_and_in_order() {
    let reply = || nothing_decided.or_default(StatusReply(200));
    let router: EventRouter = EventRouter::new()
        .on("b", nothing)
        .on("a.*", nothing)
        .on("b", nothing.named("again"))
        .fallback(nothing)
        .reply("c", reply())
        .reply("a.*", reply());
    assert_eq!(router.event_types(), ["b", "a.*", "c"]);
}

struct StatusReply(u16);

impl IntoReply for StatusReply {
    fn into_reply(self) -> Result<Reply, HandlerError> {
        Ok(Reply {
            status: self.0,
            content_type: None,
            body: bytes::Bytes::new(),
        })
    }
}

async fn nothing_decided() -> StatusReply {
    StatusReply(204)
}

#[test]
fn the_most_specific_reply_handler_decides() {
    let reply = |status| nothing_decided.or_default(StatusReply(status));
    let router = EventRouter::new()
        .reply("*", reply(201))
        .reply("cards.*", reply(202))
        .reply("cards.authorization.*", reply(203))
        .reply("cards.authorization.pending", reply(204));
    let routes = router.build().unwrap();
    assert!(routes.first_reply().is_some());
    for (event_type, status) in [
        ("cards.authorization.pending", 204),
        ("cards.authorization.final", 203),
        ("cards.clearing", 202),
        ("accounts", 201),
    ] {
        let found = routes.reply_for(event_type).unwrap();
        assert_eq!(found.info.default.status, status, "{event_type}");
    }
}

#[test]
fn one_pattern_has_one_reply_handler_and_a_default_that_can_be_written() {
    let reply = || nothing_decided.or_default(StatusReply(200));
    let twice = EventRouter::new().reply("a", reply()).reply("a", reply());
    assert_eq!(
        problems(twice),
        [SetupProblem::DuplicateReply {
            pattern: Text::from("a")
        }]
    );

    let keys_are_no_text = std::collections::HashMap::from([(vec![1], 1)]);
    let unwritable =
        EventRouter::new().reply("a", nothing_decided.or_default(Json(keys_are_no_text)));
    assert_eq!(
        problems(unwritable),
        [SetupProblem::DefaultReply {
            pattern: Text::from("a"),
            reason: "key must be a string".to_owned(),
        }]
    );
}

#[tokio::test]
async fn a_reply_handler_decides_from_the_event_and_the_state() {
    #[derive(serde::Deserialize)]
    struct Authorization {
        cents: u64,
    }
    #[derive(Clone)]
    struct Limit(u64);
    let decide = async |event: Event<Authorization>, State(limit): State<Limit>| {
        if event.data.cents == 0 {
            return Err(HandlerError::msg("nothing asked"));
        }
        let code = if event.data.cents <= limit.0 {
            "00"
        } else {
            "05"
        };
        Ok((StatusCode::ACCEPTED, Json(json!({ "code": code }))))
    };
    let handler = decide
        .or_default(Json(json!({ "code": "05" })))
        .within(std::time::Duration::from_millis(800));
    let routes = EventRouter::new()
        .reply("a", handler)
        .with_state(Limit(10))
        .build()
        .unwrap();
    let route = routes.reply_for("a").unwrap();
    assert_eq!(
        route.info.budget,
        Some(std::time::Duration::from_millis(800))
    );
    assert_eq!(route.info.default.body, r#"{"code":"05"}"#);

    let ask = |cents| {
        let body = fixtures::body("a", "e", &format!(r#"{{"cents":{cents}}}"#));
        route.decide(fixtures::job(&body).build())
    };
    let reply = ask("10").await.unwrap();
    assert_eq!(
        (reply.status, &reply.body[..]),
        (202, &br#"{"code":"00"}"#[..])
    );
    assert_eq!(reply.content_type.as_deref(), Some("application/json"));
    assert_eq!(ask("11").await.unwrap().body, r#"{"code":"05"}"#);
    assert_eq!(ask("0").await.unwrap_err().to_string(), "nothing asked");
    let error = ask("\"x\"").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the payload does not fit its type at `cents`: expected u64"
    );
}

#[tokio::test]
async fn parts_of_the_state_and_every_extractor_reach_the_handler() {
    #[derive(Clone)]
    struct App {
        name: &'static str,
        number: u8,
    }
    impl FromRef<App> for &'static str {
        fn from_ref(app: &App) -> Self {
            app.name
        }
    }
    impl FromRef<App> for u8 {
        fn from_ref(app: &App) -> Self {
            app.number
        }
    }
    #[expect(clippy::too_many_arguments, reason = "the most that a handler takes")]
    async fn all(
        attempt: Attempt,
        State(name): State<&'static str>,
        event: Event<String>,
        Extension(extra): Extension<u64>,
        State(number): State<u8>,
        delivery: Delivery,
        job: Job,
        State(app): State<App>,
    ) -> Outcome {
        assert_eq!(
            (attempt.number, attempt.max, attempt.is_last()),
            (2, 3, false)
        );
        assert_eq!(
            (name, number, extra, event.data.as_str()),
            ("app", 7, 99, "hello")
        );
        assert_eq!((app.name, app.number), ("app", 7));
        assert_eq!(delivery.tenant(), job.delivery().tenant());
        Outcome::failed(HandlerError::msg("reached"))
    }
    let router = EventRouter::new().on("a", all).with_state(App {
        name: "app",
        number: 7,
    });
    let routes = router.build().unwrap();
    let body = fixtures::body("a", "e", "\"hello\"");
    let job = fixtures::job(&body);
    let run = |job: TestJob| routes.handlers()[0].call(job.build());
    let missing = run(job.clone()).await.0.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the worker has no extension `u64`: give it one with `with_extension`"
    );
    let reached = run(job.with_extension(99_u64)).await.0.unwrap_err();
    assert_eq!(reached.to_string(), "reached");
}
