//! `webhooks secret`: which secrets still match, as an inbox tells.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::{
    assert_one_line,
    inbox::{Receiver, Store, event, on_both_stores},
};

on_both_stores! {
    each_secret_is_listed_with_its_last_match
    a_secret_in_use_is_not_called_unused
    a_secret_that_was_never_seen_is_not_called_unused
    the_last_secret_that_matched_is_not_called_unused
    more_events_than_a_page_are_counted
    a_secret_that_opens_payloads_is_listed_and_judged_by_itself
}

/// Three of `shop`: two signed with the new secret, one with the old.
async fn receiver(store: Store) -> Receiver {
    let receiver = Receiver::open(store).await;
    for (id, label, hours) in [
        ("1", "previous", 5),
        ("2", "current", 4),
        ("3", "current", 2),
    ] {
        receive(&receiver, id, Some(label), hours).await;
    }
    receiver
}

async fn receive(receiver: &Receiver, id: &str, label: Option<&'static str>, hours_ago: u64) {
    let mut event = event(id, &format!("{{\"n\":{id}}}"));
    event.secret_label = label.map(Into::into);
    event.received_at = SystemTime::now() - Duration::from_secs(hours_ago * 3_600 + 60);
    receiver.insert(event).await;
}

fn listed(receiver: &Receiver, arguments: &str) -> Value {
    let ran = receiver.run_command("secret", &format!("list --json {arguments}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments}");
    serde_json::from_str(&ran.stdout).unwrap()
}

async fn each_secret_is_listed_with_its_last_match(store: Store) {
    let receiver = receiver(store).await;
    let shown = listed(&receiver, "");
    let without_times = |row: &Value| json!([row["endpoint"], row["secret"], row["events"]]);
    let rows: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(without_times)
        .collect();
    assert_eq!(
        rows,
        [
            json!(["shop", "current", 2]),
            json!(["shop", "previous", 1])
        ]
    );
    let ago = shown[0]["seconds_ago"].as_u64().unwrap();
    assert!((7_200..7_400).contains(&ago), "{ago}");

    assert_eq!(listed(&receiver, "--since 3h")[0]["events"], 1);
    assert_eq!(listed(&receiver, "--endpoint another"), json!([]));
    let text = receiver.run_command("secret", "list").stdout;
    let mut lines = text.lines();
    let header = "endpoint  secret    events  last matched";
    assert!(lines.next().unwrap().starts_with(header), "{text}");
    assert!(lines.next().unwrap().ends_with("2h"), "{text}");
    assert!(lines.next().unwrap().ends_with("5h"), "{text}");
}

async fn a_secret_in_use_is_not_called_unused(store: Store) {
    let receiver = receiver(store).await;
    let ran = receiver.run_command("secret", "unused previous");
    let words = "previous is in use, so without it events would be refused: \
        shop has 1 of its events, the last 5h ago\n";
    assert_one_line(&ran, 1, words);
    // What nobody signed, such as a token's event without a label, is nobody's.
    receive(&receiver, "4", None, 0).await;
    for unused in [
        "unused previous --since 4h",
        "unused previous --since 4h --endpoint shop",
    ] {
        let ran = receiver.run_command("secret", unused);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{unused}");
    }
}

/// Right after a rotation began here and not at the provider, what came until then
/// was signed with the secret that is now the previous one.
async fn a_secret_that_was_never_seen_is_not_called_unused(store: Store) {
    let receiver = receiver(store).await;
    for unknown in ["unused third", "unused previous --endpoint another"] {
        let ran = receiver.run_command("secret", unknown);
        assert_one_line(
            &ran,
            1,
            "nothing tells that the provider stopped using it\n",
        );
    }
}

async fn the_last_secret_that_matched_is_not_called_unused(store: Store) {
    let receiver = receiver(store).await;
    let ran = receiver.run_command("secret", "unused current --since 1h");
    let words = "no other secret of shop has matched since current last did, 2h ago";
    assert_one_line(&ran, 1, words);
}

async fn more_events_than_a_page_are_counted(store: Store) {
    let receiver = receiver(store).await;
    for id in 10..1_020 {
        receive(&receiver, &id.to_string(), Some("current"), 1).await;
    }
    assert_eq!(listed(&receiver, "")[0]["events"], 1_012);
}

/// Signed with the current secret all along, while what opens the payloads changed.
async fn a_secret_that_opens_payloads_is_listed_and_judged_by_itself(store: Store) {
    let receiver = Receiver::open(store).await;
    for (id, label, hours) in [("1", "previous", 5), ("2", "current", 2)] {
        let mut event = event(id, &format!("{{\"n\":{id}}}"));
        event.secret_label = Some("current".into());
        event.payload_label = Some(label.into());
        event.received_at = SystemTime::now() - Duration::from_secs(hours * 3_600 + 60);
        receiver.insert(event).await;
    }
    let shown = listed(&receiver, "");
    let row = |row: &Value| json!([row["kind"], row["secret"], row["events"]]);
    let rows: Vec<_> = shown.as_array().unwrap().iter().map(row).collect();
    assert_eq!(
        rows,
        [
            json!(["signature", "current", 2]),
            json!(["payload", "current", 1]),
            json!(["payload", "previous", 1]),
        ]
    );
    let text = receiver.run_command("secret", "list").stdout;
    assert!(text.contains("shop      previous (payload)  1"), "{text}");

    let in_use = "previous is in use, so without it events would be unusable: shop has 1 of its \
        events, the last 5h ago\n";
    let ran = receiver.run_command("secret", "unused previous --payload");
    assert_one_line(&ran, 1, in_use);
    let ran = receiver.run_command("secret", "unused previous --payload --since 4h");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let ran = receiver.run_command("secret", "unused previous --since 4h");
    let words =
        "no event was signed with previous: nothing tells that the provider stopped using it\n";
    assert_one_line(&ran, 1, words);
}
