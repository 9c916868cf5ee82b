//! The table of answers, row by row, in both forms of mounting.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, routing::post};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use tokio::time::Instant;
use tower_webhooks::{
    Delivery, Endpoint, Provider, RejectionKind, Secrets, SecretSource, Tenant, Text, Webhooks,
    providers, testing::Sender,
};
use tower_webhooks_inbox::{CommitterOptions, EventState, InboxErrorKind, JobState};
use tower_webhooks_tests::{
    Acme, Answered, FaultyInbox, Figures, Form, NO, SECRET, YES, acme, ask, body, soon,
};

const ACCEPTED: (u16, &str, Option<RejectionKind>) = (200, YES, None);

fn refused(status: u16, kind: RejectionKind) -> (u16, &'static str, Option<RejectionKind>) {
    let body = if status == 401 { NO } else { "" };
    (status, body, Some(kind))
}

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
        assert_eq!(stored[0].event.body_bytes, body("order.paid", "evt_1").len() as u64);
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
        assert_eq!(figures.of(r#"webhooks_accepted_total{endpoint="acme"}"#), 1.0);
        assert_eq!(figures.of(r#"webhooks_duplicate_total{endpoint="acme"}"#), 1.0);
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
        assert_eq!(acme.ask(acme.signed(other)).await.summary(), ACCEPTED, "{form:?}");

        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), 2, "{form:?}");
        assert_eq!(stored[1].event.state, EventState::Conflict);
        assert!(stored[1].jobs.is_empty(), "{form:?}");
        assert_eq!(stored[1].event.body.as_deref(), Some(other.as_bytes()));
        assert_eq!(figures.of(r#"webhooks_conflict_total{endpoint="acme"}"#), 1.0);
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
        assert_eq!(figures.of(r#"webhooks_unhandled_total{endpoint="acme"}"#), 1.0);
    }
}

type Change = fn(&Acme, &mut Request);

/// What is wrong with an otherwise good request, and its kind.
const FORGERIES: [(&str, RejectionKind, Change); 14] = [
    ("no signature", RejectionKind::SignatureMissing, |_, request| {
        request.headers_mut().remove("x-acme-signature");
    }),
    ("no prefix", RejectionKind::SignatureMalformed, |_, request| {
        signature(request, |text| text.replace("v1=", ""));
    }),
    ("another version", RejectionKind::SignatureMalformed, |_, request| {
        signature(request, |text| text.replace("v1=", "v2="));
    }),
    ("truncated digest", RejectionKind::SignatureMalformed, |_, request| {
        signature(request, |text| text[..text.len() - 2].to_owned());
    }),
    ("digest too long", RejectionKind::SignatureMalformed, |_, request| {
        signature(request, |text| text.to_owned() + "00");
    }),
    ("no hexadecimal digits", RejectionKind::SignatureMalformed, |_, request| {
        signature(request, |text| format!("v1={}", "g".repeat(text.len() - 3)));
    }),
    ("bytes that are no text", RejectionKind::SignatureMalformed, |_, request| {
        let value = HeaderValue::from_bytes(b"v1=\xe9").unwrap();
        request.headers_mut().insert("x-acme-signature", value);
    }),
    ("another digest", RejectionKind::SignatureMismatch, |_, request| {
        signature(request, |text| format!("v1={}", "a".repeat(text.len() - 3)));
    }),
    ("one byte changed", RejectionKind::SignatureMismatch, |_, request| {
        *request.body_mut() = Body::from(body("order.paid", "evt_2"));
    }),
    ("repeated", RejectionKind::SignatureRepeated, |_, request| {
        let value = request.headers()["x-acme-signature"].clone();
        request.headers_mut().append("x-acme-signature", value);
    }),
    ("no timestamp", RejectionKind::TimestampMissing, |_, request| {
        request.headers_mut().remove("x-acme-timestamp");
    }),
    ("a signed number", RejectionKind::TimestampMalformed, |_, request| {
        let text = format!("+{}", request.headers()["x-acme-timestamp"].to_str().unwrap());
        request
            .headers_mut()
            .insert("x-acme-timestamp", text.parse().unwrap());
    }),
    ("301 s old", RejectionKind::TimestampStale, |acme, _| {
        acme.clock.advance(Duration::from_secs(301));
    }),
    ("301 s ahead", RejectionKind::TimestampFuture, |acme, request| {
        acme.clock.advance(Duration::from_secs(301));
        *request = acme.request("order.paid", "evt_1");
        let now = tower_webhooks::Clock::now(&acme.clock);
        acme.clock.set(now - Duration::from_secs(301));
    }),
];

fn signature(request: &mut Request, change: impl FnOnce(&str) -> String) {
    let value = &request.headers()["x-acme-signature"];
    let changed = change(value.to_str().unwrap()).parse().unwrap();
    request.headers_mut().insert("x-acme-signature", changed);
}

#[tokio::test]
async fn everything_that_is_not_authentic_gets_one_and_the_same_401() {
    for form in Form::BOTH {
        let mut first: Option<Answered> = None;
        for (what, kind, change) in FORGERIES {
            let figures = Figures::new();
            let _counting = figures.set();
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            change(&acme, &mut request);
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), refused(401, kind), "{form:?}, {what}");
            assert!(acme.inbox.all().await.is_empty(), "{form:?}, {what}");
            let metric = format!(r#"webhooks_rejected_total{{endpoint="acme",kind="{kind}"}}"#);
            assert_eq!(figures.of(&metric), 1.0, "{form:?}, {what}");

            let seen = Answered { kind: None, ..answer };
            let same = first.get_or_insert_with(|| seen.clone());
            assert_eq!(*same, seen, "{form:?}, {what}");
        }
    }
}

#[tokio::test]
async fn the_edge_of_the_window_is_inside() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let (old, ahead) = (acme.request("order.paid", "old"), {
            acme.clock.advance(Duration::from_secs(600));
            acme.request("order.paid", "ahead")
        });
        let now = tower_webhooks::Clock::now(&acme.clock);
        acme.clock.set(now - Duration::from_secs(300));
        assert_eq!(acme.ask(old).await.summary(), ACCEPTED, "{form:?}");
        assert_eq!(acme.ask(ahead).await.summary(), ACCEPTED, "{form:?}");
    }
}

#[tokio::test]
async fn an_uppercase_digest_and_the_secret_before_pass() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |_| {
                let secrets = Secrets::new("the-next-secret-of-acme").unwrap();
                let secrets = secrets.with_previous(SECRET).unwrap();
                Endpoint::new("acme", acme(), secrets)
            },
        )
        .await;
        let mut request = acme.request("order.paid", "evt_1");
        signature(&mut request, |text| text.to_uppercase().replace("V1=", "v1="));
        assert_eq!(acme.ask(request).await.summary(), ACCEPTED, "{form:?}");
        let label = acme.inbox.all().await[0].event.secret_label.clone();
        assert_eq!(label.as_deref(), Some("previous"), "{form:?}");
    }
}

