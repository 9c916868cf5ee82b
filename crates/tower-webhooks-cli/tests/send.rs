//! Signed requests over a real socket, as a receiver sees them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{collections::HashSet, net::TcpListener, time::Duration};

use axum::http::HeaderMap;
use serde_json::Value;
use support::{
    Ran, SECRET, assert_one_line, finish, receiver::Receiver, run_with, webhooks, write,
};
use tower_webhooks_core::{Delivery, providers};

fn send(receiver: &Receiver, provider: &str, options: &[&str]) -> Ran {
    let url = format!("http://{}/hook", receiver.address);
    let base = ["send", "--provider", provider, "--url", &url];
    run_with(base.into_iter().chain(options.iter().copied()), "")
}

#[test]
fn the_answer_is_shown_with_its_status_and_time() {
    let receiver = Receiver::answering("stored\nsecond line");
    let ran = send(&receiver, "mppcash", &["--event", "transfer.settled"]);
    assert_eq!(ran.code, 0);
    let (status, rest) = ran.stdout.split_once(" in ").unwrap();
    let (millis, body) = rest.split_once(" ms: ").unwrap();
    assert_eq!((status, body), ("200", "stored\n"));
    assert!(millis.parse::<f64>().unwrap() > 0.0);

    let ran = send(
        &receiver,
        "monterrey",
        &["--event", "payment.confirmed", "--json"],
    );
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(line["status"], 200);
    assert_eq!(line["body"], "stored");
    assert_eq!(line["event_type"], "payment.confirmed");
    assert!(line["id"].as_str().unwrap().starts_with("evt_"));
    assert!(line["millis"].as_f64().unwrap() > 0.0);
}

#[test]
fn each_of_several_is_another_event() {
    let receiver = Receiver::answering("");
    for (provider, event) in [
        ("mppcash", "session.settled"),
        ("monterrey", "payment.confirmed"),
        ("cryptomate", "cards.clearing.pending"),
    ] {
        let ran = send(&receiver, provider, &["--event", event, "--count", "3"]);
        assert_eq!((ran.code, ran.stdout.lines().count()), (0, 3));
        // And so is what a second call sends.
        send(&receiver, provider, &["--event", event]);
        let deliveries = receiver.deliveries(provider);
        let bodies: HashSet<_> = deliveries.iter().map(Delivery::body).collect();
        assert_eq!(bodies.len(), 4);
        let heads = deliveries.iter().map(|delivery| delivery.event().unwrap());
        let ids: HashSet<_> = heads.map(|head| head.id().cloned()).collect();
        let expected = if provider == "mppcash" { 1 } else { 4 };
        assert_eq!(ids.len(), expected, "{provider}");
        receiver.received.lock().unwrap().clear();
    }
}

#[test]
fn the_same_event_is_sent_when_asked_for() {
    let receiver = Receiver::answering("");
    let options = ["--event", "payment.confirmed", "--count", "3", "--same"];
    assert_eq!(send(&receiver, "monterrey", &options).code, 0);
    let sample = providers::monterrey();
    let sample = sample
        .events()
        .find("payment.confirmed")
        .unwrap()
        .sample
        .clone()
        .unwrap();
    for delivery in receiver.deliveries("monterrey") {
        assert_eq!(delivery.body(), sample.as_bytes());
    }
    assert_eq!(receiver.received.lock().unwrap().len(), 3);
}

