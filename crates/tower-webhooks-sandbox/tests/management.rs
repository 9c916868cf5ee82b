//! The management APIs of the others, and the sandbox's own calls.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Receiver, call};
use tower_webhooks_core::ManualClock;
use tower_webhooks_sandbox::{
    Application, NewRegistration, Sandbox, State, Trigger, api::cryptomate::CARD,
};

const MPPCASH: (&str, &str) = ("authorization", "Bearer mpp_test_sandbox");
const MONTERREY: (&str, &str) = ("x-api-key", "mk_test_sandbox");
const CRYPTOMATE: (&str, &str) = ("x-api-key", "cm_test_sandbox");
const M2M: (&str, &str) = ("x-api-key", "m2m_test_sandbox");

fn sandbox() -> Sandbox {
    Sandbox::builder().start().unwrap()
}

#[tokio::test]
async fn mppcash_creates_with_a_bearer_key_and_makes_up_the_secret() {
    let sandbox = sandbox();
    let path = "/mppcash/v1/webhooks";
    let valid = json!({
        "url": "http://127.0.0.1:9/mppcash/events",
        "events": ["transfer.settled", "balance.low_threshold"],
        "low_balance_threshold_usdc": 50,
    });
    // The documents' sample sends no content type.
    let (status, _, made) = call(&sandbox, "POST", path, &[MPPCASH], &valid.to_string()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(made["events"], valid["events"]);
    assert_eq!(made["low_balance_threshold_usdc"], 50);
    assert_eq!(made["secret"], sandbox.registrations()[0].secret());

    for (member, value, error) in [
        ("url", json!("hook"), "url must be a valid URL"),
        ("url", json!("ftp://a.example"), "url must be a valid URL"),
        ("url", json!(7), "url must be a string"),
        ("events", json!([]), "events must be a list of event types"),
        ("events", json!([7]), "events must be a list of event types"),
        (
            "events",
            json!(["transfer.setled"]),
            "events: there is no event type transfer.setled",
        ),
        (
            "low_balance_threshold_usdc",
            json!("50"),
            "low_balance_threshold_usdc must be a number",
        ),
        (
            "low_balance_threshold_usdc",
            json!(-1),
            "low_balance_threshold_usdc must not be negative",
        ),
    ] {
        let mut body = valid.clone();
        body[member] = value;
        let (status, _, said) = call(&sandbox, "POST", path, &[MPPCASH], &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(said, json!({ "error": error }));
    }
    for headers in [
        &[][..],
        &[("authorization", "mpp_test_sandbox")],
        &[("authorization", "Bearer x")],
    ] {
        let (status, ..) = call(&sandbox, "POST", path, headers, &valid.to_string()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let (status, ..) = call(&sandbox, "GET", path, &[MPPCASH], "").await;
    assert_eq!(
        status,
        StatusCode::METHOD_NOT_ALLOWED,
        "listing is not documented"
    );
    assert_eq!(sandbox.registrations().len(), 1);
}

#[tokio::test]
async fn monterrey_creates_lists_and_deletes() {
    let sandbox = sandbox();
    let path = "/monterrey/v1/webhooks";
    let valid = json!({
        "url": "http://127.0.0.1:9/webhooks/monterrey",
        "events": ["payment.confirmed", "payment.expired"],
        "secret": "whsec_your_secret_here",
    });
    let (status, headers, made) =
        call(&sandbox, "POST", path, &[MONTERREY], &valid.to_string()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(headers["x-ratelimit-limit"], "100");
    assert_eq!(headers["x-ratelimit-remaining"], "99");
    assert_eq!(made.get("secret"), None, "the caller knows it");
    assert_eq!(
        sandbox.registrations()[0].secret(),
        "whsec_your_secret_here"
    );
    let (_, _, listed) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
    assert_eq!(listed, json!({ "data": [made] }));

    for (member, value, error) in [
        ("url", json!(null), "url must be a string"),
        ("url", json!("hook"), "url must be a valid URL"),
        (
            "events",
            json!("payment.confirmed"),
            "events must be a list of event types",
        ),
        (
            "events",
            json!(["payment.lost"]),
            "events: there is no event type payment.lost",
        ),
        ("secret", json!(7), "secret must be a string"),
        ("secret", json!(""), "secret is required"),
    ] {
        let mut body = valid.clone();
        body[member] = value;
        let (status, _, said) = call(&sandbox, "POST", path, &[MONTERREY], &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            said,
            json!({ "error": { "code": "INVALID_REQUEST", "message": error } })
        );
    }
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let (status, ..) = call(&sandbox, "DELETE", &one, &[MONTERREY], "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _, said) = call(&sandbox, "DELETE", &one, &[MONTERREY], "").await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("NOT_FOUND"))
    );
    assert_eq!(sandbox.registrations(), []);
}

#[tokio::test]
async fn monterreys_keys_have_permissions_and_a_limit_a_minute() {
    let reader =
        Application::new("monterrey", "reader", "mk_reader").with_grants(["webhooks:read"]);
    let clock = ManualClock::at(std::time::SystemTime::now());
    let sandbox = Sandbox::builder()
        .add_application(reader)
        .with_clock(clock.clone())
        .start()
        .unwrap();
    let path = "/monterrey/v1/webhooks";
    let reading = [("x-api-key", "mk_reader")];
    let (status, ..) = call(&sandbox, "GET", path, &reading, "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, _, said) = call(&sandbox, "POST", path, &reading, "{}").await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::FORBIDDEN, &json!("FORBIDDEN"))
    );
    let (status, _, said) = call(&sandbox, "GET", path, &[], "").await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("UNAUTHORIZED"))
    );

    for _ in 0..100 {
        let (status, ..) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
        assert_eq!(status, StatusCode::OK);
    }
    let (status, headers, _) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "60");
    for _ in 1..10 {
        clock.advance(Duration::from_secs(60));
        for _ in 0..100 {
            let (status, ..) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
            assert_eq!(status, StatusCode::OK);
        }
    }
    // A thousand in the hour, of which ten minutes are over.
    clock.advance(Duration::from_secs(60));
    let (status, headers, _) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], (50 * 60).to_string());
    assert_eq!(headers["x-ratelimit-limit"], "1000");
    clock.advance(Duration::from_secs(50 * 60));
    let (status, ..) = call(&sandbox, "GET", path, &[MONTERREY], "").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn cryptomate_has_one_url_and_one_key_a_company() {
    let low = Application::new("cryptomate", "low", "cm_low").with_grants(["level:2"]);
    let sandbox = Sandbox::builder().add_application(low).start().unwrap();
    let (subscribe, key) = (
        "/cryptomate/management/companies/webhook/subscribe",
        "/cryptomate/management/companies/webhook/key",
    );
    let (status, _, said) = call(&sandbox, "POST", key, &[CRYPTOMATE], r#"{"key":"k"}"#).await;
    assert_eq!(
        (status, &said["code"]),
        (StatusCode::NOT_FOUND, &json!("NOT_FOUND"))
    );

    let body = json!({ "url": "http://127.0.0.1:9/a", "webhook_key": "first" }).to_string();
    let (status, _, shown) = call(&sandbox, "POST", subscribe, &[CRYPTOMATE], &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&shown["webhook_url"], &shown["webhook_key"]),
        (&json!("http://127.0.0.1:9/a"), &json!("first"))
    );
    let body = json!({ "url": "http://127.0.0.1:9/b", "webhook_key": "second" }).to_string();
    call(&sandbox, "POST", subscribe, &[CRYPTOMATE], &body).await;
    let (_, _, shown) = call(&sandbox, "POST", key, &[CRYPTOMATE], r#"{"key":"third"}"#).await;
    assert_eq!(
        (&shown["webhook_url"], &shown["webhook_key"]),
        (&json!("http://127.0.0.1:9/b"), &json!("third"))
    );
    assert_eq!(sandbox.registrations().len(), 1);

    for (path, body, message) in [
        (subscribe, r#"{"webhook_key":"k"}"#, "url is required"),
        (
            subscribe,
            r#"{"url":"http://a.example"}"#,
            "webhook_key is required",
        ),
        (
            subscribe,
            r#"{"url":"a","webhook_key":"k"}"#,
            "url must be a valid URL",
        ),
        (
            subscribe,
            r#"{"url":"ftp://a.example","webhook_key":"k"}"#,
            "url must be a valid URL",
        ),
        (
            subscribe,
            r#"{"url":7,"webhook_key":"k"}"#,
            "url must be a string",
        ),
        (
            subscribe,
            r#"{"url":"http://a.example","webhook_key":7}"#,
            "webhook_key must be a string",
        ),
        (
            subscribe,
            r#"{"url":"http://a.example","webhook_key":""}"#,
            "webhook_key is required",
        ),
        (key, "{}", "key is required"),
        (key, r#"{"key":7}"#, "key must be a string"),
        (key, "[]", "the body must be a JSON object"),
    ] {
        let (status, _, said) = call(&sandbox, "POST", path, &[CRYPTOMATE], body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(said, json!({ "code": "VAL", "message": message }));
    }
    let (status, ..) = call(
        &sandbox,
        "POST",
        subscribe,
        &[("x-api-key", "cm_low")],
        &body,
    )
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn cryptomates_purchases_are_authorized_cleared_and_refunded_in_that_order() {
    let receiver = Receiver::start(async |_| r#"{"code":"00","status":"SUCCESS"}"#).await;
    let sandbox = sandbox();
    let new = NewRegistration::new("cryptomate", receiver.url()).with_secret("the-key");
    sandbox.register(new).unwrap();
    let simulate = async |what: &str, body: Value| {
        let path = format!("/cryptomate/cards/webhook/simulate/{what}");
        let (status, _, said) =
            call(&sandbox, "POST", &path, &[CRYPTOMATE], &body.to_string()).await;
        (status, said)
    };
    let paid = json!({ "card_id": CARD, "bill_amount": 12.5 });
    for (what, message) in [
        ("clearing", "there is no authorization to clear"),
        ("refund", "there is no cleared transaction"),
    ] {
        let (status, said) = simulate(what, paid.clone()).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(said, json!({ "code": "NOT_FOUND", "message": message }));
    }
    for (member, value, message, of) in [
        ("card_id", json!("none"), "Card not found", 3),
        ("card_id", json!(7), "card_id must be a string", 3),
        ("card_id", json!(""), "card_id is required", 3),
        // Clearing takes an amount and makes no use of it.
        ("bill_amount", json!("1"), "bill_amount must be a number", 2),
        ("bill_amount", json!(0), "bill_amount must be above 0", 2),
    ] {
        for what in ["authorize", "refund", "clearing"].into_iter().take(of) {
            let mut body = paid.clone();
            body[member] = value.clone();
            let (status, said) = simulate(what, body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{what} {member}");
            assert_eq!(said, json!({ "code": "VAL", "message": message }));
        }
    }
    let (status, said) = simulate("refund", json!({ "card_id": CARD })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = "bill_amount is required";
    assert_eq!(said, json!({ "code": "VAL", "message": message }));

    for what in ["authorize", "clearing", "refund"] {
        let (status, said) = simulate(what, paid.clone()).await;
        assert_eq!((status, said), (StatusCode::CREATED, Value::Null), "{what}");
    }
    for dispatch in sandbox.dispatches() {
        sandbox.ended(&dispatch.id).await.unwrap();
    }
    let deliveries = receiver.deliveries(&sandbox.registrations()[0]);
    let types: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.event().unwrap().event_type().as_str())
        .collect();
    assert_eq!(types.len(), 3);
    for expected in [
        "cards.authorization.pending",
        "cards.clearing.success",
        "cards.refund.success",
    ] {
        assert!(types.contains(&expected), "{types:?}");
    }
    let bodies = receiver.bodies();
    assert_eq!(bodies[0]["data"]["bill_amount"], 12.5);
    assert!(bodies.iter().all(|body| body["data"]["card_id"] == CARD));
    assert!(
        bodies
            .iter()
            .all(|body| body["operation_id"] == bodies[0]["operation_id"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_is_no_or_late_or_no_success_is_a_decline() {
    let late = Duration::from_millis(1_300);
    for (status, code, after, expected) in [
        (200, "05", Duration::ZERO, State::Delivered),
        (200, "00", late, State::Failed),
        (500, "00", Duration::ZERO, State::Failed),
    ] {
        let receiver = Receiver::start(move |number| async move {
            if number > 1 {
                return (StatusCode::OK, String::new());
            }
            tokio::time::sleep(after).await;
            let status = StatusCode::from_u16(status).unwrap();
            (status, json!({ "code": code }).to_string())
        })
        .await;
        let sandbox = sandbox();
        let new = NewRegistration::new("cryptomate", receiver.url());
        sandbox.register(new).unwrap();
        let path = "/cryptomate/cards/webhook/simulate/authorize";
        let body = json!({ "card_id": CARD, "bill_amount": 12.5 }).to_string();
        let (status, ..) = call(&sandbox, "POST", path, &[CRYPTOMATE], &body).await;
        assert_eq!(status, StatusCode::CREATED);
        let dispatches = sandbox.dispatches();
        assert_eq!(dispatches.len(), 2);
        assert_eq!(dispatches[0].state, expected);
        assert_eq!(
            dispatches[0].attempts.len(),
            1,
            "a purchase does not wait for a retry"
        );
        assert_eq!(dispatches[1].event_type, "cards.declined.success");
        sandbox.ended(&dispatches[1].id).await.unwrap();
    }
}

#[tokio::test]
async fn m2ms_links_have_urls_of_their_own() {
    let (portal, own) = (Receiver::willing().await, Receiver::willing().await);
    let sandbox = sandbox();
    let registered = sandbox
        .register(NewRegistration::new("m2m", portal.url()))
        .unwrap();
    let path = "/m2m/partner/links";
    let body = json!({ "referenceId": "user_1", "callbackUrl": own.url() }).to_string();
    let (status, _, made) = call(&sandbox, "POST", path, &[M2M], &body).await;
    assert_eq!(
        (status, &made["success"]),
        (StatusCode::CREATED, &json!(true))
    );
    let link = made["data"]["linkId"].as_str().unwrap();
    let (status, _, said) = call(&sandbox, "POST", path, &[M2M], &body).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(said["success"], false);
    assert_eq!(said["error"]["code"], "ACTIVE_LINK_EXISTS");

    let opened = Trigger::new("m2m", "link.opened").with_link(link);
    let ids = sandbox.trigger(&opened).unwrap();
    let first = &sandbox.dispatches()[0].id;
    for id in [first, &ids[0]] {
        assert_eq!(sandbox.ended(id).await.unwrap().state, State::Delivered);
    }
    assert_eq!((portal.count(), own.count()), (0, 2));
    assert_eq!(own.deliveries(&registered).len(), 2);
    assert!(
        own.bodies()
            .iter()
            .all(|body| body["data"]["linkId"] == link)
    );

    let unlinked = Trigger::new("m2m", "link.opened");
    let ids = sandbox.trigger(&unlinked).unwrap();
    sandbox.ended(&ids[0]).await.unwrap();
    assert_eq!((portal.count(), own.count()), (1, 2));

    for (body, message) in [
        (json!({}), "referenceId is required"),
        (
            json!({ "referenceId": "u", "callbackUrl": "x" }),
            "callbackUrl must be a valid URL",
        ),
        (
            json!({ "referenceId": "u", "expiresInMinutes": 4 }),
            "expiresInMinutes must be 5 to 10080",
        ),
        (
            json!({ "referenceId": "u", "expiresInMinutes": 10_081 }),
            "expiresInMinutes must be 5 to 10080",
        ),
        (
            json!({ "referenceId": "u", "expiresInMinutes": 5.5 }),
            "expiresInMinutes must be 5 to 10080",
        ),
        (
            json!({ "referenceId": "u", "expiresInMinutes": "60" }),
            "expiresInMinutes must be a number",
        ),
        (json!({ "referenceId": 7 }), "referenceId must be a string"),
        (json!({ "referenceId": "" }), "referenceId is required"),
        (json!([]), "the body must be a JSON object"),
    ] {
        let (status, _, said) = call(&sandbox, "POST", path, &[M2M], &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let error = json!({ "code": "INVALID_REQUEST", "message": message });
        assert_eq!(said, json!({ "success": false, "error": error }));
    }
    let (status, _, said) = call(&sandbox, "POST", path, &[], &body).await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("INVALID_API_KEY"))
    );
}

#[tokio::test]
async fn the_hundred_and_first_link_of_a_minute_waits_for_the_next() {
    let clock = ManualClock::at(std::time::SystemTime::now());
    let other = Application::new("m2m", "other", "m2m_other");
    let builder = Sandbox::builder().add_application(other);
    let sandbox = builder.with_clock(clock.clone()).start().unwrap();
    let create = async |number: u32, key: &str| {
        let body = json!({ "referenceId": format!("user_{number}") }).to_string();
        let headers = [("x-api-key", key)];
        call(&sandbox, "POST", "/m2m/partner/links", &headers, &body).await
    };
    for number in 1..=100 {
        assert_eq!(create(number, M2M.1).await.0, StatusCode::CREATED);
    }
    clock.advance(Duration::from_millis(14_500));
    let (status, headers, said) = create(101, M2M.1).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "46", "whole seconds, and no fewer");
    let error = json!({ "code": "RATE_LIMITED", "message": "too many requests" });
    assert_eq!(said, json!({ "success": false, "error": error }));
    assert_eq!(create(101, "m2m_other").await.0, StatusCode::CREATED);
    clock.advance(Duration::from_millis(45_499));
    assert_eq!(create(101, M2M.1).await.0, StatusCode::TOO_MANY_REQUESTS);
    clock.advance(Duration::from_millis(1));
    assert_eq!(create(101, M2M.1).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn the_sandboxs_own_calls_register_trigger_and_show() {
    let receiver = Receiver::willing().await;
    let sandbox = sandbox();
    let kind = [("content-type", "application/json")];
    let body = json!({ "provider": "mppcash", "url": receiver.url() }).to_string();
    let path = "/_sandbox/registrations";
    let (status, ..) = call(&sandbox, "POST", path, &[], &body).await;
    assert_eq!(
        status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a page of another site can send this"
    );
    let (status, _, made) = call(&sandbox, "POST", path, &kind, &body).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(made["secret"], sandbox.registrations()[0].secret());
    let (_, _, listed) = call(&sandbox, "GET", path, &[], "").await;
    assert_eq!(listed["registrations"][0]["id"], made["id"]);
    assert_eq!(listed["registrations"][0].get("secret"), None);

    let body = json!({ "provider": "mppcash", "event_type": "transfer.settled" }).to_string();
    let (status, _, sent) = call(&sandbox, "POST", "/_sandbox/trigger", &kind, &body).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = sent["dispatches"][0].as_str().unwrap();
    sandbox.ended(id).await.unwrap();
    let (_, _, shown) = call(
        &sandbox,
        "GET",
        &format!("/_sandbox/dispatches/{id}"),
        &[],
        "",
    )
    .await;
    assert_eq!(shown["state"], "delivered");
    assert_eq!(shown["attempts"][0]["outcome"]["answered"]["status"], 200);
    let again = format!("/_sandbox/dispatches/{id}/redeliver");
    let (status, _, shown) = call(&sandbox, "POST", &again, &[], "").await;
    assert_eq!(
        (status, &shown["attempts"][1]["by_hand"]),
        (StatusCode::OK, &json!(true))
    );
    assert_eq!(receiver.count(), 2);
    assert_eq!(receiver.bodies()[0], receiver.bodies()[1]);

    for (body, error) in [
        (
            json!({ "provider": "acme", "event_type": "x" }),
            "there is no provider acme",
        ),
        (
            json!({ "provider": "mppcash", "event_type": "x" }),
            "no sample of x is known: give a body",
        ),
        (
            json!({ "provider": "m2m", "event_type": "link.opened", "link": "l" }),
            "there is no link l",
        ),
    ] {
        let (status, _, said) = call(
            &sandbox,
            "POST",
            "/_sandbox/trigger",
            &kind,
            &body.to_string(),
        )
        .await;
        assert_eq!(
            (status, said),
            (StatusCode::BAD_REQUEST, json!({ "error": error }))
        );
    }
    let (_, _, overview) = call(&sandbox, "GET", "/_sandbox", &[], "").await;
    let of = |name: &str| {
        let mut all = overview["providers"].as_array().unwrap().iter();
        all.find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(of("monterrey")["delays_from"], "documented");
    assert_eq!(of("mppcash")["delays_from"], "ours");
}

#[tokio::test]
async fn a_sandbox_started_again_on_its_file_knows_what_was_registered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sandbox.json");
    let start = || Sandbox::builder().with_file(&file).start().unwrap();
    let made = start()
        .register(NewRegistration::new("monterrey", "http://127.0.0.1:9/"))
        .unwrap();
    assert_eq!(start().registrations(), [made]);
}