#[tokio::test]
async fn every_preset_refuses_with_one_body_of_its_own() {
    let presets: [(Provider, &str); 5] = [
        (providers::cryptomate(), "a-key-of-cryptomate"),
        (providers::devdraft(), "a-secret-of-devdraft"),
        (providers::m2m(), "a-secret-of-m2m"),
        (providers::monterrey(), "whsec_of_monterrey"),
        (providers::mppcash(), "a-secret-of-mppcash"),
    ];
    for (provider, secret) in presets {
        for form in Form::BOTH {
            let name = provider.name().clone();
            let endpoint =
                Endpoint::new(name.clone(), provider.clone(), Secrets::new(secret).unwrap());
            let webhooks = Webhooks::start(FaultyInbox::new(), [endpoint]).await.unwrap();
            let app = form.mount(&webhooks, &name);
            let to = format!("/{name}");
            let sample = provider.events().list[0].sample.clone().unwrap();
            let sample = Bytes::copy_from_slice(sample.as_bytes());
            let signed = |secret| {
                let sender = Sender::new(provider.clone(), secret).unwrap().to(&to);
                sender.request(sample.clone()).unwrap()
            };
            let signature = provider.scheme().header();
            let good = ask(app.clone(), signed(secret)).await;
            let acknowledge = &provider.answers().acknowledge;
            assert_eq!(
                good.summary(),
                (acknowledge.status, acknowledge.body.as_str(), None),
                "{name}, {form:?}"
            );

            let mut missing = signed(secret);
            missing.headers_mut().remove(signature);
            let mut repeated = signed(secret);
            let again = repeated.headers()[signature].clone();
            repeated.headers_mut().append(signature, again);
            for (request, kind) in [
                (missing, RejectionKind::SignatureMissing),
                (repeated, RejectionKind::SignatureRepeated),
                (signed("the-secret-of-another"), RejectionKind::SignatureMismatch),
            ] {
                let answer = ask(app.clone(), request).await;
                let body = provider.answers().refuse.body.as_str();
                assert_eq!(answer.summary(), (401, body, Some(kind)), "{name}, {form:?}");
            }
        }
    }
}

