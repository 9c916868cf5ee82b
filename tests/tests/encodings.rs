//! Compressed bodies: what is accepted, what is kept, and what a bomb costs. Over
//! real connections, in both forms.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::{
    Compression as Level,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderValue, Request, header};
use tokio::runtime::Builder;
use tower_webhooks::{
    Provider, RejectionKind,
    provider::{Coding, Compression, SignedBytes},
};
use tower_webhooks_tests::{Form, NO, Posted, SECRET, Seen, YES, acme, body};

fn compressing(signs: SignedBytes) -> Provider {
    let compression = Compression::new([Coding::Deflate, Coding::Gzip]).with_signed_bytes(signs);
    acme().with_compression(compression)
}

async fn start(form: Form, provider: Provider) -> Posted {
    Posted::start(form, provider, SECRET, |endpoint| endpoint).await
}

async fn on_disk(form: Form, provider: Provider) -> Posted {
    Posted::on_disk(form, provider, SECRET, |endpoint| endpoint).await
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Level::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap().into()
}

fn zlib(plain: &[u8]) -> Bytes {
    let mut encoder = ZlibEncoder::new(Vec::new(), Level::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap().into()
}

/// A request whose signature covers `signed` and which carries `sent`.
fn request(posted: &Posted, signed: &Bytes, sent: &Bytes, coding: &'static str) -> Request<Body> {
    let mut request = posted.sender(SECRET).request(signed.clone()).unwrap();
    *request.body_mut() = Body::from(sent.clone());
    let coding = HeaderValue::from_static(coding);
    request
        .headers_mut()
        .insert(header::CONTENT_ENCODING, coding);
    request
}

type Answer = (u16, String, Option<String>);

fn accepted() -> Answer {
    (200, YES.to_owned(), None)
}

fn refused(status: u16, kind: RejectionKind) -> Answer {
    let body = if status == 401 { NO } else { "" };
    (status, body.to_owned(), Some(kind.as_str().to_owned()))
}

#[tokio::test]
async fn a_compressed_body_is_verified_as_it_came_stored_so_and_handled_plain() {
    let plain = Bytes::from(body("order.paid", "evt_1"));
    for form in Form::BOTH {
        for (coding, sent) in [
            ("gzip", gzip(&plain)),
            ("GZIP", gzip(&plain)),
            ("deflate", zlib(&plain)),
            ("identity", plain.clone()),
        ] {
            let posted = on_disk(form, compressing(SignedBytes::Wire)).await;
            let answer = posted.post(request(&posted, &sent, &sent, coding)).await;
            assert_eq!(answer, accepted(), "{form:?} {coding}");
            let seen = Seen::new("order.paid", "evt_1", r#"{"n":1}"#);
            assert_eq!(posted.seen().await, seen, "{form:?} {coding}");

            let stored = posted.stored().await;
            assert_eq!(stored.len(), 1);
            let event = &stored[0].event;
            assert_eq!(event.body.as_ref(), Some(&sent), "what came is kept");
            let kept = event
                .headers
                .iter()
                .find(|(name, _)| name == "content-encoding");
            assert_eq!(kept.unwrap().1, coding.as_bytes());
            assert_eq!(posted.webhooks.bytes_in_flight(), 0);
        }
    }
}

/// Each is the request of the test above with one thing changed.
#[tokio::test]
async fn what_is_not_a_body_in_a_declared_coding_runs_nothing() {
    use RejectionKind as K;
    let plain = Bytes::from(body("order.paid", "evt_1"));
    let whole = gzip(&plain);
    let cut = whole.slice(..whole.len() - 1);
    let twice = Bytes::from([&whole[..], &whole[..]].concat());
    let unsupported = || refused(415, K::ContentEncodingUnsupported);
    type Case<'c> = (
        &'c str,
        &'c Bytes,
        &'c Bytes,
        &'static str,
        Answer,
        &'c [&'c str],
    );
    let table: [Case<'_>; 9] = [
        (
            "as it should be",
            &whole,
            &whole,
            "gzip",
            accepted(),
            &["order.paid"],
        ),
        (
            "signed before it was compressed",
            &plain,
            &whole,
            "gzip",
            refused(401, K::SignatureMismatch),
            &[],
        ),
        (
            "a coding that is not declared",
            &whole,
            &whole,
            "br",
            unsupported(),
            &[],
        ),
        (
            "two codings",
            &whole,
            &whole,
            "gzip, gzip",
            unsupported(),
            &[],
        ),
        ("no coding's name", &whole, &whole, "", unsupported(), &[]),
        (
            "a byte short",
            &cut,
            &cut,
            "gzip",
            accepted(),
            &["not-inflated"],
        ),
        (
            "two streams",
            &twice,
            &twice,
            "gzip",
            accepted(),
            &["not-inflated"],
        ),
        (
            "of another coding",
            &whole,
            &whole,
            "deflate",
            accepted(),
            &["not-inflated"],
        ),
        (
            "not compressed at all",
            &plain,
            &plain,
            "gzip",
            accepted(),
            &["not-inflated"],
        ),
    ];
    for form in Form::BOTH {
        for (what, signed, sent, coding, expected, stored) in &table {
            let posted = start(form, compressing(SignedBytes::Wire)).await;
            let answer = posted.post(request(&posted, signed, sent, coding)).await;
            assert_eq!(&answer, expected, "{form:?} {what}");
            assert_eq!(posted.outline().await, *stored, "{form:?} {what}");
            let jobs: usize = posted.stored().await.iter().map(|it| it.jobs.len()).sum();
            assert_eq!(
                jobs,
                usize::from(*stored == ["order.paid"]),
                "{form:?} {what}"
            );
        }

        let posted = start(form, acme()).await;
        let undeclared = request(&posted, &whole, &whole, "gzip");
        assert_eq!(posted.post(undeclared).await, unsupported(), "{form:?}");
        let posted = start(form, compressing(SignedBytes::Wire)).await;
        let mut repeated = request(&posted, &whole, &whole, "gzip");
        let coding = HeaderValue::from_static("gzip");
        repeated
            .headers_mut()
            .append(header::CONTENT_ENCODING, coding);
        assert_eq!(posted.post(repeated).await, unsupported(), "{form:?}");
        assert!(posted.stored().await.is_empty());
    }
}

