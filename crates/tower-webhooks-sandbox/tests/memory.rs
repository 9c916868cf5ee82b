//! What a sandbox that runs for long remembers: no more than it says.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tower_webhooks_sandbox::{NewRegistration, Sandbox, SandboxBuilder, State, Trigger};

/// Where nobody listens, so that each attempt fails at once.
const AWAY: &str = "http://127.0.0.1:1/hook";

fn registered(builder: SandboxBuilder) -> Sandbox {
    let sandbox = builder.start().unwrap();
    let new = NewRegistration::new("monterrey", AWAY);
    sandbox.register(new).unwrap();
    sandbox
}

fn ids(sandbox: &Sandbox) -> Vec<String> {
    let all = sandbox.dispatches().into_iter();
    all.map(|dispatch| dispatch.id).collect()
}

#[tokio::test(start_paused = true)]
async fn large_events_are_remembered_as_far_as_they_fit_and_the_newest_longest() {
    let tried = Arc::new(Mutex::new(HashSet::new()));
    let tries = Arc::clone(&tried);
    let told = move |dispatch: &tower_webhooks_sandbox::Dispatch| {
        tries.lock().unwrap().insert(dispatch.id.clone());
    };
    let sandbox = registered(Sandbox::builder().on_attempt(told));
    let body = json!({
        "id": "evt_1", "event": "payment.confirmed", "createdAt": "2026-03-02T10:30:00Z",
        "data": { "note": "x".repeat(4 << 20) },
    });
    let large = Trigger::new("monterrey", "payment.confirmed")
        .with_body(body.to_string())
        .same();
    let mut triggered = Vec::new();
    for _ in 0..20 {
        triggered.extend(sandbox.trigger(&large).unwrap());
    }
    // 64 MiB, of which each takes a little more than four.
    let (forgotten, kept) = triggered.split_at(5);
    assert_eq!(ids(&sandbox), kept);
    for id in forgotten {
        assert_eq!(sandbox.find_dispatch(id), None);
        assert_eq!(sandbox.ended(id).await, None);
        assert_eq!(sandbox.redeliver(id).await, None);
    }
    for id in kept {
        let tried = sandbox.attempted(id, 1).await.unwrap();
        assert_eq!((tried.state, tried.attempts.len()), (State::Pending, 1));
    }
    sandbox.stop();
    let tried = tried.lock().unwrap();
    assert_eq!(
        *tried,
        kept.iter().cloned().collect(),
        "no others are tried"
    );
}

#[tokio::test]
async fn ten_thousand_small_ones_are_remembered_in_their_order() {
    let sandbox = registered(Sandbox::builder());
    let small = Trigger::new("monterrey", "payment.confirmed").same();
    let mut triggered = Vec::new();
    for _ in 0..10_050 {
        triggered.extend(sandbox.trigger(&small).unwrap());
    }
    let (forgotten, kept) = triggered.split_at(50);
    assert_eq!(ids(&sandbox), kept);
    for (id, known) in [
        (&forgotten[49], false),
        (&kept[0], true),
        (&kept[9_999], true),
    ] {
        let found = sandbox.find_dispatch(id).map(|dispatch| dispatch.id);
        assert_eq!(found.as_ref(), known.then_some(id));
    }
    sandbox.stop();
}

#[tokio::test]
async fn a_thousand_attempts_of_one_are_remembered() {
    let sandbox = registered(Sandbox::builder());
    let trigger = Trigger::new("monterrey", "payment.confirmed");
    let id = sandbox.trigger(&trigger).unwrap().remove(0);
    let first = sandbox.attempted(&id, 1).await.unwrap();
    assert!(!first.attempts[0].by_hand);
    for count in 2..=1_000 {
        let dispatch = sandbox.redeliver(&id).await.unwrap();
        assert_eq!(dispatch.attempts.len(), count);
    }
    assert_eq!(
        sandbox.find_dispatch(&id).unwrap().attempts[0],
        first.attempts[0]
    );
    let dispatch = sandbox.redeliver(&id).await.unwrap();
    assert_eq!(dispatch.attempts.len(), 1_000);
    assert!(dispatch.attempts[0].by_hand, "the first is forgotten");
    sandbox.stop();
}
