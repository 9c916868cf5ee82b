//! The handshakes of the presets, as their documents show them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Uri};
use tower_webhooks_core::{
    Handshaker, RejectionKind, Secrets, SetupError,
    provider::{Answer, HandshakeAnswer},
    providers,
};

use crate::{
    case::{now, secrets, sign, verifier, verify},
    keys::{HANDSHAKE_TOKEN, Which},
};

fn handshaker(name: &str) -> Handshaker {
    let provider = Arc::new(providers::find(name).unwrap());
    let tokens = Secrets::new(HANDSHAKE_TOKEN).unwrap();
    let opener = verifier(&provider, &[Which::First]).opener().cloned();
    let secrets = secrets(&provider, &[Which::First]);
    Handshaker::new(provider, &secrets, Some(&tokens))
        .unwrap()
        .with_opener(opener)
}

/// Signs a body as the provider does, and asks.
fn signed(name: &str, body: &str) -> Option<Answer> {
    let provider = Arc::new(providers::find(name).unwrap());
    let request = sign(&provider, Which::First, "a-type", body.as_bytes());
    let delivery = verify(&provider, &[Which::First], &request, now()).unwrap();
    let answer = handshaker(name).answer_delivery(&delivery);
    answer.map(|answer| answer.unwrap())
}

#[test]
fn signed_handshakes_are_answered_and_events_are_not() {
    let answer = signed(
        "slack",
        r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY","type":"url_verification"}"#,
    );
    let expected = r#"{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY"}"#;
    assert_eq!(answer.unwrap(), Answer::json(200, expected));

    let ping = signed("discord", r#"{"version":1,"application_id":"1","type":0}"#).unwrap();
    assert_eq!((ping.status, ping.body.as_str()), (204, ""));
    let ping = signed("discord-interactions", r#"{"type":1,"id":"1"}"#).unwrap();
    assert_eq!((ping.status, ping.body.as_str()), (200, r#"{"type":1}"#));

    for provider in providers::all() {
        for event in &provider.events().list {
            let sample = event.sample.as_deref().unwrap();
            assert_eq!(signed(provider.name(), sample), None, "{}", provider.name());
        }
    }
}

/// The token and the body of Zoom's own sample; the digest by
/// `printf %s qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac conformance-Secret_of-this-test-0001`.
#[test]
fn zoom_is_given_the_digest_of_its_token() {
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}"#;
    let answer = signed("zoom", body).unwrap();
    let expected = r#"{"encryptedToken":"603e984eb9b55bb55dace6a78852bf392003b4c1b1ed5d53207e79b8030b438a","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}"#;
    assert_eq!(answer, Answer::json(200, expected));
}

#[test]
fn meta_and_graph_are_told_what_they_said() {
    let ask = |name: &str, method: Method, query: &str| {
        let uri: Uri = format!("/hook?{query}").parse().unwrap();
        let answer = handshaker(name).answer_head(&method, &uri, now());
        answer.map(|answer| answer.map_err(|rejection| rejection.kind()))
    };
    let query =
        format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={HANDSHAKE_TOKEN}");
    let answer = ask("meta", Method::GET, &query).unwrap().unwrap();
    assert_eq!(answer, Answer::text(200, "1158201444"));
    let wrong = query.replace(HANDSHAKE_TOKEN, "meatyhamhock");
    let refused = Some(Err(RejectionKind::SignatureMismatch));
    assert_eq!(ask("meta", Method::GET, &wrong), refused);

    let graph = ask("microsoft-graph", Method::POST, "validationToken=a%3Ab+c");
    assert_eq!(graph.unwrap().unwrap(), Answer::text(200, "a:b c"));
    assert_eq!(ask("github", Method::GET, &query), None);
}

#[test]
fn lark_asks_in_secret_and_proves_itself_by_its_token() {
    let plain = format!(
        r#"{{"challenge":"ajls384kdjx98XX","token":"{HANDSHAKE_TOKEN}","type":"url_verification"}}"#
    );
    let lark = Arc::new(providers::lark());
    let sealed = |plain: &str| sign(&lark, Which::First, "a-type", plain.as_bytes()).body;
    let ask = |body: &Bytes| {
        let answer = handshaker("lark").answer_unsigned(body, now());
        answer.map(|answer| answer.map_err(|rejection| rejection.kind()))
    };
    let answer = ask(&sealed(&plain)).unwrap().unwrap();
    assert_eq!(
        answer,
        Answer::json(200, r#"{"challenge":"ajls384kdjx98XX"}"#)
    );
    let wrong = plain.replace(HANDSHAKE_TOKEN, "another");
    let refused = Some(Err(RejectionKind::SignatureMismatch));
    assert_eq!(ask(&sealed(&wrong)), refused);
    let in_clear = Bytes::from(plain);
    assert_eq!(
        ask(&in_clear),
        None,
        "nothing outside the ciphertext counts"
    );
}

#[test]
fn a_digest_is_given_only_to_what_is_signed() {
    for provider in providers::all() {
        for handshake in provider.handshakes() {
            let signs = matches!(handshake.answer(), HandshakeAnswer::SignedJson { .. });
            assert!(!signs || handshake.is_signed(), "{}", provider.name());
        }
        let needs_token = provider.handshakes().iter().any(|one| one.needs_token());
        let secrets = secrets(&provider, &[Which::First]);
        let without = Handshaker::new(provider.clone(), &secrets, None);
        let missing = matches!(without, Err(SetupError::HandshakeSecretsMissing));
        assert_eq!(missing, needs_token, "{}", provider.name());
    }
}