/// A body that counts how many frames of 1 KiB were taken, and never ends.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 1024])))))
    }
}

fn endless(mut request: Request) -> (Request, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    *request.body_mut() = Body::new(Endless(Arc::clone(&taken)));
    (request, taken)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_only_for_who_may_be_the_provider() {
    let declare = |request: &mut Request| {
        let length = HeaderValue::from_static("35184372088832");
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
    };
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |endpoint| endpoint.with_max_body_bytes(10 * 1024),
        )
        .await;

        let (mut declared, taken) = endless(acme.request("order.paid", "evt_1"));
        declare(&mut declared);
        let answer = acme.ask(declared).await;
        assert_eq!(answer.summary(), refused(413, RejectionKind::BodyTooLarge), "{form:?}");
        assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}");

        let (actual, taken) = endless(acme.request("order.paid", "evt_1"));
        let answer = acme.ask(actual).await;
        assert_eq!(answer.summary(), refused(413, RejectionKind::BodyTooLarge), "{form:?}");
        assert_eq!(taken.load(Ordering::Relaxed), 11, "{form:?}");

        for declared in [true, false] {
            for (what, kind, change) in FORGERIES {
                if kind == RejectionKind::SignatureMismatch {
                    continue; // only the whole body tells
                }
                let acme = Acme::start(form).await;
                let mut request = acme.request("order.paid", "evt_1");
                change(&acme, &mut request);
                let (mut request, taken) = endless(request);
                if declared {
                    declare(&mut request);
                }
                let answer = acme.ask(request).await;
                assert_eq!(answer.summary(), refused(401, kind), "{form:?}, {what}");
                assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}, {what}");
            }
        }
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    for form in Form::BOTH {
        let text = body("order.paid", "evt_1");
        for (max, expected) in [
            (text.len(), ACCEPTED),
            (text.len() - 1, refused(413, RejectionKind::BodyTooLarge)),
        ] {
            let acme = Acme::start_with(
                form,
                |builder| builder,
                |endpoint| endpoint.with_max_body_bytes(max),
            )
            .await;
            let answer = acme.ask(acme.signed(text.clone())).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {max}");
        }
    }
}

