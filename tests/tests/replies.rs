//! Answers that a reply handler decides: one for each event, within its time.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, body::Body};
use http::{Request, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};
use tower_webhooks::{
    Decide, Endpoint, Event, EventRouter, HandlerError, Job, RejectionKind, Reply, Secrets,
    Webhooks, providers,
    testing::{Runs, Sender},
};
use tower_webhooks_inbox::{DecidedBy, EventState, InboxErrorKind, RecordedReply};
use tower_webhooks_tests::{FaultyInbox, Figures, Form, Server, ask, head_of, soon, turns};

const KEY: &str = "the-webhook-key-of-the-cards";
const AUTHORIZATION: &str = "cards.authorization.pending";
const DECLINE: &str = r#"{"code":"05"}"#;

#[derive(Deserialize)]
struct Bill {
    bill_amount: f64,
}

struct Cards {
    inbox: FaultyInbox,
    webhooks: Webhooks,
    runs: Runs,
    app: Router,
}

impl Cards {
    async fn start(form: Form, events: EventRouter) -> Self {
        let (inbox, runs) = (FaultyInbox::new(), Runs::new());
        let secrets = Secrets::new(KEY).unwrap();
        let endpoint = Endpoint::new("cards", providers::cryptomate(), secrets).events(events);
        let webhooks = runs
            .watch(Webhooks::builder())
            .start(inbox.clone(), [endpoint])
            .await
            .unwrap();
        Self {
            app: form.mount(&webhooks, "cards"),
            inbox,
            webhooks,
            runs,
        }
    }

    /// The reply recorded for the only event.
    async fn recorded(&self) -> RecordedReply {
        let stored = self.inbox.all().await;
        assert_eq!(stored.len(), 1);
        stored[0].event.reply.clone().unwrap()
    }
}

fn request(body: &Value) -> Request<Body> {
    let sender = Sender::new(providers::cryptomate(), KEY)
        .unwrap()
        .to("/cards");
    sender.request(body.to_string()).unwrap()
}

fn authorization(amount: f64) -> Value {
    json!({
        "product": "cards", "event_type": "authorization", "status": "pending",
        "operation_id": "op_1", "data": { "card_id": "card_1", "bill_amount": amount },
    })
}

fn decline() -> Json<Value> {
    Json(json!({ "code": "05" }))
}

/// Counts how often it was asked, and tells its count.
fn counting(thinks_for: Duration) -> (Arc<AtomicUsize>, impl Decide<(Event<Bill>,), ()>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let decide = move |event: Event<Bill>| {
        let decision = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(thinks_for).await;
            Json(json!({ "code": "00", "decision": decision, "amount": event.data.bill_amount }))
        }
    };
    (asked, decide)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_redeliveries_at_once_get_one_decision() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::from_millis(100));
        let events = EventRouter::new().reply(AUTHORIZATION, decide.or_default(decline()));
        let cards = Cards::start(form, events).await;
        let server = Server::start(cards.app.clone()).await;
        let address = server.address;
        let redeliveries: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn(async move {
                    let (head, body) = head_of(request(&authorization(9.5))).await;
                    let mut wire = tower_webhooks_tests::Wire::connect(address).await;
                    let length = body.len();
                    wire.send(format!("{head}content-length: {length}\r\n\r\n").as_bytes())
                        .await;
                    wire.send(&body).await;
                    wire.answer().await
                })
            })
            .collect();
        let expected = r#"{"amount":9.5,"code":"00","decision":1}"#;
        for redelivery in redeliveries {
            let answer = soon(redelivery).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{form:?}: {answer}");
            assert!(
                answer.contains("content-type: application/json\r\n"),
                "{form:?}"
            );
            assert!(
                answer.ends_with(&format!("\r\n\r\n{expected}")),
                "{form:?}: {answer}"
            );
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
        let recorded = cards.recorded().await;
        assert_eq!(recorded.by, DecidedBy::Handler, "{form:?}");
        assert_eq!(recorded.reply.body, expected, "{form:?}");
    }
}

