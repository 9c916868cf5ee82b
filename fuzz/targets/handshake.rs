//! What asks whether a receiver is there: no query and body gets an answer
//! without the token, and no answer is longer than what was asked allows.
#![no_main]

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
    time::SystemTime,
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use tower_webhooks_core::{
    Handshaker, Provider, Secrets,
    provider::{Handshake, HandshakeProof},
    providers,
};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// Longer than any answer to what is let through.
const MOST_BYTES: usize = 8 * 1024;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    provider: usize,
    get: bool,
    query: &'a str,
    body: &'a [u8],
}

static ASKED: LazyLock<Vec<(Provider, Handshaker)>> = LazyLock::new(|| {
    let drawn = |nth: u64| format!("{:016x}", RandomState::new().hash_one(nth));
    let secret = (0..4).map(drawn).collect::<String>();
    let secrets = Secrets::new(secret).unwrap();
    let handshaker = |provider: Provider| {
        let made = Handshaker::new(provider.clone(), &secrets, Some(&secrets)).ok()?;
        (!provider.handshakes().is_empty()).then_some((provider, made))
    };
    let found: Vec<_> = providers::all()
        .into_iter()
        .filter_map(handshaker)
        .collect();
    assert!(found.len() > 3, "only {} providers", found.len());
    found
});

fuzz_target!(|input: Input<'_>| {
    let (provider, handshaker) = &ASKED[input.provider % ASKED.len()];
    let method = if input.get { Method::GET } else { Method::POST };
    if let Ok(uri) = format!("/hook?{}", input.query).parse::<Uri>()
        && let Some(Ok(answer)) = handshaker.answer_head(&method, &uri, NOW)
    {
        let open = |handshake: &Handshake| *handshake.proof() == HandshakeProof::InsecureNone;
        assert!(
            provider.handshakes().iter().any(open),
            "{}",
            provider.name()
        );
        assert!(answer.body.len() <= MOST_BYTES);
    }
    let body = Bytes::copy_from_slice(input.body);
    if let Some(Ok(_)) = handshaker.answer_unsigned(&body, NOW) {
        panic!("{} answered a stranger", provider.name());
    }
});
