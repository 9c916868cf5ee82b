//! What a stored body can hold: where an event is read out of it, a second
//! parser that keeps the whole tree reads the same.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_webhooks_core::{Delivery, EventHead, Provider, Restored, providers};

static PROVIDERS: LazyLock<Vec<Arc<Provider>>> =
    LazyLock::new(|| providers::all().into_iter().map(Arc::new).collect());

/// The headers that hold a type or an id.
const HEADERS: [&str; 8] = [
    "idempotency-key",
    "linear-delivery",
    "webhook-id",
    "x-github-delivery",
    "x-github-event",
    "x-m2m-event",
    "x-shopify-event-id",
    "x-shopify-topic",
];

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    provider: usize,
    headers: [&'a [u8]; HEADERS.len()],
    body: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let provider = &PROVIDERS[input.provider % PROVIDERS.len()];
    let body = Bytes::copy_from_slice(input.body);
    let mut stored = Restored::new(body, SystemTime::UNIX_EPOCH);
    for (name, value) in HEADERS.into_iter().zip(input.headers) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            stored.headers.insert(HeaderName::from_static(name), value);
        }
    }
    let delivery = Delivery::insecure_restore(Arc::clone(provider), stored);
    let changing = provider.envelope().changing_fields();
    // Twilio's forms: their signed row.
    let is_told_by_content =
        !changing.is_empty() || delivery.items().is_some() || provider.name().as_str() == "twilio";
    let told = delivery.content_sha256();
    assert!(told.is_none() || is_told_by_content, "{}", provider.name());
    if let Ok(event) = delivery.event() {
        check(event, provider, input.body);
    }
    for (nth, item) in delivery.items().unwrap_or_default().iter().enumerate() {
        assert_eq!(item.index(), nth);
        assert!(!item.id().is_empty());
        serde_json::from_str::<Value>(item.json()).expect("an item is JSON");
        if let Ok(event) = item.event() {
            assert!(!event.event_type().is_empty());
        }
    }
});

fn check(event: &EventHead, provider: &Provider, body: &[u8]) {
    assert!(!event.event_type().is_empty());
    if body.first() != Some(&b'{') {
        // A form, or several events.
        return;
    }
    let Ok(tree) = serde_json::from_slice::<Value>(body) else {
        // A number that no double can hold, or nesting: still data as it came.
        return;
    };
    let data = serde_json::from_str::<Value>(event.data());
    if let (Ok(data), Some(same)) = (data, tree.pointer(provider.envelope().data())) {
        assert_eq!(&data, same, "{}", provider.name());
    }
    // Monterrey, MPPCash and others: the type is a text of this name.
    let plain = ["mppcash", "monterrey", "stripe", "devdraft"].contains(&&**provider.name());
    if let (true, Some(Value::String(text))) = (plain, tree.get("type")) {
        assert_eq!(event.event_type(), text.as_str(), "{}", provider.name());
    }
}