#[test]
fn a_body_of_ones_own_is_sent_as_it_is_and_then_made_new() {
    let folder = tempfile::tempdir().unwrap();
    let body = "{ \"id\":\"evt_1\",\"event\":\"payment.confirmed\",\"data\":{\"amount\":1.50} }\n";
    let file = write(folder.path(), "body.json", body);
    let receiver = Receiver::answering("");
    assert_eq!(
        send(
            &receiver,
            "monterrey",
            &["--data-file", &file, "--count", "2"]
        )
        .code,
        0
    );
    let deliveries = receiver.deliveries("monterrey");
    assert_eq!(deliveries[0].body(), body);
    assert_ne!(deliveries[1].event().unwrap().id().unwrap(), "evt_1");
    assert!(deliveries[1].body().ends_with(b"\"amount\":1.50} }\n"));

    let ran = send(
        &receiver,
        "monterrey",
        &["--data", "no json", "--count", "2"],
    );
    assert_one_line(&ran, 2, "--same sends it as it is");
    let ran = send(
        &receiver,
        "monterrey",
        &["--data", "no json", "--count", "2", "--same"],
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn headers_of_ones_own_are_sent_along() {
    let receiver = Receiver::answering("");
    let options = ["--event", "transfer.settled", "--header", "x-trace: 7"];
    assert_eq!(send(&receiver, "mppcash", &options).code, 0);
    let received = receiver.received.lock().unwrap();
    let (headers, _) = &received[0];
    assert_eq!(headers["x-trace"], "7");
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("webhooks/")
    );
}

#[test]
fn an_answer_that_is_not_2xx_fails_after_all_are_sent() {
    let receiver = Receiver::answering((http::StatusCode::UNAUTHORIZED, "Invalid signature"));
    let ran = send(
        &receiver,
        "mppcash",
        &["--event", "transfer.settled", "--count", "2"],
    );
    assert_one_line(&ran, 1, "2 of 2 not answered with 2xx");
    assert_eq!(ran.stdout.matches(" ms: Invalid signature\n").count(), 2);
    assert!(ran.stdout.starts_with("401 in "), "{}", ran.stdout);
}

#[test]
fn a_redirect_is_shown_and_not_followed() {
    let headers = [("location", "/elsewhere")];
    let receiver = Receiver::answering((http::StatusCode::TEMPORARY_REDIRECT, headers));
    let ran = send(&receiver, "mppcash", &["--event", "transfer.settled"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("307 in "), "{}", ran.stdout);
    assert_eq!(receiver.received.lock().unwrap().len(), 1);
}

#[test]
fn an_answer_cannot_steer_the_terminal_or_show_the_token() {
    let receiver = Receiver::new(|headers: HeaderMap| async move {
        format!("\u{1b}[31m{}", headers["x-webhook-key"].to_str().unwrap())
    });
    for form in [[].as_slice(), &["--json"]] {
        let options: Vec<_> = ["--event", "cards.refund.success"]
            .iter()
            .chain(form)
            .copied()
            .collect();
        let ran = send(&receiver, "cryptomate", &options);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("[31m[redacted]"), "{}", ran.stdout);
        assert!(!ran.stdout.contains('\u{1b}'));
    }
}

#[test]
fn nobody_listening_is_a_failure_of_one_line() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://user:{SECRET}@{unused}/hook");
    let arguments = [
        "send",
        "--provider",
        "mppcash",
        "--event",
        "transfer.settled",
        "--url",
        &url,
    ];
    let ran = run_with(arguments, "");
    assert_one_line(&ran, 1, "cannot connect: ");
    assert!(ran.stderr.to_lowercase().contains("refused"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

#[test]
fn no_answer_in_time_is_a_failure_of_one_line() {
    let receiver = Receiver::new(|_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let ran = send(
        &receiver,
        "mppcash",
        &["--event", "transfer.settled", "--timeout", "0.2"],
    );
    assert_one_line(&ran, 1, "no answer within 0.2 s");
}

#[test]
fn a_receiver_without_tls_fails_https_in_one_line() {
    let receiver = Receiver::answering("");
    let url = format!("https://{}/hook", receiver.address);
    let arguments = [
        "send",
        "--provider",
        "mppcash",
        "--event",
        "transfer.settled",
        "--url",
        &url,
    ];
    let ran = run_with(arguments, "");
    assert_one_line(&ran, 1, "cannot connect: ");
    assert!(receiver.received.lock().unwrap().is_empty());
}

#[test]
fn this_machine_is_reached_without_certificates_and_past_a_proxy() {
    let receiver = Receiver::answering("");
    let mut command = webhooks();
    command
        .args([
            "send",
            "--provider",
            "mppcash",
            "--event",
            "transfer.settled",
            "--url",
        ])
        .arg(format!("http://{}/hook", receiver.address))
        .env("WEBHOOK_SECRET", SECRET)
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9");
    let ran = finish(command, "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_fault_is_played_and_its_answers_are_judged() {
    // It takes whatever comes, so that only what is to be refused is wrong.
    let receiver = Receiver::answering("OK");
    let ran = send(
        &receiver,
        "monterrey",
        &["--event", "payment.confirmed", "--fault", "duplicate"],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let expected = "duplicate: right\n  the event: 200\n  the same: 200\n";
    assert_eq!(ran.stdout, expected);
    let deliveries = receiver.deliveries("monterrey");
    assert_eq!(deliveries[0].body(), deliveries[1].body());

    let wrong = [
        "--event",
        "payment.confirmed",
        "--fault",
        "wrong-secret",
        "--json",
    ];
    let ran = send(&receiver, "monterrey", &wrong);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr, "error: 1 of 1 answered wrongly\n");
    let played: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(played["fault"], "wrong-secret");
    assert_eq!(played["exchanges"][0]["reply"]["status"], 200);
    assert_eq!(played["verdict"]["wrong"], "refuses it with a 4xx");

    for (options, words) in [
        (&["--fault", "duplicates"][..], "did you mean duplicate?"),
        (&["--fault", "zzz"], "use one of wrong-secret, "),
        (&["--fault", "duplicate"], "give --event"),
        (
            &["--fault", "duplicate", "--event", "payment.lost"],
            "no sample of payment.lost",
        ),
        (
            &["--fault", "duplicate", "--count", "2"],
            "cannot be used with",
        ),
    ] {
        assert_one_line(&send(&receiver, "monterrey", options), 2, words);
    }
}
