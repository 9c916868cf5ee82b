//! `webhooks conform` against receivers of this process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{collections::BTreeMap, fs};

use axum::{body::Bytes, http::HeaderMap};
use serde_json::Value;
use support::{Ran, SECRET, assert_one_line, receiver::Receiver, run_with};
use tower_webhooks_core::{Head, Secrets, Verifier, providers};

/// What a receiver does with an authentic event.
type Handle = fn(&mut Vec<Bytes>, Bytes) -> bool;

/// A receiver that verifies, and writes its effects' count to a file.
fn receiver(file: &str, handle: Handle) -> Receiver {
    let secrets = Secrets::new(SECRET).unwrap();
    let verifier = Verifier::new(providers::monterrey(), &secrets).unwrap();
    let verifier = std::sync::Arc::new(verifier);
    let known = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), 0_u64)));
    let file = file.to_owned();
    fs::write(&file, "0").unwrap();
    Receiver::verifying(move |headers: &HeaderMap, body: Bytes| {
        let now = std::time::SystemTime::now();
        let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
        let verified = verifier
            .provider()
            .screen(headers, now)
            .and_then(|screened| {
                let head = Head::new(&method, &uri, headers);
                verifier.verify(head, &screened, body.clone(), now)
            });
        if verified.is_err() {
            return 401;
        }
        let mut known = known.lock().unwrap();
        if handle(&mut known.0, body) {
            known.1 += 1;
            fs::write(&file, known.1.to_string()).unwrap();
        }
        200
    })
}

/// By id, and nothing that is no event.
fn once(known: &mut Vec<Bytes>, body: Bytes) -> bool {
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return false;
    };
    let id = Bytes::from(event["id"].to_string());
    let is_new = !known.contains(&id);
    if is_new {
        known.push(id);
    }
    is_new
}

fn every_time(_: &mut Vec<Bytes>, body: Bytes) -> bool {
    serde_json::from_slice::<Value>(&body).is_ok()
}

fn conform(receiver: &Receiver, options: &[&str]) -> Ran {
    let url = format!("http://{}/hook", receiver.address);
    let base = ["conform", "--provider", "monterrey", "--url", &url];
    run_with(base.into_iter().chain(options.iter().copied()), "")
}

fn judged(ran: &Ran) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("name"), text("judged"))
    };
    ran.stdout.lines().map(row).collect()
}

#[test]
fn a_right_receiver_is_right_in_all_that_is_seen_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, junit) = (path("count"), path("conform.xml"));
    let receiver = receiver(&file, once);
    let observe = format!("cat {file}");
    let ran = conform(
        &receiver,
        &[
            "--json",
            "--observe",
            &observe,
            "--settle",
            "0.4",
            "--junit",
            &junit,
        ],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let rows = judged(&ran);
    assert_eq!(rows["duplicate, effects"], "right");
    assert_eq!(rows["stale-timestamp"], "not-applicable");
    assert!(rows.values().all(|judged| judged != "not-observable"));
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains(r#"failures="0""#), "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), rows.len());

    let ran = conform(&receiver, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = judged(&ran);
    assert_eq!(rows["duplicate"], "right");
    assert_eq!(rows["duplicate, effects"], "not-observable", "never right");
}

#[test]
fn a_receiver_that_handles_duplicates_twice_is_found_by_its_effects() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count").to_str().unwrap().to_owned();
    let receiver = receiver(&file, every_time);
    let observe = format!("cat {file}");
    let ran = conform(
        &receiver,
        &["--json", "--observe", &observe, "--settle", "0.4"],
    );
    assert_eq!(ran.code, 1);
    let rows = judged(&ran);
    let wrong: Vec<_> = rows
        .iter()
        .filter(|(_, judged)| *judged == "wrong")
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "concurrent-duplicate, effects",
        "duplicate, effects",
        "same-id-other-body, effects",
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn a_receiver_that_takes_everything_is_found_by_its_answers() {
    let receiver = Receiver::answering("OK");
    let ran = conform(&receiver, &[]);
    assert_eq!(ran.code, 1);
    let wrong: Vec<_> = ran
        .stdout
        .lines()
        .filter(|line| line.contains(": WRONG: "))
        .collect();
    assert_eq!(wrong.len(), 2, "{ran:?}");
    let expected = "wrong-secret: WRONG: a right receiver refuses it with a 4xx; it answered 200";
    assert_eq!(wrong[0], expected);
    assert!(wrong[1].starts_with("body-changed: WRONG"));
}

#[test]
fn a_receiver_that_takes_no_right_event_is_not_judged() {
    let receiver = Receiver::answering(http::StatusCode::UNAUTHORIZED);
    let ran = conform(&receiver, &[]);
    assert_one_line(&ran, 1, "a right event is not accepted");
    assert_eq!(ran.stdout, "");
    let receiver = Receiver::answering("OK");
    let ran = conform(&receiver, &["--observe", "echo many", "--settle", "0.4"]);
    assert_one_line(&ran, 2, "--observe is to print a number");
}