#[tokio::test]
async fn a_later_redelivery_gets_the_recorded_answer() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::ZERO);
        let events = EventRouter::new().reply(AUTHORIZATION, decide.or_default(decline()));
        let cards = Cards::start(form, events).await;
        let first = ask(cards.app.clone(), request(&authorization(1.0))).await;
        let again = ask(cards.app.clone(), request(&authorization(1.0))).await;
        assert_eq!(first.status, 200, "{form:?}");
        assert_eq!(first, again, "{form:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_over_its_budget_is_answered_for_in_time_and_on_record() {
    for form in Form::BOTH {
        // The provider's own budget is a second.
        for (budget, limit) in [(None, 1_000), (Some(200), 200)] {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&asked);
            let hangs = move |_: Event<Bill>| {
                count.fetch_add(1, Ordering::SeqCst);
                pending::<Reply>()
            };
            let mut reply = hangs.or_default(decline());
            if let Some(budget) = budget {
                reply = reply.within(Duration::from_millis(budget));
            }
            let events = EventRouter::new().reply(AUTHORIZATION, reply);
            let cards = Cards::start(form, events).await;
            let began = Instant::now();
            let answer = ask(cards.app.clone(), request(&authorization(1.0))).await;
            assert_eq!(answer.summary(), (200, DECLINE, None), "{form:?}");
            assert!(began.elapsed() < Duration::from_millis(limit), "{form:?}");
            assert!(
                began.elapsed() > Duration::from_millis(limit / 2),
                "{form:?}"
            );

            let recorded = cards.recorded().await;
            assert_eq!(recorded.reply.body, DECLINE, "{form:?}");
            assert!(
                matches!(recorded.by, DecidedBy::Default(_)),
                "{form:?}: {recorded:?}"
            );
            let began = Instant::now();
            let again = ask(cards.app.clone(), request(&authorization(1.0))).await;
            assert_eq!(again, answer, "{form:?}");
            assert_eq!(began.elapsed(), Duration::ZERO, "{form:?}");
            assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
        }
    }
}

async fn panics(_: Event<Bill>) -> Reply {
    panic!("the decision panics")
}

async fn errs(_: Event<Bill>) -> Result<Reply, HandlerError> {
    Err(HandlerError::msg("the limits are away"))
}

async fn asks_for_more(_: Event<u64>) -> Json<Value> {
    Json(json!({ "code": "00" }))
}

async fn speaks_no_http(_: Event<Bill>) -> Reply {
    Reply {
        status: 99,
        content_type: None,
        body: "00".into(),
    }
}

#[tokio::test]
async fn a_handler_that_does_not_decide_is_answered_for_on_record() {
    for form in Form::BOTH {
        let replies = || EventRouter::new();
        for (what, events) in [
            (
                "panicked",
                replies().reply(AUTHORIZATION, panics.or_default(decline())),
            ),
            (
                "the limits are away",
                replies().reply(AUTHORIZATION, errs.or_default(decline())),
            ),
            (
                "",
                replies().reply(AUTHORIZATION, asks_for_more.or_default(decline())),
            ),
            (
                "status",
                replies().reply(AUTHORIZATION, speaks_no_http.or_default(decline())),
            ),
        ] {
            let cards = Cards::start(form, events).await;
            for _ in 0..2 {
                let answer = ask(cards.app.clone(), request(&authorization(1.0))).await;
                assert_eq!(answer.summary(), (200, DECLINE, None), "{form:?}, {what}");
                assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
            }
            match cards.recorded().await.by {
                DecidedBy::Default(reason) => assert!(reason.contains(what), "{reason}"),
                DecidedBy::Handler => panic!("{form:?}, {what}: nobody decided"),
            }
        }
    }
}

#[tokio::test]
async fn the_same_operation_with_another_amount_is_declined_and_kept_apart() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::ZERO);
        let events = EventRouter::new().reply(AUTHORIZATION, decide.or_default(decline()));
        let cards = Cards::start(form, events).await;
        ask(cards.app.clone(), request(&authorization(1.0))).await;
        let other = ask(cards.app.clone(), request(&authorization(1_000_000.0))).await;
        assert_eq!(other.summary(), (200, DECLINE, None), "{form:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
        let stored = cards.inbox.all().await;
        assert_eq!(stored.len(), 2, "{form:?}");
        assert_eq!(stored[1].event.state, EventState::Conflict, "{form:?}");
    }
}

