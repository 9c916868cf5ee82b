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

#[tokio::test]
async fn every_rule_of_a_field_is_enforced_in_the_documented_form() {
    let sandbox = sandbox();
    let with = |member: &str, value: Value| {
        let mut body = valid();
        body[member] = value;
        body
    };
    let without = |member: &str| {
        let mut body = valid();
        body.as_object_mut().unwrap().remove(member);
        body
    };
    for (body, details) in [
        (json!([]), "the body must be a JSON object"),
        (without("name"), "name is required"),
        (with("name", json!("")), "name is required"),
        (with("name", json!(7)), "name must be a string"),
        (
            with("name", json!("ab")),
            "name must have 3 to 100 characters",
        ),
        (
            with("name", json!("é".repeat(101))),
            "name must have 3 to 100 characters",
        ),
        (without("url"), "url is required"),
        (with("url", json!(7)), "url must be a string"),
        (
            with("url", json!("shop.example/hook")),
            "url must be a valid URL",
        ),
        (
            with("url", json!("ftp://shop.example")),
            "url must be a valid URL",
        ),
        (
            with("isActive", json!("true")),
            "isActive must be a boolean",
        ),
        (with("isActive", json!(null)), "isActive must be a boolean"),
        (with("encrypted", json!(1)), "encrypted must be a boolean"),
        (
            with("signing_secret", json!(7)),
            "signing_secret must be a string",
        ),
        (
            with("signing_secret", json!("a".repeat(31))),
            "signing_secret must have 32 or more letters, digits, _ and -",
        ),
        (
            with("signing_secret", json!("a b".repeat(20))),
            "signing_secret must have 32 or more letters, digits, _ and -",
        ),
    ] {
        let (status, _, error) = create(&sandbox, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let expected = json!({
            "statusCode": 400, "message": "Validation failed", "error": "Bad Request",
            "details": details,
        });
        assert_eq!(error, expected, "{body}");
    }
    assert_eq!(sandbox.registrations(), []);
    for name in ["abc".to_owned(), "é".repeat(100)] {
        let (status, ..) = create(&sandbox, &with("name", json!(name))).await;
        assert_eq!(status, StatusCode::CREATED, "{name}");
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
        assert_eq!(error, never, "it tells nothing of what others have");
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
    assert_eq!(page["data"][0]["success_rate"], 0);
    let (_, _, paused) = ask("?active=false").await;
    assert_eq!(names(&paused["data"]).len(), 5);
    for query in [
        "?limit=0",
        "?limit=101",
        "?page=0",
        "?page=x",
        "?active=yes",
        "?take=-1",
    ] {
        let (status, _, error) = ask(query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(error["message"], "Validation failed");
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
    assert_eq!(got["success_rate"], 100);
    assert_eq!(got["recent_events"][0]["event_type"], "payment.completed");
    assert_eq!(got["recent_events"][0]["delivery_status"], "delivered");
    assert_eq!(got["recent_events"][0]["response_code"], 200);
    let (status, ..) = call(
        &sandbox,
        "GET",
        &format!("{path}&events_limit=51"),
        &OWN,
        "",
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
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