#[tokio::test]
async fn codings_that_the_provider_does_not_declare_are_415() {
    for form in Form::BOTH {
        for (coding, expected) in [
            ("identity", ACCEPTED),
            ("gzip", refused(415, RejectionKind::ContentEncodingUnsupported)),
            ("1", refused(415, RejectionKind::ContentEncodingUnsupported)),
            ("", refused(415, RejectionKind::ContentEncodingUnsupported)),
        ] {
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            let value = HeaderValue::from_static(coding);
            request.headers_mut().insert(header::CONTENT_ENCODING, value);
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {coding:?}");
            assert_eq!(acme.inbox.all().await.len(), usize::from(expected == ACCEPTED));
        }
    }
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_400() {
    for form in Form::BOTH {
        for (transfer, length, expected) in [
            ("chunked", false, ACCEPTED),
            ("chunked", true, refused(400, RejectionKind::FramingAmbiguous)),
            ("gzip, chunked", false, refused(400, RejectionKind::FramingAmbiguous)),
        ] {
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            let headers = request.headers_mut();
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static(transfer));
            if length {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("55"));
            }
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {transfer}, {length}");
            assert_eq!(acme.inbox.all().await.len(), usize::from(expected == ACCEPTED));
        }
    }
}

#[tokio::test]
async fn other_methods_are_405_and_told_which_one_is_allowed() {
    let post_in_lower_case = Method::from_bytes(b"post").unwrap();
    for form in Form::BOTH {
        for method in [
            Method::DELETE,
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::PUT,
            post_in_lower_case.clone(),
        ] {
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            *request.method_mut() = method.clone();
            let answer = acme.ask(request).await;
            let expected = refused(405, RejectionKind::MethodNotAllowed);
            assert_eq!(answer.summary(), expected, "{form:?}, {method}");
            assert_eq!(answer.headers[header::ALLOW], "POST", "{form:?}, {method}");
            assert!(acme.inbox.all().await.is_empty(), "{form:?}, {method}");
        }
    }
}

/// A body that gives these bytes and then breaks off, or stays silent.
struct Unfinished {
    bytes: Option<Bytes>,
    breaks: bool,
}

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.bytes.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.breaks => Poll::Ready(Some(Err(axum::Error::new("broken off")))),
            None => Poll::Pending,
        }
    }
}

fn unfinished(mut request: Request, text: &str, breaks: bool) -> Request {
    *request.body_mut() = Body::new(Unfinished {
        bytes: Some(Bytes::copy_from_slice(text.as_bytes())),
        breaks,
    });
    request
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400_even_if_all_of_it_came() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let text = body("order.paid", "evt_1");
        let request = unfinished(acme.signed(text.clone()), &text, true);
        let answer = acme.ask(request).await;
        assert_eq!(answer.summary(), refused(400, RejectionKind::BodyIncomplete), "{form:?}");
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_408_at_its_deadline() {
    for form in Form::BOTH {
        for deadline in [None, Some(Duration::from_secs(2))] {
            let acme = Acme::start_with(
                form,
                |builder| builder,
                |endpoint| match deadline {
                    Some(deadline) => endpoint.with_body_deadline(deadline),
                    None => endpoint,
                },
            )
            .await;
            let text = body("order.paid", "evt_1");
            let began = Instant::now();
            let request = unfinished(acme.signed(text.clone()), &text, false);
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), refused(408, RejectionKind::BodyTimeout), "{form:?}");
            let took = began.elapsed();
            let limit = deadline.unwrap_or(Duration::from_secs(10));
            assert!(took >= limit && took < limit + Duration::from_millis(10), "{took:?}");
            assert!(acme.inbox.all().await.is_empty(), "{form:?}");
        }
    }
}

fn assert_come_back(answer: &Answered, kind: RejectionKind, form: Form) {
    assert_eq!(answer.summary(), refused(503, kind), "{form:?}");
    assert_eq!(answer.headers[header::RETRY_AFTER], "5", "{form:?}");
}

