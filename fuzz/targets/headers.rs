//! What a stranger can send: no headers, query and body pass a verifier whose
//! secret he does not know, and none makes it panic.
#![no_main]

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;
use tower_webhooks_core::{Head, Provider, Secrets, Verifier, provider::TimestampPlace, providers};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    provider: usize,
    signature: Vec<&'a [u8]>,
    timestamp: Vec<&'a [u8]>,
    others: Vec<(usize, &'a [u8])>,
    query: Option<&'a str>,
    body: &'a [u8],
}

/// Those for which the secret can be drawn anew each time: all but those of
/// public keys.
static VERIFIERS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    let drawn = |nth: u64| format!("{:016x}", RandomState::new().hash_one(nth));
    let secret = (0..4).map(drawn).collect::<String>();
    let forms = [secret.clone(), format!("whsec_{secret}")];
    let verifier = |provider: Provider| {
        forms.iter().find_map(|secret| {
            let secrets = Secrets::new(secret.clone()).ok()?;
            Verifier::new(provider.clone(), &secrets).ok()
        })
    };
    let found: Vec<_> = providers::all().into_iter().filter_map(verifier).collect();
    assert!(found.len() > 20, "only {} providers", found.len());
    let url = "https://receiver.example/hook";
    let with_url = |verifier: Verifier| verifier.with_public_url(Some(url.into()));
    found.into_iter().map(with_url).collect()
});

/// The other headers that presets sign or read.
const OTHERS: [&str; 8] = [
    "content-encoding",
    "content-type",
    "svix-id",
    "webhook-id",
    "wechatpay-nonce",
    "x-github-delivery",
    "x-github-event",
    "x-lark-request-nonce",
];

fuzz_target!(|input: Input<'_>| {
    let verifier = &VERIFIERS[input.provider % VERIFIERS.len()];
    let provider = verifier.provider();
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    };
    if let Some(name) = provider.scheme().header() {
        for value in input.signature.iter().take(4) {
            add(name.clone(), value);
        }
    }
    let timestamp = provider.scheme().timestamp().map(|signed| signed.place());
    if let Some(TimestampPlace::Header(name)) = timestamp {
        for value in input.timestamp.iter().take(2) {
            add(name.clone(), value);
        }
    }
    for (nth, value) in input.others.iter().take(8) {
        add(HeaderName::from_static(OTHERS[nth % OTHERS.len()]), value);
    }
    let Ok(uri) = format!("/hook?{}", input.query.unwrap_or_default()).parse::<Uri>() else {
        return;
    };
    for now in [NOW, NOW + Duration::from_secs(1_772_447_400)] {
        if let Ok(screened) = provider.screen(&headers, now) {
            let head = Head::new(&Method::POST, &uri, &headers);
            let body = Bytes::copy_from_slice(input.body);
            let passed = verifier.verify(head, &screened, body, now);
            assert!(passed.is_err(), "{} let it pass", provider.name());
        }
    }
});
