//! `webhooks inbox replay`, beside a receiver that has the inbox open.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    assert_one_line,
    inbox::{Receiver, Store, event, on_both_stores, received},
    write,
};
use tokio::time::timeout;
use tower_webhooks_core::{Provider, Secret, Signer};
use tower_webhooks_inbox::{Inserted, NewEvent, Settlement};

/// Whose events name their type and id in the body.
const SHOP: &str = r#"
name = "shop"
[scheme]
kind = "hmac"
header = "x-shop"
[envelope]
event_type = "/type"
id = "/id"
"#;

on_both_stores! {
    a_dry_run_names_what_would_run_and_changes_nothing
    a_replayed_job_reaches_the_running_receiver
    what_is_done_runs_again_only_when_it_is_said
    everything_is_replayed_only_when_it_is_said
    conflicts_and_unhandled_events_get_their_jobs
    a_new_handler_gets_earlier_events_by_backfill_alone
    an_event_that_stood_for_others_can_run_again_for_them
    every_page_is_replayed
    unusable_events_run_once_a_provider_reads_them
    an_event_read_anew_has_the_ordering_key_that_the_provider_or_the_option_says
    unusable_events_on_later_pages_are_read_too
    sealed_events_run_once_their_key_is_given
    an_event_without_a_body_cannot_run
}

fn runs(report: &Value) -> Vec<(u64, &str)> {
    jobs(&report["runs"])
}

fn jobs(list: &Value) -> Vec<(u64, &str)> {
    let jobs = list.as_array().unwrap().iter();
    jobs.map(|job| {
        (
            job["seq"].as_u64().unwrap(),
            job["handler"].as_str().unwrap(),
        )
    })
    .collect()
}

async fn a_dry_run_names_what_would_run_and_changes_nothing(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let report = receiver.json("replay --event 1 --dry-run");
    assert_eq!(report["dry_run"], true);
    assert_eq!(runs(&report), [(1, "ship")]);
    assert_eq!(jobs(&report["done"]), [(1, "mail")]);
    let text = receiver.text("replay --event 1 --dry-run");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[1], "1      ship     would run", "{text}");
    assert_eq!(lines[2], "1      mail     done", "{text}");
    assert_eq!(lines.last(), Some(&"1 would run, 1 done"), "{text}");
    assert!(receiver.claim("shop", "ship").await.is_empty());
    assert_eq!(receiver.json("stats")["dead"], 1);
}

async fn a_replayed_job_reaches_the_running_receiver(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let text = receiver.text("replay --handler ship --state dead");
    assert!(text.ends_with("\n1 run, 0 done\n"), "{text}");
    assert!(text.contains("\n1      ship     runs\n"), "{text}");
    let claimed = receiver.claim("shop", "ship").await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempt, 1);
    assert!(receiver.claim("shop", "mail").await.is_empty());
    let shown = receiver.json("show 1");
    assert_eq!(shown["jobs"][1]["earlier_attempts"], 1);
    assert_eq!(shown["jobs"][1]["state"], "running");
    // What runs is left alone.
    assert_eq!(runs(&receiver.json("replay --event 1")), []);
}

async fn what_is_done_runs_again_only_when_it_is_said(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let report = receiver.json("replay --state done");
    assert_eq!(runs(&report), []);
    assert_eq!(jobs(&report["done"]), [(1, "mail")]);
    let report = receiver.json("replay --event 1 --handler mail --done");
    assert_eq!(runs(&report), [(1, "mail")]);
    assert_eq!(receiver.claim("shop", "mail").await.len(), 1);
}

async fn everything_is_replayed_only_when_it_is_said(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    for arguments in ["replay", "replay --done", "replay --dry-run"] {
        assert_one_line(&receiver.run(arguments), 2, "give a filter, or --all");
    }
    assert_eq!(runs(&receiver.json("replay --all")), [(1, "ship")]);
}

async fn conflicts_and_unhandled_events_get_their_jobs(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    let conflict = receiver.insert(event("evt_1", "{\"order\":2}")).await;
    assert!(matches!(conflict, Inserted::Conflict { .. }));
    let mut unhandled = event("evt_1", "{}");
    unhandled.endpoint = "other".into();
    receiver.insert(unhandled).await;

    let report = receiver.json("replay --state conflict -n");
    assert_eq!(runs(&report), [(2, "mail"), (2, "ship")]);
    let report = receiver.json("replay --state conflict --handler ship");
    assert_eq!(runs(&report), [(2, "ship")]);
    let claimed = receiver.claim("shop", "ship").await;
    assert_eq!(
        claimed[0].event.body.as_deref(),
        Some(&b"{\"order\":2}"[..])
    );

    assert_eq!(runs(&receiver.json("replay --state unhandled")), []);
    receiver.register("other", "late").await;
    let report = receiver.json("replay --state unhandled");
    assert_eq!(runs(&report), [(3, "late")]);
    assert_eq!(receiver.json("stats")["unhandled"], 0);
}