#[tokio::test]
async fn a_receiver_that_is_stopping_says_503_and_forgeries_stay_401() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        acme.webhooks.stop_accepting();
        assert!(!acme.webhooks.is_accepting());
        let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
        assert_come_back(&answer, RejectionKind::Draining, form);
        let mut forged = acme.request("order.paid", "evt_1");
        forged.headers_mut().remove("x-acme-signature");
        let answer = acme.ask(forged).await;
        assert_eq!(answer.summary(), refused(401, RejectionKind::SignatureMissing));
        assert!(acme.inbox.all().await.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn an_inbox_that_is_away_or_full_is_503_and_the_redelivery_passes() {
    for form in Form::BOTH {
        for kind in [InboxErrorKind::Full, InboxErrorKind::Unavailable, InboxErrorKind::Data] {
            let acme = Acme::start(form).await;
            acme.inbox.fail(Some(kind));
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_come_back(&answer, RejectionKind::InboxUnavailable, form);
            assert!(acme.inbox.all().await.is_empty(), "{form:?}, {kind:?}");

            acme.inbox.fail(None);
            let answer = acme.ask(acme.request("order.paid", "evt_1")).await;
            assert_eq!(answer.summary(), ACCEPTED, "{form:?}, {kind:?}");
            assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}, {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_full_queue_before_the_inbox_is_503() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| {
                let one = CommitterOptions::new()
                    .with_max_batch_events(1)
                    .with_max_queued_events(1);
                builder.with_committer(one)
            },
            |endpoint| endpoint,
        )
        .await;
        acme.inbox.hold(true);
        let stored = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", "stored")));
        soon(acme.inbox.arrived(1)).await;
        let mut queued = Vec::new();
        // The committer may hold one beside the queue's one.
        let overflow = loop {
            let id = format!("queued-{}", queued.len());
            let mut sent = tokio::spawn(ask(acme.app.clone(), acme.request("order.paid", &id)));
            tokio::select! {
                biased;
                answer = &mut sent => break answer.unwrap(),
                () = turns() => queued.push(sent),
            }
            assert!(queued.len() <= 2, "{form:?}: the queue has no bound");
        };
        assert_come_back(&overflow, RejectionKind::InboxUnavailable, form);

        acme.inbox.hold(false);
        assert_eq!(soon(stored).await.unwrap().summary(), ACCEPTED, "{form:?}");
        for waiting in queued {
            assert_eq!(soon(waiting).await.unwrap().summary(), ACCEPTED, "{form:?}");
        }
    }
}

/// Lets every other task of this runtime run as far as it can.
async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bodies_beyond_the_cap_of_all_bytes_in_flight_are_503() {
    for form in Form::BOTH {
        let text = body("order.paid", "evt_1");
        let acme = Acme::start_with(
            form,
            |builder| builder.with_max_bytes_in_flight(2 * text.len() - 1),
            |endpoint| endpoint,
        )
        .await;
        acme.inbox.hold(true);
        let first = tokio::spawn(ask(acme.app.clone(), acme.signed(text.clone())));
        soon(acme.inbox.arrived(1)).await;
        assert_eq!(acme.webhooks.bytes_in_flight(), text.len(), "{form:?}");
        let beyond = acme.ask(acme.request("order.paid", "evt_2")).await;
        assert_come_back(&beyond, RejectionKind::Overloaded, form);

        acme.inbox.hold(false);
        assert_eq!(soon(first).await.unwrap().summary(), ACCEPTED, "{form:?}");
        assert_eq!(acme.webhooks.bytes_in_flight(), 0, "{form:?}");
        let again = acme.ask(acme.request("order.paid", "evt_2")).await;
        assert_eq!(again.summary(), ACCEPTED, "{form:?}");
    }
}

/// Knows one tenant, fails for another, and never answers for a third.
struct Tenants;

impl SecretSource for Tenants {
    fn key(&self, parts: &http::request::Parts) -> Option<Text> {
        parts.headers.get("x-tenant")?.to_str().ok().map(Text::from)
    }

    async fn look_up(
        &self,
        key: Text,
    ) -> Result<Option<Tenant>, Box<dyn std::error::Error + Send + Sync>> {
        match key.as_str() {
            "known" => Ok(Some(Tenant::new(key, Secrets::new(SECRET)?))),
            "broken" => Err("the table of tenants is locked".into()),
            "slow" => std::future::pending().await,
            _ => Ok(None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_fails_is_503_a_slow_one_after_a_second_and_an_unknown_tenant_401() {
    for form in Form::BOTH {
        let acme = Acme::start_with(
            form,
            |builder| builder,
            |_| Endpoint::multi_tenant("acme", acme(), Tenants),
        )
        .await;
        for (tenant, expected) in [
            (Some("known"), ACCEPTED),
            (Some("broken"), refused(503, RejectionKind::SecretLookupFailed)),
            (Some("slow"), refused(503, RejectionKind::SecretLookupFailed)),
            (Some("nobody"), refused(401, RejectionKind::TenantUnknown)),
            (None, refused(401, RejectionKind::TenantUnknown)),
        ] {
            let mut request = acme.request("order.paid", "evt_1");
            if let Some(tenant) = tenant {
                let value = HeaderValue::from_static(tenant);
                request.headers_mut().insert("x-tenant", value);
            }
            // Whatever is refused is refused with its body unread.
            let (request, taken) = if expected == ACCEPTED {
                (request, Arc::default())
            } else {
                endless(request)
            };
            let began = Instant::now();
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {tenant:?}");
            assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), expected.0 == 503);
            assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}, {tenant:?}");
            let waited = began.elapsed().as_secs();
            assert_eq!(waited, u64::from(tenant == Some("slow")), "{form:?}, {tenant:?}");
        }
        assert_eq!(acme.inbox.all().await.len(), 1, "{form:?}");
    }
}

#[tokio::test]
async fn an_authentic_body_that_is_unusable_is_kept_with_its_reason() {
    for form in Form::BOTH {
        let acme = Acme::start(form).await;
        let unusable = ["Hello, World!", "", r#"{"id":"evt_1"}"#, r#"{"type":7}"#, "[[[["];
        for text in unusable {
            let answer = acme.ask(acme.signed(text)).await;
            assert_eq!(answer.summary(), ACCEPTED, "{form:?}, {text:?}");
        }
        let again = acme.ask(acme.signed(unusable[0])).await;
        assert_eq!(again.summary(), ACCEPTED, "{form:?}");

        let stored = acme.inbox.all().await;
        assert_eq!(stored.len(), unusable.len(), "{form:?}");
        for (record, text) in stored.iter().zip(unusable) {
            assert_eq!(record.event.state, EventState::Unusable, "{form:?}, {text:?}");
            assert_eq!(record.event.body.as_deref(), Some(text.as_bytes()), "{form:?}");
            assert!(!record.event.unusable.as_deref().unwrap().is_empty(), "{form:?}");
            assert!(record.jobs.is_empty(), "{form:?}, {text:?}");
        }
    }
}

#[tokio::test]
async fn an_inner_answer_other_than_2xx_passes_and_nothing_is_stored() {
    for status in [StatusCode::FOUND, StatusCode::CONFLICT, StatusCode::BAD_GATEWAY] {
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
            let seen = axum::body::to_bytes(request.into_body(), 1024).await.unwrap();
            assert_eq!(seen, delivery.body());
            let event = delivery.event().unwrap();
            (StatusCode::ACCEPTED, format!("{} noted", event.id().unwrap()))
        }
    };
    let layer = acme.webhooks.layer("acme").unwrap();
    let app: Router = Router::new().route("/acme", post(inner).layer(layer));
    for _ in 0..2 {
        let answer = ask(app.clone(), acme.request("order.paid", "evt_1")).await;
        assert_eq!(answer.summary(), (202, "evt_1 noted", None));
    }
    let mut forged = acme.request("order.paid", "evt_1");
    signature(&mut forged, |text| format!("v1={}", "a".repeat(text.len() - 3)));
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
        assert!(!sent.is_finished(), "{form:?}: answered before it was stored");
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
