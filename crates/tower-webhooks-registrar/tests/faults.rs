//! What a provider or a network may do instead of answering.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{future::pending, time::Duration};

use http::StatusCode;
use support::{
    Listening, answering, cryptomate, devdraft, listen, monterrey, mppcash, secret, wish,
};
use tower_webhooks_registrar::{Error, ErrorKind, ManagementApi, Registration};

/// Creating at a provider that answers so.
async fn create(at: &Listening) -> Result<Registration, Error> {
    let wish = wish()
        .with_events(["payment.confirmed"])
        .with_secret(secret());
    monterrey(at).create(&wish).await
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_the_providers_words() {
    for (status, kind) in [
        (400, ErrorKind::Refused { status: 400 }),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Refused { status: 403 }),
        (404, ErrorKind::NotFound),
        (409, ErrorKind::Refused { status: 409 }),
        (429, ErrorKind::RateLimited { retry_after: None }),
        (500, ErrorKind::Server { status: 500 }),
        (503, ErrorKind::Server { status: 503 }),
        (302, ErrorKind::Refused { status: 302 }),
    ] {
        let code = StatusCode::from_u16(status).unwrap();
        let at = answering(move || async move {
            (
                code,
                [("location", "/elsewhere")],
                r#"{"error":{"code":"X","message":"why"}}"#,
            )
        })
        .await;
        let error = create(&at).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(
            error.to_string(),
            format!("the provider answered {status}: why")
        );
    }
}

/// An echo: the body, and then each header with a key.
async fn echo(headers: http::HeaderMap, body: String) -> (StatusCode, String) {
    let headers = headers.values().map(|value| value.to_str().unwrap());
    let keys = headers.filter(|value| value.contains("_test_sandbox"));
    let said = keys.collect::<Vec<_>>().join(" ");
    let said = serde_json::json!({ "message": format!("{body} {said}") });
    (StatusCode::BAD_REQUEST, said.to_string())
}

#[tokio::test]
async fn a_message_that_repeats_a_key_or_a_secret_is_shown_without() {
    let at = listen(axum::Router::new().fallback(echo)).await;
    let secret = secret();
    let wish = wish().with_secret(secret.clone());
    let confirmed = wish.clone().with_events(["payment.confirmed"]);
    let named = wish.clone().with_name("Orders");
    let settled = support::wish().with_events(["transfer.settled"]);
    let (cryptomate, devdraft) = (cryptomate(&at), devdraft(&at));
    for (error, hidden) in [
        (monterrey(&at).create(&confirmed).await.unwrap_err(), 2),
        (mppcash(&at).create(&settled).await.unwrap_err(), 1),
        (cryptomate.create(&wish).await.unwrap_err(), 2),
        (cryptomate.rotate("", &secret).await.unwrap_err(), 2),
        (devdraft.create(&named).await.unwrap_err(), 3),
        (devdraft.rotate("wh_1", &secret).await.unwrap_err(), 3),
    ] {
        let said = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused { status: 400 });
        assert_eq!(said.matches("[redacted]").count(), hidden, "{said}");
        for hidden in [secret.expose(), "_test_sandbox"] {
            assert!(!said.contains(hidden), "{said}");
        }
    }
}

#[tokio::test]
async fn too_many_requests_say_how_long_to_wait() {
    for (value, expected) in [
        ("45", Some(Duration::from_secs(45))),
        ("soon", None),
        ("-1", None),
    ] {
        let at = answering(move || async move {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", value)], "")
        })
        .await;
        let error = create(&at).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::RateLimited {
                retry_after: expected
            }
        );
        assert_eq!(error.to_string(), "the provider answered 429");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_or_another_is_said_to_be_so() {
    for answer in [
        "",
        "<html>",
        "[]",
        "{}",
        "null",
        r#"{"id":7}"#,
        "\u{0}\u{1}",
    ] {
        let at = answering(move || async move { answer }).await;
        let error = create(&at).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Answer, "{answer}");
        let error = monterrey(&at).list().await;
        match answer {
            "[]" => assert_eq!(error.unwrap(), []),
            _ => assert_eq!(error.unwrap_err().kind(), ErrorKind::Answer, "{answer}"),
        }
        let wish = wish().with_events(["transfer.settled"]);
        let error = mppcash(&at).create(&wish).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Answer, "a secret was promised");
    }
}

