//! Devdraft's management API: every documented rule, each provoked by one
//! change of a call that passes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use support::{Receiver, call, event};
use tower_webhooks_core::{ManualClock, providers};
use tower_webhooks_sandbox::{Application, Limit, Sandbox, State, Trigger};

const HOOKS: &str = "/devdraft/api/v0/webhooks";
const OWN: [(&str, &str); 2] = [
    ("x-client-key", "ck_test_sandbox"),
    ("x-client-secret", "cs_test_sandbox"),
];

fn sandbox() -> Sandbox {
    Sandbox::builder().start().unwrap()
}

fn valid() -> Value {
    json!({
        "name": "Orders",
        "url": "http://127.0.0.1:9/webhooks/devdraft",
        "isActive": true,
        "signing_secret": "abcdefghijklmnopqrstuvwxyz_-0123",
        "encrypted": false,
    })
}

async fn create(sandbox: &Sandbox, body: &Value) -> (StatusCode, HeaderMap, Value) {
    call(sandbox, "POST", HOOKS, &OWN, &body.to_string()).await
}

#[tokio::test]
async fn a_webhook_has_its_documented_form() {
    let sandbox = sandbox();
    let (status, _, made) = create(&sandbox, &valid()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(made["id"].as_str().unwrap().starts_with("wh_"));
    let stats = json!({
        "total_events": 0, "successful_deliveries": 0, "failed_deliveries": 0,
        "last_delivery": null,
    });
    assert_eq!(made["delivery_stats"], stats);
    for (member, value) in valid().as_object().unwrap() {
        match member.as_str() {
            "signing_secret" => assert_eq!(made.get(member), None, "not shown at once"),
            _ => assert_eq!(made[member], *value),
        }
    }
    let mut members: Vec<_> = made.as_object().unwrap().keys().collect();
    members.sort();
    let documented = [
        "created_at",
        "delivery_stats",
        "encrypted",
        "id",
        "isActive",
        "name",
        "updated_at",
        "url",
    ];
    assert_eq!(members, documented);
}

/// What each member must not be, and the words for it: the documented rules, for creating
/// and changing alike.
fn unfit() -> Vec<(&'static str, Value, &'static str)> {
    let length = "name must have 3 to 100 characters";
    let secret = "signing_secret must have 32 or more letters, digits, _ and -";
    let url = "url must be a valid URL";
    vec![
        ("name", json!(7), "name must be a string"),
        ("name", json!(null), "name must be a string"),
        ("name", json!("ab"), length),
        ("name", json!("é".repeat(101)), length),
        ("url", json!(7), "url must be a string"),
        ("url", json!(null), "url must be a string"),
        ("url", json!(""), url),
        ("url", json!("shop.example/hook"), url),
        ("url", json!("ftp://shop.example"), url),
        ("url", json!("https://"), url),
        ("isActive", json!("true"), "isActive must be a boolean"),
        ("isActive", json!(null), "isActive must be a boolean"),
        ("encrypted", json!(1), "encrypted must be a boolean"),
        ("encrypted", json!("false"), "encrypted must be a boolean"),
        (
            "signing_secret",
            json!(7),
            "signing_secret must be a string",
        ),
        ("signing_secret", json!(""), secret),
        ("signing_secret", json!("a".repeat(31)), secret),
        ("signing_secret", json!("a b".repeat(20)), secret),
        (
            "signing_secret",
            json!(format!("{}é", "a".repeat(32))),
            secret,
        ),
    ]
}

/// The documented form: a URL has words of its own.
fn invalid(member: &str, details: &str) -> Value {
    let message = match member {
        "url" => "Invalid webhook URL format",
        _ => "Validation failed",
    };
    json!({ "statusCode": 400, "message": message, "error": "Bad Request", "details": details })
}

fn with(member: &str, value: Value) -> Value {
    let mut body = valid();
    body[member] = value;
    body
}

#[tokio::test]
async fn every_rule_of_a_field_is_enforced_in_the_documented_form() {
    let sandbox = sandbox();
    let without = |member: &str| {
        let mut body = valid();
        body.as_object_mut().unwrap().remove(member);
        body
    };
    let mut all: Vec<_> = unfit()
        .into_iter()
        .map(|(member, value, details)| (member, with(member, value), details))
        .collect();
    all.extend([
        ("", json!([]), "the body must be a JSON object"),
        ("name", without("name"), "name is required"),
        ("name", with("name", json!("")), "name is required"),
        ("other", without("url"), "url is required"),
    ]);
    for (member, body, details) in all {
        let (status, _, error) = create(&sandbox, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(error, invalid(member, details), "{body}");
    }
    assert_eq!(sandbox.registrations(), []);
    for name in ["abc".to_owned(), "é".repeat(100)] {
        let (status, ..) = create(&sandbox, &with("name", json!(name))).await;
        assert_eq!(status, StatusCode::CREATED, "{name}");
    }
}

#[tokio::test]
async fn every_rule_of_a_field_is_enforced_when_it_is_changed() {
    let sandbox = sandbox();
    let (_, _, made) = create(&sandbox, &valid()).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let before = sandbox.registrations();
    let change = async |body: Value| {
        let body = body.to_string();
        call(&sandbox, "PATCH", &path, &OWN, &body).await
    };
    for (member, value, details) in unfit() {
        // What is right beside it is not changed either.
        let beside = if member == "name" { "isActive" } else { "name" };
        let fits = if member == "name" {
            json!(false)
        } else {
            json!("Another")
        };
        let body = json!({ member: value, beside: fits });
        let (status, _, error) = change(body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(error, invalid(member, details), "{body}");
        assert_eq!(sandbox.registrations(), before, "{body}");
    }
    let (status, _, error) = change(json!("isActive")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error, invalid("", "the body must be a JSON object"));
    for (member, value) in [
        ("name", json!("abc")),
        ("url", json!("https://shop.example/hook")),
        ("isActive", json!(false)),
        ("encrypted", json!(true)),
    ] {
        let (status, _, changed) = change(json!({ member: value })).await;
        assert_eq!((status, &changed[member]), (StatusCode::OK, &value));
    }
}

#[tokio::test]
async fn a_secret_that_is_left_out_is_made_up_and_shown_by_getting() {
    let sandbox = sandbox();
    let body = json!({ "name": "Orders", "url": "http://127.0.0.1:9/" });
    let (_, _, made) = create(&sandbox, &body).await;
    assert_eq!(made["isActive"], true);
    assert_eq!(made["encrypted"], false);
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let (status, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(status, StatusCode::OK);
    let secret = got["signing_secret"].as_str().unwrap();
    assert!(secret.len() >= 32, "{secret}");
    assert!(
        secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
        "{secret}"
    );
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let scopes = [
        "webhook:create",
        "webhook:read",
        "webhook:update",
        "webhook:delete",
    ];
    for granted in scopes {
        let reader = Application::new("devdraft", "narrow", "key")
            .with_secret("secret")
            .with_grants([granted]);
        let sandbox = Sandbox::builder().add_application(reader).start().unwrap();
        let narrow = [("x-client-key", "key"), ("x-client-secret", "secret")];
        let body = valid().to_string();
        for (method, path, scope) in [
            ("POST", HOOKS.to_owned(), "webhook:create"),
            ("GET", HOOKS.to_owned(), "webhook:read"),
            ("GET", format!("{HOOKS}/wh_1"), "webhook:read"),
            ("PATCH", format!("{HOOKS}/wh_1"), "webhook:update"),
            ("DELETE", format!("{HOOKS}/wh_1"), "webhook:delete"),
        ] {
            let (status, _, error) = call(&sandbox, method, &path, &narrow, &body).await;
            let is_refused = status == StatusCode::FORBIDDEN;
            assert_eq!(
                is_refused,
                scope != granted,
                "{method} {path} with {granted}"
            );
            if is_refused {
                assert_eq!(error["statusCode"], 403);
                assert_eq!(error["error"], "Forbidden");
                assert_eq!(error["message"], format!("the API key lacks {scope}"));
            }
        }
    }
}

#[tokio::test]
async fn both_halves_of_the_credentials_are_wanted() {
    let sandbox = sandbox();
    let (status, ..) = call(&sandbox, "GET", HOOKS, &OWN, "").await;
    assert_eq!(status, StatusCode::OK);
    for headers in [
        &[][..],
        &OWN[..1],
        &OWN[1..],
        &[OWN[0], ("x-client-secret", "wrong")],
        &[("x-client-key", "wrong"), OWN[1]],
        &[OWN[0], OWN[0], OWN[1]],
    ] {
        let (status, _, error) = call(&sandbox, "GET", HOOKS, headers, "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert_eq!(error["statusCode"], 401);
        assert_eq!(error["error"], "Unauthorized");
    }
}

#[tokio::test]
async fn an_application_sees_and_changes_its_own_alone() {
    let other = Application::new("devdraft", "other", "key")
        .with_secret("secret")
        .with_grants([
            "webhook:create",
            "webhook:read",
            "webhook:update",
            "webhook:delete",
        ]);
    let sandbox = Sandbox::builder().add_application(other).start().unwrap();
    let (_, _, made) = create(&sandbox, &valid()).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let stranger = [("x-client-key", "key"), ("x-client-secret", "secret")];
    for (list, expected) in [
        (HOOKS.to_owned(), json!([])),
        (format!("{HOOKS}?page=1"), json!({"data": []})),
    ] {
        let (_, _, seen) = call(&sandbox, "GET", &list, &stranger, "").await;
        assert_eq!(seen, expected);
    }
    for method in ["GET", "PATCH", "DELETE"] {
        let (status, _, error) = call(&sandbox, method, &path, &stranger, "{}").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
        let unknown = format!("{HOOKS}/wh_never");
        let (_, _, never) = call(&sandbox, method, &unknown, &stranger, "{}").await;
        let expected = |id: &str| {
            json!({
                "statusCode": 404, "message": "Webhook not found", "error": "Not Found",
                "details": format!("No webhook found with ID: {id}"),
            })
        };
        let id = made["id"].as_str().unwrap();
        assert_eq!(error, expected(id), "it tells nothing of what others have");
        assert_eq!(never, expected("wh_never"));
    }
    let (status, ..) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn the_hundred_and_first_call_of_an_hour_waits_for_the_next() {
    for (limit, key) in [(100, "ck_test_sandbox"), (1_000, "ck_live")] {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_446_530));
        let live = Application::new("devdraft", "live", "ck_live")
            .with_secret("cs_test_sandbox")
            .with_grants(["webhook:read"])
            .with_limits([Limit::an_hour(1_000)]);
        let sandbox = Sandbox::builder()
            .add_application(live)
            .with_clock(clock.clone())
            .start()
            .unwrap();
        let headers = [("x-client-key", key), OWN[1]];
        for number in 1..=limit {
            let (status, headers, _) = call(&sandbox, "GET", HOOKS, &headers, "").await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers["x-ratelimit-limit"], limit.to_string());
            assert_eq!(
                headers["x-ratelimit-remaining"],
                (limit - number).to_string()
            );
        }
        clock.advance(Duration::from_secs(600));
        let (status, answered, error) = call(&sandbox, "GET", HOOKS, &headers, "").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answered["retry-after"], "3000");
        assert_eq!(
            answered["x-ratelimit-reset"],
            (1_772_446_530 + 3_600).to_string()
        );
        let expected =
            json!({ "statusCode": 429, "message": "too many requests", "retryAfter": 3_000 });
        assert_eq!(error, expected);
        clock.advance(Duration::from_secs(3_000));
        let (status, ..) = call(&sandbox, "GET", HOOKS, &headers, "").await;
        assert_eq!(status, StatusCode::OK);
    }
}

#[tokio::test]
async fn both_documented_forms_of_listing_page_through_all() {
    let sandbox = sandbox();
    for number in 0..25 {
        let mut body = valid();
        body["name"] = json!(format!("hook {number}"));
        body["isActive"] = json!(number % 5 != 0);
        create(&sandbox, &body).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let ask = async |query: &str| {
        let path = format!("{HOOKS}{query}");
        call(&sandbox, "GET", &path, &OWN, "").await
    };
    let (_, _, first) = ask("").await;
    assert_eq!(names(&first).len(), 10);
    assert_eq!(first[0].get("signing_secret"), None);
    let (_, _, rest) = ask("?skip=20&take=10").await;
    assert_eq!(
        names(&rest),
        (20..25).map(|n| format!("hook {n}")).collect::<Vec<_>>()
    );
    let (_, _, page) = ask("?page=2&limit=20").await;
    assert_eq!(names(&page["data"]), names(&rest));
    assert_eq!(page["data"][0]["signing_secret"], valid()["signing_secret"]);
    assert_eq!(page["data"][0]["app"]["name"], "sandbox");
    let stats = json!({
        "total_events": 0, "successful_deliveries": 0, "failed_deliveries": 0,
        "last_delivery": null, "success_rate": 0,
    });
    assert_eq!(page["data"][0]["delivery_stats"], stats);
    let (_, _, paused) = ask("?active=false").await;
    assert_eq!(names(&paused["data"]).len(), 5);
    for (query, details) in [
        ("?limit=0", "limit is not a number in its range"),
        ("?limit=101", "limit is not a number in its range"),
        ("?limit=ten", "limit is not a number in its range"),
        ("?page=0", "page is not a number in its range"),
        ("?page=x", "page is not a number in its range"),
        ("?active=yes", "active must be true or false"),
        ("?skip=-1", "skip is not a number in its range"),
        ("?skip=x", "skip is not a number in its range"),
        ("?take=-1", "take is not a number in its range"),
        ("?take=0", "take is not a number in its range"),
        ("?take=1&take=2", "the query cannot be read"),
    ] {
        let (status, _, error) = ask(query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(error, invalid("", details), "{query}");
    }
}

#[tokio::test]
async fn what_is_changed_is_changed_and_the_rest_stays() {
    let sandbox = sandbox();
    let (_, _, made) = create(&sandbox, &valid()).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let new = "z".repeat(40);
    let body = json!({ "isActive": false, "signing_secret": new }).to_string();
    let (status, _, changed) = call(&sandbox, "PATCH", &path, &OWN, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(changed["isActive"], false);
    assert_eq!(
        (&changed["name"], &changed["url"]),
        (&made["name"], &made["url"])
    );
    let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(got["signing_secret"], new);
    let (status, _, error) = call(&sandbox, "PATCH", &path, &OWN, r#"{"name":"ab"}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["details"], "name must have 3 to 100 characters");
    let (status, _, body) = call(&sandbox, "DELETE", &path, &OWN, "").await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    let (status, ..) = call(&sandbox, "DELETE", &path, &OWN, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_inactive_webhook_gets_nothing_and_the_others_are_counted() {
    let receiver = Receiver::willing().await;
    let sandbox = sandbox();
    let mut body = valid();
    body["url"] = json!(receiver.url());
    let (_, _, made) = create(&sandbox, &body).await;
    body["isActive"] = json!(false);
    create(&sandbox, &body).await;

    let trigger = Trigger::new("devdraft", "payment.completed");
    let ids = sandbox.trigger(&trigger).unwrap();
    assert_eq!(ids.len(), 1);
    sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!(receiver.count(), 1);

    let id = made["id"].as_str().unwrap();
    let path = format!("{HOOKS}/{id}?include_events=true");
    let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(got["delivery_stats"]["total_events"], 1);
    assert_eq!(got["delivery_stats"]["successful_deliveries"], 1);
    assert_eq!(got["delivery_stats"]["success_rate"], 100);
    assert_eq!(got["recent_events"][0]["event_type"], "payment.completed");
    assert_eq!(got["recent_events"][0]["delivery_status"], "delivered");
    assert_eq!(got["recent_events"][0]["response_code"], 200);
    for (query, details) in [
        (
            "events_limit=0",
            "events_limit is not a number in its range",
        ),
        (
            "events_limit=51",
            "events_limit is not a number in its range",
        ),
        (
            "events_limit=x",
            "events_limit is not a number in its range",
        ),
        ("include_events=1", "include_events must be true or false"),
        ("events_limit=1&events_limit=2", "the query cannot be read"),
    ] {
        let path = format!("{HOOKS}/{id}?{query}");
        let (status, _, error) = call(&sandbox, "GET", &path, &OWN, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(error, invalid("", details), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_got_has_the_documented_figures_of_its_deliveries() {
    // Two are delivered, one fails each time, and each answer takes 150 ms.
    let receiver = Receiver::start(async |number| {
        tokio::time::sleep(Duration::from_millis(150)).await;
        match number {
            1 | 2 => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    })
    .await;
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_446_530));
    let sandbox = Sandbox::builder()
        .with_clock(clock.clone())
        .start()
        .unwrap();
    let (_, _, made) = create(&sandbox, &with("url", json!(receiver.url()))).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let figures = async || {
        let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
        got["delivery_stats"].clone()
    };
    let none = json!({
        "total_events": 0, "successful_deliveries": 0, "failed_deliveries": 0,
        "last_delivery": null, "success_rate": 0, "average_response_time": null,
        "last_24h_events": 0, "last_24h_failures": 0,
    });
    assert_eq!(figures().await, none);
    for _ in 0..3 {
        let trigger = Trigger::new("devdraft", "payment.completed");
        let ids = sandbox.trigger(&trigger).unwrap();
        sandbox.ended(&ids[0]).await.unwrap();
    }
    let stats = figures().await;
    let average = stats["average_response_time"].as_u64().unwrap();
    assert!((150..200).contains(&average), "{stats}");
    let expected = json!({
        "total_events": 3, "successful_deliveries": 2, "failed_deliveries": 1,
        "last_delivery": "2026-03-02T10:15:30.000Z", "success_rate": 66.6,
        "average_response_time": average, "last_24h_events": 3, "last_24h_failures": 1,
    });
    assert_eq!(stats, expected);
    clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(figures().await["last_24h_events"], 3, "the day is not over");
    clock.advance(Duration::from_secs(1));
    let stats = figures().await;
    assert_eq!(
        (&stats["last_24h_events"], &stats["last_24h_failures"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(stats["total_events"], 3);
}

#[tokio::test]
async fn what_was_to_be_encrypted_is_sealed_with_the_secret_that_getting_shows() {
    let receiver = Receiver::willing().await;
    let sandbox = sandbox();
    let mut body = valid();
    body["url"] = json!(receiver.url());
    body["encrypted"] = json!(true);
    let (status, _, made) = create(&sandbox, &body).await;
    assert_eq!(
        (status, &made["encrypted"]),
        (StatusCode::CREATED, &json!(true))
    );
    assert_eq!(made.get("encryption_secret"), None, "not shown at once");
    let id = made["id"].as_str().unwrap();
    let path = format!("{HOOKS}/{id}");
    let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    let (_, _, page) = call(&sandbox, "GET", &format!("{HOOKS}?page=1"), &OWN, "").await;
    let shown = &page["data"][0]["encryption_secret"];
    assert_eq!(*shown, got["encryption_secret"]);
    assert_ne!(*shown, got["signing_secret"], "one secret has one use");

    let sent = async || {
        let trigger = Trigger::new("devdraft", "payment.completed");
        let ids = sandbox.trigger(&trigger).unwrap();
        let dispatch = sandbox.attempted(&ids[0], 1).await.unwrap();
        assert_eq!(dispatch.state, State::Delivered, "{dispatch:?}");
        receiver.bodies().pop().unwrap()
    };
    let sealed = sent().await;
    let members: Vec<_> = sealed.as_object().unwrap().keys().collect();
    assert_eq!(members, ["encrypted"], "nothing stands beside it in clear");
    // The receiver's half: the signature is that of what was sent.
    let registered = &sandbox.registrations()[0];
    let secret = shown.as_str().unwrap();
    assert_eq!(registered.payload_secret(), Some(secret));
    let opened = receiver.deliveries_as(providers::devdraft_encrypted(), registered);
    assert_eq!(event(&opened[0]).event_type(), "payment.completed");

    // Turned off, and on again: the secret is the same one.
    for (encrypted, shows, expected) in [
        (false, None, "event_type"),
        (true, Some(secret), "encrypted"),
    ] {
        let change = json!({ "encrypted": encrypted }).to_string();
        let (status, ..) = call(&sandbox, "PATCH", &path, &OWN, &change).await;
        assert_eq!(status, StatusCode::OK);
        let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
        assert_eq!(got.get("encryption_secret").and_then(Value::as_str), shows);
        assert!(sent().await.get(expected).is_some(), "{encrypted}");
    }
}

#[tokio::test]
async fn a_webhook_that_is_encrypted_later_gets_a_secret_then() {
    let sandbox = sandbox();
    let (_, _, made) = create(&sandbox, &valid()).await;
    let path = format!("{HOOKS}/{}", made["id"].as_str().unwrap());
    let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(got.get("encryption_secret"), None);
    call(&sandbox, "PATCH", &path, &OWN, r#"{"encrypted":true}"#).await;
    let (_, _, got) = call(&sandbox, "GET", &path, &OWN, "").await;
    assert_eq!(got["encryption_secret"].as_str().unwrap().len(), 32);
}