async fn a_new_handler_gets_earlier_events_by_backfill_alone(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    receiver.register("shop", "tax").await;
    assert_eq!(runs(&receiver.json("replay --handler tax")), []);
    let report = receiver.json("replay --handler tax --backfill");
    assert_eq!(runs(&report), [(1, "tax")]);
    assert_eq!(receiver.claim("shop", "tax").await.len(), 1);
}

async fn an_event_that_stood_for_others_can_run_again_for_them(store: Store) {
    let receiver = Receiver::open(store).await;
    receiver.register("shop", "mail").await;
    for _ in 0..2 {
        let mut unnamed = event("", "{\"low\":true}");
        unnamed.id = None;
        receiver.insert(unnamed).await;
    }
    receiver.insert(event("evt_2", "{}")).await;
    receiver.end("mail", Settlement::Done).await;
    let listed = receiver.json("list --suppressed");
    assert_eq!(listed["events"][0]["suppressed"], 1);
    let report = receiver.json("replay --suppressed -n");
    assert_eq!(jobs(&report["done"]), [(1, "mail")]);
    let report = receiver.json("replay --suppressed --done");
    assert_eq!(runs(&report), [(1, "mail")]);
}

async fn every_page_is_replayed(store: Store) {
    let receiver = Receiver::open(store).await;
    for number in 0..150 {
        receiver.insert(event(&format!("evt_{number}"), "{}")).await;
    }
    receiver.register("shop", "mail").await;
    let report = receiver.json("replay --all");
    assert_eq!(runs(&report).len(), 150);
    assert_eq!(receiver.json("stats")["pending"], 150);
}

async fn unusable(receiver: &Receiver, body: &str) {
    let mut event = NewEvent::new("shop", body.to_owned(), received());
    event.unusable = Some("names no type".into());
    let stored = receiver.insert(event).await;
    assert!(matches!(stored, Inserted::Unusable { .. }));
}

