//! The table of answers, for what is refused: 401, 413, 415, 400, 405, 408. In
//! both forms of mounting.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body::Frame;
use tokio::time::Instant;
use tower_webhooks::{
    Clock as _, Endpoint, Provider, RejectionKind, Secrets, Webhooks, providers, testing::Sender,
};
use tower_webhooks_tests::{
    ACCEPTED, Acme, Answered, FaultyInbox, Figures, Form, SECRET, acme, ask, body, endless, refused,
};

type Change = fn(&Acme, &mut Request);

/// What is wrong with an otherwise good request, and its kind.
const FORGERIES: [(&str, RejectionKind, Change); 14] = [
    (
        "no signature",
        RejectionKind::SignatureMissing,
        |_, request| {
            request.headers_mut().remove("x-acme-signature");
        },
    ),
    (
        "no prefix",
        RejectionKind::SignatureMalformed,
        |_, request| {
            signature(request, |text| text.replace("v1=", ""));
        },
    ),
    (
        "another version",
        RejectionKind::SignatureMalformed,
        |_, request| {
            signature(request, |text| text.replace("v1=", "v2="));
        },
    ),
    (
        "truncated digest",
        RejectionKind::SignatureMalformed,
        |_, request| {
            signature(request, |text| text.split_at(text.len() - 2).0.to_owned());
        },
    ),
    (
        "digest too long",
        RejectionKind::SignatureMalformed,
        |_, request| {
            signature(request, |text| text.to_owned() + "00");
        },
    ),
    (
        "no hexadecimal digits",
        RejectionKind::SignatureMalformed,
        |_, request| {
            signature(request, |text| format!("v1={}", "g".repeat(text.len() - 3)));
        },
    ),
    (
        "bytes that are no text",
        RejectionKind::SignatureMalformed,
        |_, request| {
            let value = HeaderValue::from_bytes(b"v1=\xe9").unwrap();
            request.headers_mut().insert("x-acme-signature", value);
        },
    ),
    (
        "another digest",
        RejectionKind::SignatureMismatch,
        |_, request| {
            signature(request, |text| format!("v1={}", "a".repeat(text.len() - 3)));
        },
    ),
    (
        "one byte changed",
        RejectionKind::SignatureMismatch,
        |_, request| {
            *request.body_mut() = Body::from(body("order.paid", "evt_2"));
        },
    ),
    (
        "repeated",
        RejectionKind::SignatureRepeated,
        |_, request| {
            let value = request.headers()["x-acme-signature"].clone();
            request.headers_mut().append("x-acme-signature", value);
        },
    ),
    (
        "no timestamp",
        RejectionKind::TimestampMissing,
        |_, request| {
            request.headers_mut().remove("x-acme-timestamp");
        },
    ),
    (
        "a signed number",
        RejectionKind::TimestampMalformed,
        |_, request| {
            let text = format!(
                "+{}",
                request.headers()["x-acme-timestamp"].to_str().unwrap()
            );
            request
                .headers_mut()
                .insert("x-acme-timestamp", text.parse().unwrap());
        },
    ),
    ("301 s old", RejectionKind::TimestampStale, |acme, _| {
        acme.clock.advance(Duration::from_secs(301));
    }),
    (
        "301 s ahead",
        RejectionKind::TimestampFuture,
        |acme, request| {
            acme.clock.advance(Duration::from_secs(301));
            *request = acme.request("order.paid", "evt_1");
            let now = acme.clock.now();
            acme.clock.set(now - Duration::from_secs(301));
        },
    ),
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

            let seen = Answered {
                kind: None,
                ..answer
            };
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
        let now = acme.clock.now();
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
        signature(&mut request, |text| {
            text.to_uppercase().replace("V1=", "v1=")
        });
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
            let endpoint = Endpoint::new(
                name.clone(),
                provider.clone(),
                Secrets::new(secret).unwrap(),
            );
            let webhooks = Webhooks::start(FaultyInbox::new(), [endpoint])
                .await
                .unwrap();
            let app = form.mount(&webhooks, &name);
            let to = format!("/{name}");
            let sample = provider.events().list[0].sample.clone().unwrap();
            let sample = Bytes::copy_from_slice(sample.as_bytes());
            let signed = |secret| {
                let sender = Sender::new(provider.clone(), secret).unwrap().to(&to);
                sender.request(sample.clone()).unwrap()
            };
            let signature = provider.scheme().header().unwrap();
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
                (
                    signed("the-secret-of-another"),
                    RejectionKind::SignatureMismatch,
                ),
            ] {
                let answer = ask(app.clone(), request).await;
                let body = provider.answers().refuse.body.as_str();
                assert_eq!(
                    answer.summary(),
                    (401, body, Some(kind)),
                    "{name}, {form:?}"
                );
            }
        }
    }
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
        assert_eq!(
            answer.summary(),
            refused(413, RejectionKind::BodyTooLarge),
            "{form:?}"
        );
        assert_eq!(taken.load(Ordering::Relaxed), 0, "{form:?}");

        let (actual, taken) = endless(acme.request("order.paid", "evt_1"));
        let answer = acme.ask(actual).await;
        assert_eq!(
            answer.summary(),
            refused(413, RejectionKind::BodyTooLarge),
            "{form:?}"
        );
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
            (
                "gzip",
                refused(415, RejectionKind::ContentEncodingUnsupported),
            ),
            ("1", refused(415, RejectionKind::ContentEncodingUnsupported)),
            ("", refused(415, RejectionKind::ContentEncodingUnsupported)),
        ] {
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            let value = HeaderValue::from_static(coding);
            request
                .headers_mut()
                .insert(header::CONTENT_ENCODING, value);
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {coding:?}");
            assert_eq!(
                acme.inbox.all().await.len(),
                usize::from(expected == ACCEPTED)
            );
        }
    }
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_400() {
    for form in Form::BOTH {
        for (transfer, length, expected) in [
            ("chunked", false, ACCEPTED),
            (
                "chunked",
                true,
                refused(400, RejectionKind::FramingAmbiguous),
            ),
            (
                "gzip, chunked",
                false,
                refused(400, RejectionKind::FramingAmbiguous),
            ),
        ] {
            let acme = Acme::start(form).await;
            let mut request = acme.request("order.paid", "evt_1");
            let headers = request.headers_mut();
            headers.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static(transfer),
            );
            if length {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("55"));
            }
            let answer = acme.ask(request).await;
            assert_eq!(answer.summary(), expected, "{form:?}, {transfer}, {length}");
            assert_eq!(
                acme.inbox.all().await.len(),
                usize::from(expected == ACCEPTED)
            );
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
        assert_eq!(
            answer.summary(),
            refused(400, RejectionKind::BodyIncomplete),
            "{form:?}"
        );
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
            assert_eq!(
                answer.summary(),
                refused(408, RejectionKind::BodyTimeout),
                "{form:?}"
            );
            let took = began.elapsed();
            let limit = deadline.unwrap_or(Duration::from_secs(10));
            assert!(
                took >= limit && took < limit + Duration::from_millis(10),
                "{took:?}"
            );
            assert!(acme.inbox.all().await.is_empty(), "{form:?}");
        }
    }
}
