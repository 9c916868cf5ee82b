use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, Method, Uri};

use super::*;
use crate::{
    Head, Provider, RejectionKind, Secret, Secrets, SetupError, Signer, Verifier,
    provider::{Envelope, HmacScheme, Part, Scheme, SignedTimestamp},
};

const SECRET: &str = "a-signing-secret";

fn now() -> SystemTime {
    let since = Duration::from_secs(1_700_000_000);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap()
}

/// Signs as Slack and Zoom do.
fn provider(handshake: Handshake) -> Provider {
    let scheme = HmacScheme::new(HeaderName::from_static("x-signature"))
        .with_prefix("v0=")
        .with_signed([
            Part::literal("v0:"),
            Part::Timestamp,
            Part::literal(":"),
            Part::Body,
        ])
        .with_timestamp(SignedTimestamp::in_header(HeaderName::from_static(
            "x-timestamp",
        )));
    Provider::new("acme", Scheme::Hmac(scheme), Envelope::new("/event"))
        .with_handshakes([handshake])
}

fn zoom() -> Provider {
    provider(
        Handshake::signed_body("/event", "endpoint.url_validation").with_answer(
            HandshakeAnswer::SignedJson {
                pointer: "/payload/plainToken".to_owned(),
                plain: "plainToken".to_owned(),
                digest: "encryptedToken".to_owned(),
            },
        ),
    )
}

fn slack() -> Provider {
    provider(
        Handshake::signed_body("/type", "url_verification")
            .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge")),
    )
}

type Told = Option<Result<String, RejectionKind>>;

fn told(answer: Option<Result<Answer, crate::Rejection>>) -> Told {
    answer.map(|answer| {
        answer
            .map(|answer| answer.body.to_string())
            .map_err(|rejection| rejection.kind())
    })
}

/// Signed as the provider does, verified, and then asked.
fn ask(provider: &Provider, body: &str) -> Told {
    let signer = Signer::new(provider.clone(), Secret::new(SECRET).unwrap());
    let headers = signer.sign(body.as_bytes(), now()).unwrap();
    let secrets = Secrets::new(SECRET).unwrap();
    let verifier = Verifier::new(provider.clone(), &secrets).unwrap();
    let screened = provider.screen(&headers, now()).unwrap();
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let head = Head::new(&method, &uri, &headers);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let delivery = verifier.verify(head, &screened, body, now()).unwrap();
    let handshaker = Handshaker::new(provider.clone(), &secrets, None).unwrap();
    told(handshaker.answer_delivery(&delivery))
}

