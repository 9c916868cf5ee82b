//! The table of answers, for what is authentic: new, known, in conflict,
//! unhandled, unusable; and when an answer may leave. In both forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, routing::post};
use http::{HeaderValue, StatusCode, header};
use tower_webhooks::Delivery;
use tower_webhooks_inbox::{EventState, JobState};
use tower_webhooks_tests::{ACCEPTED, Acme, Figures, Form, ask, body, soon, turns};

#[tokio::test]
async fn a_new_event_is_stored_as_received_and_acknowledged() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
        assert_eq!(answer.summary(), ACCEPTED, "{form:?}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");

        let run = soon(acme.runs.next()).await;
        assert_eq!((run.event_id.as_str(), run.error), ("evt_1", None));
        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), 1, "{form:?}");
        assert_eq!(stored[0].event.state, EventState::Routed);
        assert_eq!(
            stored[0].event.body_bytes,
            body("order.paid", "evt_1").len() as u64
        );
        assert_eq!(stored[0].jobs[0].state, JobState::Done);
    }
}

#[tokio::test]
async fn a_duplicate_is_answered_the_same_and_makes_no_second_job() {
    for form in Form::BOTH {
        let figures = Figures::new();
        let _counting = figures.set();
        let acme = Acme::start(form).await;
        let first = acme.ask(acme.request("order.paid", "evt_1")).await;
        acme.clock.advance(Duration::from_secs(60));
        let second = acme.ask(acme.request("order.paid", "evt_1")).await;
        assert_eq!(first.summary(), ACCEPTED, "{form:?}");
        assert_eq!(first, second, "{form:?}");

        let stored = acme.inbox.all().await;
        assert_eq!((stored.len(), stored[0].jobs.len()), (1, 1), "{form:?}");
        assert_eq!(
            figures.of(r#"webhooks_accepted_total{endpoint="acme"}"#),
            1.0
        );
        assert_eq!(
            figures.of(r#"webhooks_duplicate_total{endpoint="acme"}"#),
            1.0
        );
    }
}

#[tokio::test]
async fn a_known_id_with_another_body_is_kept_apart_without_a_job() {
    for form in Form::BOTH {
        let figures = Figures::new();
        let _counting = figures.set();
        let acme = Acme::start(form).await;
        let other = r#"{"type":"order.paid","id":"evt_1","data":{"n":2}}"#;
        acme.ask(acme.request("order.paid", "evt_1")).await;
        assert_eq!(
            acme.ask(acme.signed(other)).await.summary(),
            ACCEPTED,
            "{form:?}"
        );

        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), 2, "{form:?}");
        assert_eq!(stored[1].event.state, EventState::Conflict);
        assert!(stored[1].jobs.is_empty(), "{form:?}");
        assert_eq!(stored[1].event.body.as_deref(), Some(other.as_bytes()));
        assert_eq!(
            figures.of(r#"webhooks_conflict_total{endpoint="acme"}"#),
            1.0
        );
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_is_kept_and_acknowledged() {
    for form in Form::BOTH {
        let figures = Figures::new();
        let _counting = figures.set();
        let acme = Acme::start(form).await;
        let answer = acme.ask(acme.request("order.lost", "evt_1")).await;
        assert_eq!(answer.summary(), ACCEPTED, "{form:?}");
        let stored = acme.inbox.all().await;
        assert_eq!(stored[0].event.state, EventState::Unhandled, "{form:?}");
        assert_eq!(
            figures.of(r#"webhooks_unhandled_total{endpoint="acme"}"#),
            1.0
        );
    }
}

#[tokio::test]
async fn an_authentic_body_that_is_unusable_is_kept_with_its_reason() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let unusable = [
            "Hello, World!",
            "",
            r#"{"id":"evt_1"}"#,
            r#"{"type":7}"#,
            "[[[[",
        ];
        for text in unusable {
            let answer = acme.ask(acme.signed(text)).await;
            assert_eq!(answer.summary(), ACCEPTED, "{form:?}, {text:?}");
        }
        let again = acme.ask(acme.signed(unusable[0])).await;
        assert_eq!(again.summary(), ACCEPTED, "{form:?}");

        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), unusable.len(), "{form:?}");
        for (record, text) in stored.iter().zip(unusable) {
            assert_eq!(
                record.event.state,
                EventState::Unusable,
                "{form:?}, {text:?}"
            );
            assert_eq!(
                record.event.body.as_deref(),
                Some(text.as_bytes()),
                "{form:?}"
            );
            assert!(
                !record.event.unusable.as_deref().unwrap().is_empty(),
                "{form:?}"
            );
            assert!(record.jobs.is_empty(), "{form:?}, {text:?}");
        }
    }
}