async fn unusable_events_run_once_a_provider_reads_them(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    unusable(&receiver, r#"{"type":"order.paid","id":"evt_2"}"#).await;
    unusable(&receiver, r#"{"type":"order.paid","id":"evt_1"}"#).await;
    unusable(&receiver, "no JSON").await;
    let shop = write(receiver.file("").as_path(), "shop.toml", SHOP);

    let ran = receiver.run("replay --state unusable");
    assert_one_line(&ran, 1, "nothing to run: 3 events cannot be read");
    assert!(
        ran.stdout.contains("unusable: --provider reads it"),
        "{ran:?}"
    );
    let ran = receiver.run(&format!("replay --all --provider {shop}"));
    assert_one_line(&ran, 2, "give --endpoint or --event");

    let ran = receiver.run(&format!("replay --event 1 --state dead --provider {shop}"));
    assert_one_line(&ran, 2, "--provider reads unusable events");

    let replay = format!("replay --endpoint shop --state unusable --provider {shop}");
    for arguments in [format!("{replay} --dry-run"), replay] {
        let report = receiver.json(&arguments);
        assert_eq!(runs(&report), [(2, "mail"), (2, "ship")], "{arguments}");
        assert_eq!(report["idle"], json!([3]), "{arguments}");
        assert_eq!(report["unread"], json!({"4": "not-json"}), "{arguments}");
    }
    let read = receiver.json("show 2");
    assert_eq!(
        (&read["id"], &read["event_type"]),
        (&json!("evt_2"), &json!("order.paid"))
    );
    assert_eq!(read["state"], "routed");
    assert_eq!(receiver.json("show 3")["state"], "conflict");
    assert_eq!(receiver.json("show 4")["state"], "unusable");
    assert_eq!(receiver.claim("shop", "ship").await.len(), 1);
}

const SEALED: &str = r#"
[encryption]
cipher = "aes256-gcm"
ciphertext = "/sealed"
"#;

async fn sealed_events_run_once_their_key_is_given(store: Store) {
    const KEY: &str = "0123456789abcdef0123456789ABCDEF";
    let receiver = Receiver::with_dead_job(store).await;
    let text = format!("{SHOP}{SEALED}");
    let provider: Provider = toml::from_str(&text).unwrap();
    let signer = Signer::new(provider, Secret::new("signs").unwrap())
        .with_payload_secret(Secret::new(KEY).unwrap());
    let sealed = signer.sign_request(br#"{"type":"order.paid","id":"evt_2"}"#, received());
    let sealed = String::from_utf8(sealed.unwrap().body.to_vec()).unwrap();
    unusable(&receiver, &sealed).await;

    let folder = receiver.file("");
    let shop = write(&folder, "shop.toml", &text);
    let right = write(&folder, "key.txt", &format!("{KEY}\n"));
    let wrong = write(&folder, "wrong.txt", &KEY.to_lowercase());
    let short = write(&folder, "short.txt", "short");
    let replay = format!("replay --event 2 --provider {shop}");
    assert_one_line(&receiver.run(&replay), 2, "give --payload-secret-file");
    let ran = receiver.run(&format!("{replay} --payload-secret-file {short}"));
    assert_one_line(&ran, 2, "short");
    let ran = receiver.run(&format!("{replay} --payload-secret-file {wrong}"));
    assert!(
        ran.stdout.contains("still unusable: undecryptable"),
        "{ran:?}"
    );

    let both = format!("--payload-secret-file {wrong} --payload-secret-file {right}");
    let report = receiver.json(&format!("{replay} {both}"));
    assert_eq!(runs(&report), [(2, "mail"), (2, "ship")]);
    assert_eq!(receiver.json("show 2")["id"], "evt_2");
}

async fn an_event_read_anew_has_the_ordering_key_that_the_provider_or_the_option_says(
    store: Store,
) {
    let receiver = Receiver::open(store).await;
    receiver.register("shop", "mail").await;
    let keyed = format!("{SHOP}ordering_key = \"/account\"\n");
    let folder = receiver.file("");
    let plain = write(&folder, "plain.toml", SHOP);
    let keyed = write(&folder, "keyed.toml", &keyed);
    for (seq, provider, expected) in [
        (1, plain.clone(), json!(null)),
        (
            2,
            format!("{plain} --ordering-key /account"),
            json!("acc_1"),
        ),
        (3, keyed, json!("acc_1")),
    ] {
        let body = format!(r#"{{"type":"a.b","id":"{seq}","account":"acc_1"}}"#);
        unusable(&receiver, &body).await;
        receiver.text(&format!("replay --event {seq} --provider {provider}"));
        let shown = receiver.json(&format!("show {seq}"));
        assert_eq!(shown["ordering_key"], expected, "{provider}");
    }
    let ran = receiver.run(&format!(
        "replay --event 1 --provider {plain} --ordering-key account"
    ));
    assert_one_line(&ran, 2, "--ordering-key: \"account\" is no place");
    let ran = receiver.run("replay --event 1 --ordering-key /account");
    assert_one_line(&ran, 2, "--provider <NAME|FILE>");
}

async fn unusable_events_on_later_pages_are_read_too(store: Store) {
    let receiver = Receiver::open(store).await;
    for number in 0..250 {
        if number % 5 == 0 {
            unusable(
                &receiver,
                &format!(r#"{{"type":"a.b","id":"late_{number}"}}"#),
            )
            .await;
        } else {
            receiver.insert(event(&format!("evt_{number}"), "{}")).await;
        }
    }
    receiver.register("shop", "mail").await;
    let shop = write(receiver.file("").as_path(), "shop.toml", SHOP);
    let report = receiver.json(&format!("replay --endpoint shop --provider {shop}"));
    assert_eq!(runs(&report).len(), 250);
    assert_eq!(report["idle"], json!([]));
    assert_eq!(report["unread"], json!({}));
}

async fn an_event_without_a_body_cannot_run(store: Store) {
    let receiver = Receiver::with_dead_job(store).await;
    receiver.text("erase --event 1 --yes");
    let ran = receiver.run("replay --event 1");
    assert_one_line(&ran, 1, "1 have no body any more");
    assert!(ran.stdout.contains("its body is gone"), "{ran:?}");
    assert!(receiver.claim("shop", "ship").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: eval \"$(scripts/postgres start)\""]
async fn workers_on_postgres_are_told_of_a_replay() {
    let receiver = Receiver::with_dead_job(Store::Postgres).await;
    let told = async || {
        let told = timeout(Duration::from_secs(5), receiver.inbox.changed());
        told.await.is_ok()
    };
    assert!(told().await, "once, when it begins to listen");
    receiver.text("replay --handler ship --state dead");
    assert!(told().await);
}
