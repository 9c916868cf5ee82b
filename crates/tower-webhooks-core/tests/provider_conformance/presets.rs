//! What is documented of each provider.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower_webhooks_core::{
    Delivery, Head, Provider, RejectionKind, Restored, Secrets, Unusable, Verifier,
    provider::{Answer, SignedAnew},
    providers::{self, cryptomate, mppcash},
};

use crate::{
    case::{Case, Request, Spot, now, sign},
    keys::Which,
};

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
        let source = provider.source().unwrap();
        assert!(source.contains("read 2026-11-22"), "{name}");
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
        let provider = providers::find(name).unwrap();
        let sample = provider.events().find(event_type).unwrap().sample.clone();
        let header = provider.scheme().header().unwrap().to_string();
        let headers = [Some((header.as_str(), signature)), time];
        let headers: Vec<_> = headers.into_iter().flatten().collect();
        let delivery = given(provider, secret, &headers, &sample.unwrap(), now()).unwrap();
        assert_eq!(delivery.event().unwrap().event_type(), event_type);
    }
}

/// A request as it stands in a document, with the secret from there.
fn given(
    provider: Provider,
    secret: &str,
    headers: &[(&str, &str)],
    body: &str,
    now: SystemTime,
) -> Result<Delivery, RejectionKind> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let verifier = Verifier::new(provider, &Secrets::new(secret).unwrap()).unwrap();
    let screened = verifier.provider().screen(&map, now);
    let screened = screened.map_err(|rejection| rejection.kind())?;
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let head = Head::new(&method, &uri, &map);
    let body = Bytes::copy_from_slice(body.as_bytes());
    verifier
        .verify(head, &screened, body, now)
        .map_err(|rejection| rejection.kind())
}

/// docs.github.com, "Validating webhook deliveries", its test values.
#[test]
fn github_publishes_a_signature() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-hub-signature-256", signature)];
    let secret = "It's a Secret to Everybody";
    given(
        providers::github(),
        secret,
        &headers,
        "Hello, World!",
        now(),
    )
    .unwrap();
}

/// The tests of Svix's own library.
#[test]
fn svix_publishes_a_signature() {
    let body = r#"{"test": 2432232314}"#;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    for (provider, brand) in [
        (providers::svix(), "svix"),
        (providers::standard_webhooks(), "webhook"),
    ] {
        let names = ["id", "timestamp", "signature"].map(|what| format!("{brand}-{what}"));
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let headers = [
            (names[0].as_str(), "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            (names[1].as_str(), "1614265330"),
            (names[2].as_str(), signature),
        ];
        let delivery = given(provider, secret, &headers, body, at).unwrap();
        assert_eq!(delivery.event(), Err(Unusable::TypeMissing));
    }
}

/// Zendesk's page on verifying; its order is the time first, as the words of the
/// page say.
#[test]
fn zendesk_signs_its_time_in_rfc_3339() {
    let zendesk = Arc::new(providers::zendesk());
    let case = Case::all()
        .into_iter()
        .find(|case| case.provider == zendesk);
    let case = case.unwrap();
    let request = case.sign();
    assert_eq!(
        request.headers["x-zendesk-webhook-signature-timestamp"],
        "2026-03-02T10:30:00Z"
    );
}

fn events_of(name: &str) -> Vec<Case> {
    let cases = Case::all().into_iter();
    cases.filter(|case| case.provider.name() == name).collect()
}

#[test]
fn m2m_signs_the_time_with_the_body_and_not_the_event_header() {
    for case in events_of("m2m") {
        let spot = Spot::of_signature(&case.provider);
        let good = case.sign();
        let mut request = good.clone();
        spot.set(&mut request, &spot.get(&good).replace("sha256=", ""));
        case.check(&request).unwrap();

        let body_alone = sign(&Arc::new(mppcash()), Which::First, "", &case.body);
        let body_alone = body_alone.headers["x-mppcash-signature"].to_str().unwrap();
        spot.set(&mut request, body_alone);
        let refused = case.check(&request).unwrap_err();
        assert_eq!(refused, RejectionKind::SignatureMismatch);

        let mut request = good;
        assert_eq!(request.headers["x-m2m-event"], case.event_type.as_str());
        let another = HeaderValue::from_static("link.opened.twice");
        request.headers.insert("x-m2m-event", another);
        let delivery = case.check(&request).unwrap();
        let event = delivery.event().unwrap();
        assert_eq!(event.event_type(), case.event_type.as_str());
    }
}

#[test]
fn cryptomate_sends_an_unsigned_time_in_milliseconds() {
    let provider = Arc::new(cryptomate());
    let request = sign(&provider, Which::First, "", b"{}");
    assert_eq!(request.headers["x-request-timestamp"], "1772447400000");
    assert!(!provider.signs_id());
    assert!(!provider.signs_type());
    assert!(provider.binds_id(), "another id makes another body");
}

/// What the documents of this library say of each provider's signature.
#[test]
fn what_is_not_signed_is_known() {
    for (name, type_signed, id_signed, weak) in [
        ("adyen", true, true, false),
        ("github", false, false, false),
        ("gitlab", false, false, false),
        ("hubspot", true, true, false),
        ("lark", true, true, true),
        ("linear", true, false, false),
        ("mailgun", false, true, false),
        ("shopify", false, false, false),
        ("slack", true, true, false),
        ("standard-webhooks", true, true, false),
        ("stripe", true, true, false),
        ("twilio", false, false, true),
        ("wechat-pay", true, true, false),
    ] {
        let provider = providers::find(name).unwrap();
        assert_eq!(provider.signs_type(), type_signed, "{name}: type");
        assert_eq!(provider.signs_id(), id_signed, "{name}: id");
        assert_eq!(provider.scheme().weakness().is_some(), weak, "{name}");
    }
}

