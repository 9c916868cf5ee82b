//! What handlers can rely on: each on its own, every event, every tenant apart.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::extract::State;
use http::HeaderValue;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tower_webhooks::{
    Attempt, Endpoint, Event, EventRouter, Handler, HandlerError, Job, RejectionKind, Retry,
    SecretSource, Secrets, Tenant, Text, testing::Run,
};
use tower_webhooks_inbox::{EventState, JobState};
use tower_webhooks_tests::{Acme, Figures, Form, NO, YES, acme, ask, soon};

async fn panics(_: Job) {
    panic!("this handler always panics")
}

async fn errs(_: Job) -> Result<(), HandlerError> {
    Err(HandlerError::msg("the ledger is away"))
}

async fn gives_up(_: Job) -> Result<(), HandlerError> {
    Err(HandlerError::permanent("no such account"))
}

async fn hangs(_: Job) {
    pending::<()>().await;
}

async fn works(_: Job) {}

/// The next `count` ended jobs, by handler.
async fn next(acme: &Acme, count: usize) -> BTreeMap<String, Run> {
    let mut runs = BTreeMap::new();
    for _ in 0..count {
        let run = soon(acme.runs.next()).await;
        let before = runs.insert(run.handler.to_string(), run);
        assert_eq!(before, None, "a handler ran twice");
    }
    runs
}

#[tokio::test]
async fn a_handler_that_panics_hangs_or_errs_leaves_the_others_alone() {
    let one = NonZeroUsize::MIN;
    let limit = Duration::from_millis(20);
    let figures = Figures::new();
    let _counting = figures.set();
    let events = EventRouter::new()
        .on(
            "order.paid",
            panics.named("panics").retry(Retry::none()).concurrency(one),
        )
        .on(
            "order.*",
            hangs
                .named("hangs")
                .timeout(limit)
                .retry(Retry::none())
                .concurrency(one),
        )
        .on(
            "*",
            errs.named("errs").retry(Retry::none()).concurrency(one),
        )
        .on("order.paid", gives_up.named("gives-up").concurrency(one))
        .on("order.paid", works.named("works").concurrency(one));
    let acme = Acme::with_events(Form::Terminal, events).await;
    for id in ["evt_1", "evt_2"] {
        assert_eq!(acme.ask(acme.request("order.paid", id)).await.status, 200);
        let runs = next(&acme, 5).await;
        assert_eq!(runs["works"].error, None);
        assert_eq!(runs["errs"].error.as_deref(), Some("the ledger is away"));
        assert_eq!(runs["gives-up"].error.as_deref(), Some("no such account"));
        assert!(runs["panics"].error.as_deref().unwrap().contains("panic"));
        assert!(runs["hangs"].error.is_some());
        assert!(
            runs.values()
                .all(|run| run.event_id == id && run.attempt == 1)
        );
    }
    for (handler, outcome) in [
        ("errs", "dead"),
        ("gives-up", "dead"),
        ("hangs", "timeout"),
        ("panics", "panic"),
        ("works", "done"),
    ] {
        let metric = format!(
            r#"webhooks_attempts_total{{endpoint="acme",handler="{handler}",outcome="{outcome}"}}"#
        );
        assert_eq!(figures.of(&metric), 2.0, "{metric}");
    }
}

#[tokio::test]
async fn a_handler_that_hangs_for_ever_does_not_keep_others_from_later_events() {
    let one = NonZeroUsize::MIN;
    let events = EventRouter::new()
        .on("order.paid", hangs.named("hangs").concurrency(one))
        .on("order.paid", works.named("works").concurrency(one));
    let acme = Acme::with_events(Form::Terminal, events).await;
    for number in 0..50 {
        let id = format!("evt_{number}");
        assert_eq!(acme.ask(acme.request("order.paid", &id)).await.status, 200);
        let run = soon(acme.runs.next()).await;
        assert_eq!(
            (run.handler.as_str(), run.event_id.as_str()),
            ("works", id.as_str())
        );
    }
}