#[tokio::test]
async fn what_is_decided_counts_like_what_is_acknowledged() {
    for form in Form::BOTH {
        let figures = Figures::new();
        let _counting = figures.set();
        let (_, decide) = counting(Duration::ZERO);
        let events = EventRouter::new().reply(AUTHORIZATION, decide.or_default(decline()));
        let cards = Cards::start(form, events).await;
        for amount in [1.0, 1.0, 1.0, 2.0] {
            ask(cards.app.clone(), request(&authorization(amount))).await;
        }
        for (metric, expected) in [("accepted", 2.0), ("duplicate", 2.0), ("conflict", 1.0)] {
            let metric = format!(r#"webhooks_{metric}_total{{endpoint="cards"}}"#);
            assert_eq!(figures.of(&metric), expected, "{form:?}, {metric}");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_changes_nothing() {
    for form in Form::BOTH {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
        let decide = move |_: Event<Bill>| async move {
            tell.notify_one();
            wait.notified().await;
            Json(json!({ "code": "00" }))
        };
        let events = EventRouter::new().reply(
            AUTHORIZATION,
            decide.or_default(decline()).within(Duration::from_secs(60)),
        );
        let cards = Cards::start(form, events).await;
        let sent = tokio::spawn(ask(cards.app.clone(), request(&authorization(1.0))));
        soon(begun.notified()).await;
        sent.abort();
        assert!(sent.await.unwrap_err().is_cancelled(), "{form:?}");
        go_on.notify_one();
        let again = soon(ask(cards.app.clone(), request(&authorization(1.0)))).await;
        assert_eq!(again.summary(), (200, r#"{"code":"00"}"#, None), "{form:?}");
        assert_eq!(cards.recorded().await.by, DecidedBy::Handler, "{form:?}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_as_soon_as_it_has_sent_all_gets_its_decision_recorded() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::ZERO);
        let events = EventRouter::new()
            .reply(AUTHORIZATION, decide.or_default(decline()))
            .on("cards.*", |_: Job| async {});
        let cards = Cards::start(form, events).await;
        // Polled once, and gone.
        tokio::select! {
            biased;
            answer = ask(cards.app.clone(), request(&authorization(1.0))) => panic!("{answer:?}"),
            () = std::future::ready(()) => {}
        }
        soon(cards.runs.next()).await;
        let again = ask(cards.app.clone(), request(&authorization(1.0))).await;
        let expected = r#"{"amount":1.0,"code":"00","decision":1}"#;
        assert_eq!(again.summary(), (200, expected, None), "{form:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
    }
}

#[tokio::test]
async fn an_inbox_that_is_away_decides_nothing() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::ZERO);
        let events = EventRouter::new().reply(AUTHORIZATION, decide.or_default(decline()));
        let cards = Cards::start(form, events).await;
        cards.inbox.fail(Some(InboxErrorKind::Unavailable));
        let answer = ask(cards.app.clone(), request(&authorization(1.0))).await;
        let away = Some(RejectionKind::InboxUnavailable);
        assert_eq!(answer.summary(), (503, "", away), "{form:?}");
        assert_eq!(answer.headers[header::RETRY_AFTER], "5", "{form:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 0, "{form:?}");

        cards.inbox.fail(None);
        let answer = ask(cards.app.clone(), request(&authorization(1.0))).await;
        assert_eq!(answer.status, 200, "{form:?}");
        cards.webhooks.stop_accepting();
        let answer = ask(cards.app.clone(), request(&authorization(1.0))).await;
        let stopping = Some(RejectionKind::Draining);
        assert_eq!(answer.summary(), (503, "", stopping), "{form:?}");
    }
}

#[tokio::test]
async fn replies_and_acknowledgements_mix_on_one_url() {
    for form in Form::BOTH {
        let (asked, decide) = counting(Duration::ZERO);
        let events = EventRouter::new()
            .reply(AUTHORIZATION, decide.or_default(decline()))
            .on("cards.*", |_: Job| async {});
        let cards = Cards::start(form, events).await;

        let decided = ask(cards.app.clone(), request(&authorization(1.0))).await;
        let expected = r#"{"amount":1.0,"code":"00","decision":1}"#;
        assert_eq!(decided.summary(), (200, expected, None), "{form:?}");
        let mut clearing = authorization(1.0);
        clearing["event_type"] = "clearing".into();
        let acknowledged = ask(cards.app.clone(), request(&clearing)).await;
        assert_eq!(acknowledged.summary(), (200, "", None), "{form:?}");

        // The handler sees both, the decision only its own.
        let mut seen = [soon(cards.runs.next()).await, soon(cards.runs.next()).await]
            .map(|run| run.event_type.to_string());
        seen.sort();
        assert_eq!(seen, [AUTHORIZATION, "cards.clearing.pending"], "{form:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{form:?}");
    }
}

/// As long as a handler thinks, its delivery's body is in memory.
#[tokio::test]
async fn bytes_count_for_as_long_as_a_reply_is_being_decided() {
    let decide = |_: Job| async {
        pending::<()>().await;
        Json(json!({ "code": "00" }))
    };
    let default = Json(json!({ "code": "05" }));
    let decide = decide.or_default(default).within(Duration::from_secs(2));
    let events = EventRouter::new().reply(AUTHORIZATION, decide);
    let cards = Cards::start(Form::Terminal, events).await;
    let body = json!({
        "product": "cards", "event_type": "authorization", "status": "pending",
        "operation_id": "op_1", "data": { "note": "x".repeat(500_000) },
    });
    let asked = tokio::spawn(ask(cards.app.clone(), request(&body)));
    while cards.inbox.all().await.is_empty() {
        turns().await;
    }
    turns().await;
    assert!(!asked.is_finished(), "it is being decided");
    let held = cards.webhooks.bytes_in_flight();
    assert!(held >= 500_000, "{held}");
    assert_eq!(asked.await.unwrap().status, 200, "the default");
    cards.webhooks.drain(Duration::from_secs(5)).await;
    assert_eq!(cards.webhooks.bytes_in_flight(), 0, "given back");
}