/// Only eight fields of Adyen's notification are signed, and only a time and a
/// token of Mailgun's: this is what a forger can do with one that was captured.
#[test]
fn what_is_not_signed_can_be_changed_and_what_is_cannot() {
    for (name, unsigned, signed) in [
        ("adyen", ("visa", "amex"), ("1130", "9130")),
        (
            "mailgun",
            ("alice@example.com", "eve@example.com"),
            ("a8ce0edb", "b8ce0edb"),
        ),
    ] {
        for case in events_of(name) {
            let good = case.sign();
            let change = |(from, to)| {
                let body = String::from_utf8(good.body.to_vec()).unwrap();
                assert!(body.contains(from), "{name}: {from}");
                let body = Bytes::from(body.replacen(from, to, 1));
                case.check(&Request {
                    body,
                    ..good.clone()
                })
            };
            assert!(change(unsigned).is_ok(), "{name}");
            let refused = change(signed).map(drop);
            assert_eq!(refused, Err(RejectionKind::SignatureMismatch), "{name}");
        }
    }
}

#[test]
fn every_notification_of_graph_needs_its_own_token() {
    let graph = Arc::new(providers::microsoft_graph());
    let two = br#"{"value":[{"clientState":"","changeType":"created"},{"clientState":"","changeType":"deleted"}]}"#;
    let good = sign(&graph, Which::First, "", two);
    let case = &events_of("microsoft-graph")[0];
    let delivery = case.check(&good).unwrap();
    let types: Vec<_> = delivery.items().unwrap().iter().collect();
    assert_eq!(types.len(), 2);
    assert_eq!(types[1].event().unwrap().event_type(), "deleted");
    let body = String::from_utf8(good.body.to_vec()).unwrap();
    let at = body.rfind("0001").unwrap();
    for (body, kind) in [
        (
            format!("{}0003{}", &body[..at], &body[at + 4..]),
            RejectionKind::SignatureMismatch,
        ),
        (
            body.replacen("clientState", "no", 1),
            RejectionKind::SignatureMissing,
        ),
        (
            r#"{"value":[]}"#.to_owned(),
            RejectionKind::SignatureMissing,
        ),
        ("{}".to_owned(), RejectionKind::SignatureMissing),
        ("[]".to_owned(), RejectionKind::SignatureMissing),
    ] {
        let request = Request {
            headers: good.headers.clone(),
            body: body.clone().into(),
        };
        assert_eq!(case.check(&request).map(drop), Err(kind), "{body}");
    }
}

/// What an inbox keeps of each is read by the same description.
#[test]
fn each_event_of_several_is_itself_when_it_is_kept_alone() {
    let mut batches = 0;
    for provider in providers::all().into_iter().map(Arc::new) {
        if !provider.envelope().is_batch() {
            continue;
        }
        batches += 1;
        let name = provider.name().clone();
        let case = &events_of(&name)[0];
        let once = case.check(&case.sign()).unwrap();
        let body = String::from_utf8(once.body().to_vec()).unwrap();
        // The event twice, and what is none, in the list that held it once.
        let event = once.items().unwrap()[0].json().to_string();
        let several = format!("{event} ,\n{event},{{}}");
        let restored = |body: Bytes| {
            Delivery::insecure_restore(Arc::clone(&provider), Restored::new(body, now()))
        };
        let whole = restored(body.replacen(&event, &several, 1).into());
        assert_eq!(whole.event().unwrap_err(), Unusable::Batch, "{name}");
        let items = whole.items().unwrap();
        assert_eq!(items.len(), 3, "{name}");
        for item in items {
            let alone = whole.alone(item.index()).unwrap();
            let expected = body.replacen(&event, item.json(), 1);
            assert_eq!(alone.body(), &Bytes::from(expected), "{name}");
            let again = restored(alone.body().clone());
            for one in [&alone, &again] {
                assert_eq!(one.event(), item.event(), "{name}");
                assert_eq!(one.items().map(<[_]>::len), Some(1), "{name}");
                assert_eq!(one.content(), Some(alone.body()), "{name}");
            }
            assert_eq!(alone.content_sha256(), Some(item.sha256()), "{name}");
        }
        assert!(whole.alone(3).is_none());
        assert!(items[0].event().is_ok(), "{name}");
        let has_id = provider.envelope().id().is_some();
        assert_eq!(items[0].sha256() == items[1].sha256(), has_id, "{name}");
    }
    assert_eq!(batches, 5);
    let github = case_of("github");
    assert!(github.alone(0).is_none(), "one event at a time");
}

fn case_of(name: &str) -> Delivery {
    let case = &events_of(name)[0];
    case.check(&case.sign()).unwrap()
}

#[test]
fn only_what_was_decrypted_counts() {
    let case = &events_of("lark")[0];
    let good = case.sign();
    let delivery = case.check(&good).unwrap();
    assert_eq!(delivery.body(), &good.body, "the wire's bytes are kept");
    assert_eq!(delivery.content().unwrap(), &case.body);
    assert!(!String::from_utf8_lossy(&good.body).contains("open_id"));

    let wechat = &events_of("wechat-pay")[0];
    let delivery = wechat.check(&wechat.sign()).unwrap();
    let event = delivery.event().unwrap();
    assert_eq!(
        event.data(),
        r#"{"out_trade_no":"order-1","trade_state":"SUCCESS"}"#
    );
    assert_eq!(event.id().unwrap(), "3119dfba-e649-5eec-ab1e-3412bc4d2e17");
}