#[tokio::test]
async fn one_that_fails_five_times_runs_six_times_and_the_other_once() {
    let (tries, calls) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (tried, called) = (Arc::clone(&tries), Arc::clone(&calls));
    let flaky = move |attempt: Attempt| {
        tried.fetch_add(1, Ordering::SeqCst);
        async move {
            if attempt.number <= 5 {
                return Err(HandlerError::msg("not yet"));
            }
            Ok(())
        }
    };
    let steady = move |_: Job| {
        called.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let events = EventRouter::new()
        .on(
            "order.paid",
            flaky.named("flaky").retry(Retry::fixed(Duration::ZERO)),
        )
        .on("order.paid", steady.named("steady"));
    let acme = Acme::with_events(Form::Terminal, events).await;
    acme.ask(acme.request("order.paid", "evt_1")).await;
    let runs = next(&acme, 2).await;
    assert_eq!((runs["flaky"].attempt, &runs["flaky"].error), (6, &None));
    assert_eq!((runs["steady"].attempt, &runs["steady"].error), (1, &None));
    assert_eq!(tries.load(Ordering::SeqCst), 6);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    for job in &acme.inbox.all().await[0].jobs {
        assert_eq!(job.state, JobState::Done, "{}", job.handler);
        assert_eq!(job.attempts, if job.handler == "flaky" { 6 } else { 1 });
    }
}

#[tokio::test]
async fn a_handler_that_fails_to_the_last_attempt_is_dead_and_told() {
    let figures = Figures::new();
    let _counting = figures.set();
    let three = Retry::fixed(Duration::ZERO).max_attempts(NonZeroU32::new(3).unwrap());
    let events = EventRouter::new().on("order.paid", errs.retry(three));
    let acme = Acme::with_events(Form::Terminal, events).await;
    acme.ask(acme.request("order.paid", "evt_1")).await;
    let run = soon(acme.runs.next()).await;
    assert_eq!(run.attempt, 3);
    assert_eq!(run.error.as_deref(), Some("the ledger is away"));
    let stored = acme.inbox.all().await;
    assert_eq!(stored[0].jobs[0].state, JobState::Dead);
    assert_eq!(
        stored[0].jobs[0].last_error.as_deref(),
        Some("the ledger is away")
    );
    let dead = r#"webhooks_dead_total{endpoint="acme",handler="order.paid"}"#;
    assert_eq!(figures.of(dead), 1.0);
}

#[tokio::test]
async fn the_fallback_runs_only_where_nothing_matched() {
    let events = EventRouter::new()
        .on("order.*", works.named("orders"))
        .on("order.paid", works.named("paid"))
        .fallback(works);
    let acme = Acme::with_events(Form::Terminal, events).await;
    for (event_type, expected) in [
        ("order.paid", vec!["orders", "paid"]),
        ("order.lost", vec!["orders"]),
        ("orders", vec!["fallback"]),
        ("refund.paid", vec!["fallback"]),
    ] {
        acme.ask(acme.request(event_type, event_type)).await;
        let runs = next(&acme, expected.len()).await;
        assert_eq!(
            runs.into_keys().collect::<Vec<_>>(),
            expected,
            "{event_type}"
        );
    }
    let jobs: usize = acme
        .inbox
        .all()
        .await
        .iter()
        .map(|record| record.jobs.len())
        .sum();
    assert_eq!(jobs, 5);
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only its decoding is looked at")]
struct Order {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only its decoding is looked at")]
struct Line {
    amount: u32,
}

#[tokio::test]
async fn a_payload_that_does_not_decode_is_dead_at_once_with_its_path_and_without_its_value() {
    let typed = |_: Event<Order>| async {};
    let events = EventRouter::new()
        .on("order.paid", typed)
        .on("order.paid", works.named("works"));
    let acme = Acme::with_events(Form::Terminal, events).await;
    let text = r#"{"type":"order.paid","id":"evt_1","data":{"lines":[{"amount":1},{"amount":"a-private-value"}]}}"#;
    assert_eq!(
        acme.ask(acme.signed(text)).await.summary(),
        (200, YES, None)
    );
    let runs = next(&acme, 2).await;
    assert_eq!(runs["works"].error, None);
    let run = &runs["order.paid"];
    let error = run.error.as_deref().unwrap();
    assert_eq!(run.attempt, 1);
    assert!(error.contains("`lines[1].amount`"), "{error}");
    assert!(error.contains("expected u32"), "{error}");
    assert!(!error.contains("private"), "{error}");
}

/// Each tenant has a secret of its own.
struct PerTenant;

impl SecretSource for PerTenant {
    fn key(&self, parts: &http::request::Parts) -> Option<Text> {
        parts.headers.get("x-tenant")?.to_str().ok().map(Text::from)
    }

    async fn look_up(
        &self,
        key: Text,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        let secrets = Secrets::new(format!("the-secret-of-{key}"))?;
        Ok(Some(Tenant::new(key, secrets)))
    }
}

#[tokio::test]
async fn tenants_share_neither_secrets_nor_events() {
    for form in Form::BOTH {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let events = EventRouter::new().on("order.paid", move |event: Event<serde_json::Value>| {
            tell.send((event.tenant().cloned(), event.id().clone()))
                .unwrap();
            async {}
        });
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |_| Endpoint::multi_tenant("acme", acme(), PerTenant).events(events),
        )
        .await;
        let send = async |tenant: &'static str, secret: &str, twist: &str| {
            let sender = Acme::sender(secret, &acme.clock);
            let body = format!(r#"{{"type":"order.paid","id":"evt_1","data":"{twist}"}}"#);
            let mut request = sender.request(body).unwrap();
            let value = HeaderValue::from_static(tenant);
            request.headers_mut().insert("x-tenant", value);
            ask(acme.app.clone(), request).await
        };

        // One id, two bodies: in one tenant that would be a conflict.
        let yes = (200, YES, None);
        assert_eq!(
            send("ann", "the-secret-of-ann", "1").await.summary(),
            yes,
            "{form:?}"
        );
        assert_eq!(
            send("bob", "the-secret-of-bob", "2").await.summary(),
            yes,
            "{form:?}"
        );
        let mut handled = BTreeSet::new();
        for _ in 0..2 {
            let (tenant, id) = soon(told.recv()).await.unwrap();
            handled.insert((tenant.unwrap().to_string(), id.to_string()));
        }
        let expected = ["ann", "bob"].map(|tenant| (tenant.to_owned(), "evt_1".to_owned()));
        assert_eq!(handled, BTreeSet::from(expected), "{form:?}");

        let wrong = Some(RejectionKind::SignatureMismatch);
        let crossed = send("bob", "the-secret-of-ann", "1").await;
        assert_eq!(crossed.summary(), (401, NO, wrong), "{form:?}");
        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), 2, "{form:?}");
        assert!(
            stored
                .iter()
                .all(|record| record.event.state == EventState::Routed)
        );
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_handled_before_a_drain_ends() {
    for form in Form::BOTH {
        let handled = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let count = |State((gate, handled)): State<(Arc<Semaphore>, Arc<AtomicU32>)>,
                     _: Event<serde_json::Value>| async move {
            gate.acquire().await.unwrap().forget();
            handled.fetch_add(1, Ordering::SeqCst);
        };
        let state = (Arc::clone(&gate), Arc::clone(&handled));
        let events = EventRouter::new()
            .on(
                "order.paid",
                count.concurrency(NonZeroUsize::new(8).unwrap()),
            )
            .with_state(state);
        let acme = Acme::with_events(form, events).await;
        let mut acknowledged = 0;
        for number in 0..300 {
            let id = format!("evt_{number}");
            if number == 200 {
                acme.webhooks.stop_accepting();
            }
            let answer = acme.ask(acme.request("order.paid", &id)).await;
            match answer.status.as_u16() {
                200 => acknowledged += 1,
                status => assert_eq!((status, number >= 200), (503, true), "{form:?}"),
            }
        }
        assert_eq!(acknowledged, 200, "{form:?}");
        gate.add_permits(300);
        let report = soon(acme.webhooks.drain(Duration::from_secs(8))).await;
        assert_eq!(handled.load(Ordering::SeqCst), acknowledged, "{form:?}");
        assert_eq!((report.released, report.dropped), (0, 0), "{form:?}");
    }
}