#[tokio::test]
async fn an_endless_answer_and_an_endless_list_end() {
    let at = answering(|| async { "x".repeat((1 << 20) + 1) }).await;
    let error = create(&at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Answer);
    let page = format!("[{}]", [r#"{"id":"wh_1"}"#; 50].join(","));
    let at = answering(move || {
        let page = page.clone();
        async move { page }
    })
    .await;
    let error = devdraft(&at).list().await.unwrap_err();
    assert_eq!(error.to_string(), "the list does not end");
}

#[tokio::test]
async fn no_answer_in_time_is_a_time_out_and_no_listener_a_failed_connection() {
    let at = answering(|| async { pending::<StatusCode>().await }).await;
    let api = monterrey(&at).with_timeout(Duration::from_millis(50));
    assert_eq!(api.list().await.unwrap_err().kind(), ErrorKind::TimedOut);
    let base = at.base.clone();
    drop(at);
    tokio::task::yield_now().await;
    let error = api.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    let host = base.strip_prefix("http://").unwrap();
    assert!(!error.to_string().contains(host), "{error}");
}

/// What may have been created, with a secret that stood in the answer which is lost.
#[tokio::test]
async fn a_lost_answer_with_a_secret_says_what_to_do() {
    let mppcash_says = "it may have been created all the same, and its secret stood in that answer alone: have the provider delete it, and create it anew";
    let devdraft_says = "it may have been created all the same: list shows whether it was, and getting it its secret";
    let settled = wish().with_events(["transfer.settled"]);
    let named = wish().with_name("Orders");
    let said = async |at: &Listening| {
        let short = Duration::from_millis(200);
        let mppcash = mppcash(at).with_timeout(short).create(&settled).await;
        let devdraft = devdraft(at).with_timeout(short).create(&named).await;
        [mppcash, devdraft].map(|made| made.unwrap_err().to_string())
    };
    for (status, answer, is_lost) in [
        (201, "{", true),
        (302, "", true),
        (500, "", true),
        (503, "", true),
        (400, "", false),
        (401, "", false),
        (403, "", false),
        (404, "", false),
        (409, "", false),
        (429, "", false),
    ] {
        let code = StatusCode::from_u16(status).unwrap();
        let at = answering(move || async move { (code, answer) }).await;
        let [mppcash, devdraft] = said(&at).await;
        assert_eq!(mppcash.ends_with(mppcash_says), is_lost, "{mppcash}");
        assert_eq!(devdraft.ends_with(devdraft_says), is_lost, "{devdraft}");
        let (lost, status) = (mppcash.contains("created"), status.to_string());
        assert_eq!(lost, is_lost, "{mppcash}");
        assert!(mppcash.contains(&status) || status == "201", "{mppcash}");
    }
    let silent = answering(|| async { pending::<StatusCode>().await }).await;
    let [mppcash, devdraft] = said(&silent).await;
    assert!(mppcash.ends_with(mppcash_says), "{mppcash}");
    assert!(devdraft.ends_with(devdraft_says), "{devdraft}");
    // What never arrived was never done.
    let base = silent.base.clone();
    drop(silent);
    tokio::task::yield_now().await;
    let away = Listening::nobody(base);
    for said in said(&away).await {
        assert!(said.starts_with("cannot connect: "), "{said}");
        assert!(!said.contains("created"), "{said}");
    }
}

#[tokio::test]
async fn a_webhook_whose_secret_is_not_learned_is_named() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let at = answering(move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            match number {
                0 => (StatusCode::CREATED, r#"{"id":"wh_7"}"#),
                _ => (StatusCode::BAD_GATEWAY, ""),
            }
        }
    })
    .await;
    let error = devdraft(&at)
        .create(&wish().with_name("Orders"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server { status: 502 });
    assert!(
        error.to_string().starts_with("wh_7 was created, but"),
        "{error}"
    );
}