#[tokio::test]
async fn an_inner_answer_other_than_2xx_passes_and_nothing_is_stored() {
    for status in [
        StatusCode::FOUND,
        StatusCode::CONFLICT,
        StatusCode::BAD_GATEWAY,
    ] {
        let acme = Acme::start(Form::Layer).await;
        let veto = move || async move { (status, [("x-why", "closed")], "not today") };
        let layer = acme.webhooks.layer("acme").unwrap();
        let app: Router = Router::new().route("/acme", post(veto).layer(layer));
        let answer = ask(app, acme.request("order.paid", "evt_1")).await;
        assert_eq!(answer.summary(), (status.as_u16(), "not today", None));
        assert_eq!(answer.headers["x-why"], "closed");
        assert!(acme.inbox.all().await.is_empty());
        assert_eq!(acme.webhooks.bytes_in_flight(), 0);
    }
}

#[tokio::test]
async fn the_inner_service_sees_the_verified_request_and_its_answer_is_the_answer() {
    let acme = Acme::start(Form::Layer).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let inner = move |request: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let delivery = request.extensions().get::<Delivery>().unwrap().clone();
            let seen = axum::body::to_bytes(request.into_body(), 1024)
                .await
                .unwrap();
            assert_eq!(seen, delivery.body());
            let event = delivery.event().unwrap();
            (
                StatusCode::ACCEPTED,
                format!("{} noted", event.id().unwrap()),
            )
        }
    };
    let layer = acme.webhooks.layer("acme").unwrap();
    let app: Router = Router::new().route("/acme", post(inner).layer(layer));
    for _ in 0..2 {
        let answer = ask(app.clone(), acme.request("order.paid", "evt_1")).await;
        assert_eq!(answer.summary(), (202, "evt_1 noted", None));
    }
    let mut forged = acme.request("order.paid", "evt_1");
    let zeros = HeaderValue::try_from(format!("v1={}", "0".repeat(64))).unwrap();
    forged.headers_mut().insert("x-acme-signature", zeros);
    assert_eq!(ask(app, forged).await.status, 401);
    // It runs for duplicates too, and never for a forgery.
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(acme.inbox.all().await.len(), 1);
}

#[tokio::test]
async fn no_answer_leaves_before_the_event_is_stored() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        acme.inbox.hold(true);
        let sent = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", "evt_1")));
        soon(acme.inbox.arrived(1)).await;
        turns().await;
        assert!(
            !sent.is_finished(),
            "{form:?}: answered before it was stored"
        );
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
        acme.inbox.hold(false);
        assert_eq!(soon(sent).await.unwrap().summary(), ACCEPTED, "{form:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_the_last_byte_changes_nothing() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        acme.inbox.hold(true);
        let sent = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", "evt_1")));
        soon(acme.inbox.arrived(1)).await;
        sent.abort();
        assert!(sent.await.unwrap_err().is_cancelled(), "{form:?}");
        acme.inbox.hold(false);
        let run = soon(acme.runs.next()).await;
        assert_eq!(run.event_id, "evt_1", "{form:?}");
        assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}");
    }
}

#[tokio::test]
async fn an_event_is_handed_over_in_the_moment_its_last_byte_is_there() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        // Polled once, and gone.
        tokio::select! {
            biased;
            answer = acme.ask(acme.request("order.paid", "evt_1")) => panic!("{answer:?}"),
            () = std::future::ready(()) => {}
        }
        let run = soon(acme.runs.next()).await;
        assert_eq!(run.event_id, "evt_1", "{form:?}");
    }
}