#[tokio::test]
async fn where_the_plain_body_is_signed_it_is_inflated_first() {
    use RejectionKind as K;
    let plain = Bytes::from(body("order.paid", "evt_1"));
    let other = Bytes::from(body("order.paid", "evt_2"));
    let whole = gzip(&plain);
    let cut = whole.slice(..whole.len() - 1);
    let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
    type Case<'c> = (&'c str, &'c Bytes, &'c Bytes, &'static str, Answer);
    let table: [Case<'_>; 6] = [
        ("as it should be", &plain, &whole, "gzip", accepted()),
        ("not compressed", &plain, &plain, "identity", accepted()),
        (
            "signed after it was compressed",
            &whole,
            &whole,
            "gzip",
            refused(401, K::SignatureMismatch),
        ),
        (
            "another body's signature",
            &other,
            &whole,
            "gzip",
            refused(401, K::SignatureMismatch),
        ),
        (
            "a byte short",
            &plain,
            &cut,
            "gzip",
            refused(415, K::ContentEncodingUnsupported),
        ),
        (
            "a stranger's bomb",
            &plain,
            &bomb,
            "gzip",
            refused(413, K::BodyTooLarge),
        ),
    ];
    for form in Form::BOTH {
        for (what, signed, sent, coding, expected) in &table {
            let posted = on_disk(form, compressing(SignedBytes::Plain)).await;
            let answer = posted.post(request(&posted, signed, sent, coding)).await;
            assert_eq!(&answer, expected, "{form:?} {what}");
            let stored = posted.stored().await;
            assert_eq!(
                stored.len(),
                usize::from(answer.0 == 200),
                "{form:?} {what}"
            );
            if let [record] = &stored[..] {
                assert_eq!(record.event.body.as_ref(), Some(*sent), "what came is kept");
                let seen = Seen::new("order.paid", "evt_1", r#"{"n":1}"#);
                assert_eq!(posted.seen().await, seen, "{form:?} {what}");
            }
        }
    }
}

#[tokio::test]
async fn a_redelivery_that_is_compressed_otherwise_is_the_same_event() {
    let plain = Bytes::from(body("order.paid", "evt_1"));
    let other = Bytes::from(body("order.lost", "evt_1"));
    for form in Form::BOTH {
        let posted = start(form, compressing(SignedBytes::Wire)).await;
        for (coding, sent) in [
            ("gzip", gzip(&plain)),
            ("deflate", zlib(&plain)),
            ("identity", plain.clone()),
        ] {
            let answer = posted.post(request(&posted, &sent, &sent, coding)).await;
            assert_eq!(answer, accepted(), "{form:?} {coding}");
        }
        assert_eq!(posted.outline().await, ["order.paid"], "{form:?}");
        let sent = gzip(&other);
        posted.post(request(&posted, &sent, &sent, "gzip")).await;
        let stored = posted.stored().await;
        assert!(stored[1].event.key.starts_with("conflict:"), "{form:?}");
        assert!(stored[1].jobs.is_empty(), "{form:?}");
    }
}

#[tokio::test]
async fn what_is_inflated_counts_as_bytes_in_flight() {
    let plain = Bytes::from(format!(
        r#"{{"type":"order.paid","id":"evt_1","data":"{}"}}"#,
        "a".repeat(30_000)
    ));
    let sent = gzip(&plain);
    for form in Form::BOTH {
        for (max, expected) in [
            (40_000, accepted()),
            (20_000, refused(503, RejectionKind::Overloaded)),
        ] {
            let posted =
                Posted::start_with(form, compressing(SignedBytes::Wire), SECRET, |builder| {
                    builder.with_max_bytes_in_flight(max)
                })
                .await;
            let answer = posted.post(request(&posted, &sent, &sent, "gzip")).await;
            assert_eq!(answer, expected, "{form:?} {max}");
            assert_eq!(posted.webhooks.bytes_in_flight(), 0);
        }
    }
}

/// Allocations are counted on this thread, which runs the receiver and the client.
#[test]
fn a_bomb_of_200_mb_costs_no_more_than_the_limit() {
    const LIMIT: usize = 16 * 1024 * 1024;
    /// For the request, the connection and the rest of the receiver.
    const BESIDE: u64 = 1024 * 1024;

    let bomb = gzip(&vec![b' '; 200_000_000]);
    assert!(bomb.len() < 256 * 1024, "{}", bomb.len());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let limit = u64::try_from(LIMIT).unwrap();
    for form in Form::BOTH {
        for signs in [SignedBytes::Plain, SignedBytes::Wire] {
            let expected = match signs {
                SignedBytes::Plain => refused(413, RejectionKind::BodyTooLarge),
                SignedBytes::Wire => accepted(),
            };
            let ask = |compression: Compression| {
                let provider = acme().with_compression(compression.with_signed_bytes(signs));
                let posted = runtime.block_on(start(form, provider));
                let request = request(&posted, &bomb, &bomb, "gzip");
                let mut answer = None;
                let counted = allocation_counter::measure(|| {
                    answer = Some(runtime.block_on(posted.post(request)));
                });
                assert_eq!(answer.unwrap(), expected, "{form:?} {signs:?}");
                let stored: usize = runtime.block_on(posted.stored()).len();
                assert_eq!(stored, usize::from(signs == SignedBytes::Wire));
                counted
            };
            let gzip = Compression::new([Coding::Gzip]);
            let counted = ask(gzip.clone().with_max_inflated_bytes(LIMIT));
            assert!(
                counted.bytes_max < limit + BESIDE,
                "{form:?} {signs:?}: {counted:?}"
            );
            // Not even one after the other: no more than the limit is inflated.
            assert!(
                counted.bytes_total < limit + 2 * BESIDE,
                "{form:?} {signs:?}: {counted:?}"
            );

            // The count sees what a wider limit lets through.
            let wide = gzip
                .with_max_ratio(usize::MAX)
                .with_max_inflated_bytes(4 * LIMIT);
            assert!(ask(wide).bytes_max > 3 * limit, "{form:?} {signs:?}");
        }
    }
}

#[test]
fn the_ratio_is_a_limit_of_its_own() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bomb = gzip(&vec![b' '; 4 * 1024 * 1024]);
    let ratio = |max| Compression::new([Coding::Gzip]).with_max_ratio(max);
    for (compression, reason) in [(ratio(100), "not-inflated"), (ratio(2000), "not-json")] {
        runtime.block_on(async {
            let posted = start(Form::Terminal, acme().with_compression(compression)).await;
            let answer = posted.post(request(&posted, &bomb, &bomb, "gzip")).await;
            assert_eq!(answer, accepted());
            assert_eq!(posted.outline().await, [reason]);
        });
    }
}
