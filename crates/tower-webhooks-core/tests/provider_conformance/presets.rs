//! What is documented of each provider.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tower_webhooks_core::{
    Provider, RejectionKind,
    provider::{Answer, SignedAnew},
    providers::{self, cryptomate, mppcash},
};

use crate::case::{Case, SECRET, now, secrets, sign, verify};

#[test]
fn descriptions_hold_together_and_survive_toml_and_json() {
    let all = providers::all();
    let names: Vec<_> = all.iter().map(|p| p.name().to_string()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted, "in the order of their names, each once");
    assert_eq!(providers::find("no-such-provider"), None);

    for provider in all {
        let name = provider.name().to_string();
        provider.check().unwrap();
        assert_eq!(providers::find(&name).as_ref(), Some(&provider));
        assert_ne!(provider.title(), provider.name());
        assert!(
            provider.source().unwrap().contains("read 2026-11-22"),
            "{name}"
        );
        assert!(!provider.not_covered().is_empty(), "{name}");
        assert!(!provider.assumptions().is_empty(), "{name}");
        for reply in provider.replies() {
            assert!(provider.events().find(&reply.event_type).is_some());
        }

        let toml = toml::to_string(&provider).unwrap();
        assert_eq!(toml::from_str::<Provider>(&toml).unwrap(), provider);
        let json = serde_json::to_string(&provider).unwrap();
        assert_eq!(serde_json::from_str::<Provider>(&json).unwrap(), provider);
    }
}

#[test]
fn documented_answers_retries_and_budgets() {
    let provider = |name| providers::find(name).unwrap();
    let ok = Answer::text(200, "OK");
    let invalid = Answer::text(401, "Invalid signature");
    for (name, acknowledge, refuse) in [
        ("cryptomate", Answer::empty(200), Answer::default()),
        ("devdraft", Answer::empty(200), Answer::default()),
        ("m2m", ok.clone(), invalid.clone()),
        (
            "monterrey",
            Answer::json(200, r#"{"received":true}"#),
            Answer::json(401, r#"{"error":"Invalid signature"}"#),
        ),
        ("mppcash", ok, invalid),
    ] {
        assert_eq!(provider(name).answers().acknowledge, acknowledge, "{name}");
        assert_eq!(provider(name).answers().refuse.body, refuse.body, "{name}");
        assert_eq!(
            provider(name).answers().refuse.content_type,
            refuse.content_type,
            "{name}"
        );
    }
    for (name, minutes, deadline) in [
        ("cryptomate", &[][..], None),
        ("devdraft", &[], None),
        ("m2m", &[1, 5, 30, 120], Some(Duration::from_secs(30))),
        (
            "monterrey",
            &[1, 5, 30, 120, 1_440],
            Some(Duration::from_secs(30)),
        ),
        ("mppcash", &[], None),
    ] {
        let delays: Vec<_> = minutes
            .iter()
            .map(|minutes| Duration::from_secs(minutes * 60))
            .collect();
        let provider = provider(name);
        assert_eq!(provider.retries().delays, delays, "{name}");
        assert_eq!(provider.retries().deadline, deadline, "{name}");
        assert_eq!(
            provider.retries().signed_anew,
            SignedAnew::Unknown,
            "{name}"
        );
        assert!(!provider.events().complete, "{name}");
    }
    let cryptomate = provider("cryptomate");
    let [decision] = cryptomate.replies() else {
        panic!("one event is answered with a decision");
    };
    assert_eq!(decision.event_type, "cards.authorization.pending");
    assert_eq!(decision.budget, Duration::from_secs(1));
}

#[test]
fn deliveries_signed_elsewhere_are_accepted() {
    for (name, event_type, secret, time, signature) in [
        (
            "mppcash",
            "session.settled",
            "composed-mppcash-secret-0001",
            None,
            "64cfa35de6b3935fc1ccdec9f76e028e758217929fa993f1439b74fba0c59239",
        ),
        (
            "monterrey",
            "payment.confirmed",
            "whsec_composed_monterrey_secret_01",
            None,
            "c2655681f9ff890e3dd4c493b920c32ee0a3ef99d2cf3105f51b4e72ec1d139f",
        ),
        (
            "m2m",
            "user.data_request",
            "composed-m2m-webhook-secret-0001",
            Some(("x-m2m-timestamp", "1772447400")),
            "sha256=9f4e4dc4776fdcef4451cea482e2be173c83f29fb2fdbea5996671455be401db",
        ),
    ] {
        let provider = Arc::new(providers::find(name).unwrap());
        let sample = provider.events().find(event_type).unwrap().sample.clone();
        let mut headers = HeaderMap::new();
        headers.insert(provider.scheme().header(), signature.parse().unwrap());
        if let Some((header, time)) = time {
            headers.insert(header, time.parse().unwrap());
        }
        let body = Bytes::from(sample.unwrap().to_string());
        let delivery = verify(&provider, &secrets(secret), &headers, body, now()).unwrap();
        assert_eq!(delivery.event().unwrap().event_type(), event_type);
    }
}

#[test]
fn m2m_signs_the_time_with_the_body_and_not_the_event_header() {
    let m2m = Case::all()
        .into_iter()
        .filter(|case| case.provider.name() == "m2m");
    for case in m2m {
        let bare = case.signature().replace("sha256=", "");
        case.check_signature(&bare).unwrap();

        let body_alone = sign(&Arc::new(mppcash()), SECRET, &case.body, now());
        let body_alone = body_alone["x-mppcash-signature"].to_str().unwrap();
        assert_eq!(
            case.check_signature(body_alone).unwrap_err(),
            RejectionKind::SignatureMismatch
        );

        let mut headers = case.sign();
        assert_eq!(headers["x-m2m-event"], case.event_type.as_str());
        headers.insert("x-m2m-event", HeaderValue::from_static("link.opened.twice"));
        let delivery = case.check(&headers).unwrap();
        assert_eq!(
            delivery.event().unwrap().event_type(),
            case.event_type.as_str()
        );
    }
}

#[test]
fn cryptomate_sends_an_unsigned_time_in_milliseconds() {
    let provider = Arc::new(cryptomate());
    let headers = sign(&provider, SECRET, b"{}", now());
    assert_eq!(headers["x-request-timestamp"], "1772447400000");
    assert!(!provider.signs_id());
    assert!(!provider.signs_type());
}