#[test]
fn a_signed_challenge_is_given_back() {
    let asked = ask(
        &slack(),
        r#"{"type":"url_verification","challenge":"3eZbrw1a","token":"x"}"#,
    );
    assert_eq!(asked, Some(Ok(r#"{"challenge":"3eZbrw1a"}"#.to_owned())));
    assert_eq!(
        ask(&slack(), r#"{"type":"event_callback","challenge":"a"}"#),
        None
    );
    assert_eq!(ask(&slack(), r#"{"a":{"type":"url_verification"}}"#), None);
}

#[test]
fn what_is_given_back_is_bounded_and_plain() {
    for challenge in [
        "",
        "<script>",
        "a&b",
        "a\\\"b",
        "a\\u0000",
        "é",
        &"a".repeat(2_049),
    ] {
        let body = format!(r#"{{"type":"url_verification","challenge":"{challenge}"}}"#);
        let refused = Some(Err(RejectionKind::SignatureMalformed));
        assert_eq!(ask(&slack(), &body), refused, "{challenge}");
    }
    let body = format!(
        r#"{{"type":"url_verification","challenge":"{}"}}"#,
        "a".repeat(2_048)
    );
    assert!(ask(&slack(), &body).unwrap().is_ok());
}

/// Bolt answers any form that holds `ssl_check` without a look at its
/// signature; here it is a request like any other.
#[test]
fn no_field_of_a_form_or_query_gets_around_the_signature() {
    let slack = slack();
    let handshaker = Handshaker::new(slack.clone(), &Secrets::new(SECRET).unwrap(), None).unwrap();
    let smuggled = Bytes::from_static(b"ssl_check=1&token=x&type=url_verification&challenge=a");
    assert_eq!(told(handshaker.answer_unsigned(&smuggled, now())), None);
    let json = Bytes::from_static(br#"{"type":"url_verification","challenge":"a","ssl_check":1}"#);
    assert_eq!(told(handshaker.answer_unsigned(&json, now())), None);
    for method in [Method::GET, Method::POST] {
        let uri = Uri::from_static("/?ssl_check=1&type=url_verification&challenge=a");
        assert_eq!(told(handshaker.answer_head(&method, &uri, now())), None);
    }
    let unsigned = slack.screen(&http::HeaderMap::new(), now()).unwrap_err();
    assert_eq!(unsigned.kind(), RejectionKind::SignatureMissing);
    assert_eq!(ask(&slack, "ssl_check=1&token=x"), None);
}

#[test]
fn a_signed_token_is_given_its_digest() {
    let body =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    // printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac a-signing-secret
    let digest = "42a7a9d944667ab09eb870257c21006f115321b81e3b0aa930fb9743e6fa02d0";
    let expected =
        format!(r#"{{"encryptedToken":"{digest}","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#);
    assert_eq!(ask(&zoom(), body), Some(Ok(expected)));
}

/// A digest of `v0:1700000000:{…}` would be the signature of a forged delivery,
/// and one of a whole body that of a provider that signs the body alone.
#[test]
fn no_text_that_could_be_a_signed_message_is_given_a_digest() {
    for token in [
        r#"v0:1700000000:{\"event\":\"x\"}"#,
        "v0:1700000000:x",
        "a:b",
        r#"{\"event\":\"meeting.started\"}"#,
        "a=b&c=d",
        "a.b",
        "",
        " ",
        &"a".repeat(129),
    ] {
        let body = format!(
            r#"{{"event":"endpoint.url_validation","payload":{{"plainToken":"{token}"}}}}"#
        );
        let refused = Some(Err(RejectionKind::SignatureMalformed));
        assert_eq!(ask(&zoom(), &body), refused, "{token}");
    }
}

#[test]
fn nobody_gets_a_digest_without_a_signature() {
    let answer = zoom().handshakes()[0].answer().clone();
    for open in [
        Handshake::query("GET", "crc_token"),
        Handshake::query("GET", "crc_token").with_query_token("token"),
        Handshake::body_with_token("/event", "crc", "/token"),
    ] {
        let provider = provider(open.with_answer(answer.clone()));
        let error = provider.check().unwrap_err().to_string();
        assert!(error.contains("for a stranger"), "{error}");
    }
}

fn meta() -> Provider {
    provider(
        Handshake::query("GET", "hub.mode")
            .with_value("subscribe")
            .with_query_token("hub.verify_token")
            .with_answer(HandshakeAnswer::EchoQuery("hub.challenge".to_owned())),
    )
}

#[test]
fn a_challenge_in_the_query_is_given_back_for_the_right_token() {
    let tokens = Secrets::new("meaty").unwrap();
    let secrets = Secrets::new(SECRET).unwrap();
    let handshaker = Handshaker::new(meta(), &secrets, Some(&tokens)).unwrap();
    let ask = |method: Method, query: &str| {
        let uri: Uri = format!("/hook?{query}").parse().unwrap();
        told(handshaker.answer_head(&method, &uri, now()))
    };
    let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meaty";
    assert_eq!(ask(Method::GET, good), Some(Ok("1158201444".to_owned())));
    for no_handshake in [
        "hub.challenge=1&hub.verify_token=meaty",
        "hub.mode=x&hub.challenge=1",
    ] {
        assert_eq!(ask(Method::GET, no_handshake), None, "{no_handshake}");
    }
    assert_eq!(ask(Method::POST, good), None);
    for (query, kind) in [
        (
            good.replace("meaty", "Meaty"),
            RejectionKind::SignatureMismatch,
        ),
        (good.replace("meaty", ""), RejectionKind::SignatureMismatch),
        (
            good.replace("&hub.verify_token=meaty", ""),
            RejectionKind::SignatureMismatch,
        ),
        (
            format!("{good}&hub.verify_token=meaty"),
            RejectionKind::SignatureMismatch,
        ),
        (
            good.replace("1158201444", "%3Cscript%3E"),
            RejectionKind::SignatureMalformed,
        ),
        (
            format!("{good}&hub.challenge=2"),
            RejectionKind::SignatureMalformed,
        ),
    ] {
        assert_eq!(ask(Method::GET, &query), Some(Err(kind)), "{query}");
    }
    let missing = Handshaker::new(meta(), &secrets, None);
    assert!(matches!(missing, Err(SetupError::HandshakeSecretsMissing)));
}

#[test]
fn an_open_handshake_says_only_what_was_said() {
    let graph = provider(Handshake::query("POST", "validationToken"));
    let handshaker = Handshaker::new(graph, &Secrets::new(SECRET).unwrap(), None).unwrap();
    let ask = |query: &'static str| {
        let uri: Uri = format!("/hook?{query}").parse().unwrap();
        handshaker.answer_head(&Method::POST, &uri, now())
    };
    let answer = ask("validationToken=Validation%3A+Testing+id-7")
        .unwrap()
        .unwrap();
    assert_eq!(answer.body, "Validation: Testing id-7");
    assert_eq!(answer.content_type.unwrap(), "text/plain; charset=utf-8");
    let refused = Some(Err(RejectionKind::SignatureMalformed));
    assert_eq!(
        told(ask("validationToken=%3Cimg%20onerror%3D1%3E")),
        refused
    );
    assert_eq!(told(ask("validationToken=a%0d%0aSet-Cookie:x")), refused);
    assert_eq!(told(ask("other=1")), None);
}

#[test]
fn an_unsigned_challenge_with_a_token_in_its_body() {
    let lark = provider(
        Handshake::body_with_token("/type", "url_verification", "/token")
            .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge")),
    );
    let tokens = Secrets::new("the-verification-token").unwrap();
    let secrets = Secrets::new(SECRET).unwrap();
    let handshaker = Handshaker::new(lark, &secrets, Some(&tokens)).unwrap();
    let ask = |body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        told(handshaker.answer_unsigned(&body, now()))
    };
    let good = r#"{"challenge":"ajls","token":"the-verification-token","type":"url_verification"}"#;
    assert_eq!(ask(good), Some(Ok(r#"{"challenge":"ajls"}"#.to_owned())));
    let mismatch = Some(Err(RejectionKind::SignatureMismatch));
    assert_eq!(ask(&good.replace("the-v", "The-v")), mismatch);
    assert_eq!(
        ask(&good.replace(r#""token":"the-verification-token","#, "")),
        mismatch
    );
    assert_eq!(ask(&good.replace("url_verification", "event")), None);
    assert_eq!(ask(&format!("{good}{}", " ".repeat(16 * 1024))), None);
}

#[test]
fn a_handshake_comes_back_from_its_text() {
    for provider in [zoom(), slack(), meta()] {
        let text = toml::to_string(&provider).unwrap();
        assert_eq!(
            toml::from_str::<Provider>(&text).unwrap(),
            provider,
            "{text}"
        );
    }
}

#[test]
fn what_does_not_fit_together_is_a_mistake() {
    for wrong in [
        Handshake::signed_body("type", "x"),
        Handshake::signed_body("/type", "x")
            .with_answer(HandshakeAnswer::EchoQuery("a".to_owned())),
        Handshake::query("GET", "a").with_answer(HandshakeAnswer::echo_json("/a", "a")),
    ] {
        assert!(provider(wrong).check().is_err());
    }
}

#[test]
fn nothing_signs_a_token_of_a_body_that_is_not_signed_whole() {
    let answer = zoom().handshakes()[0].clone();
    for (parts, is_refused) in [
        (vec![Part::Timestamp, Part::field("/token")], true),
        (vec![Part::Timestamp, Part::Body], false),
    ] {
        let timestamp = HeaderName::from_static("x-timestamp");
        let scheme = HmacScheme::new(HeaderName::from_static("x-signature"))
            .with_signed(parts)
            .with_timestamp(SignedTimestamp::in_header(timestamp));
        let provider = Provider::new("acme", Scheme::Hmac(scheme), Envelope::new("/event"))
            .with_handshakes([answer.clone()]);
        let told = provider.check().map_err(|error| error.to_string());
        assert_eq!(told.is_err(), is_refused, "{told:?}");
    }
}
