//! What is documented of each provider.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower_webhooks_core::{
    Delivery, Head, Provider, RejectionKind, Restored, Secrets, Unusable, Verifier,
    provider::{Answer, Envelope, Scheme, SignedAnew},
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

/// A deadline, and the waits or how long they go on.
#[test]
fn documented_schedules_of_the_providers_that_many_have() {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = Duration::from_secs;
    for (name, delays, lasts, deadline) in [
        ("adyen", &[][..], Some(30 * DAY), None),
        ("coinbase-commerce", &[], Some(3 * DAY), None),
        ("discord", &[], Some(10 * MINUTE), Some(3)),
        ("github", &[], Some(0), Some(10)),
        ("gitlab", &[], None, Some(10)),
        ("hubspot", &[], Some(DAY), Some(5)),
        ("lark", &[15, 5 * MINUTE, HOUR, 6 * HOUR], None, Some(3)),
        ("linear", &[MINUTE, HOUR, 6 * HOUR], None, Some(5)),
        (
            "mailgun",
            &[
                5 * MINUTE,
                10 * MINUTE,
                15 * MINUTE,
                HOUR,
                2 * HOUR,
                4 * HOUR,
            ],
            None,
            None,
        ),
        ("meta", &[], Some(36 * HOUR), None),
        ("microsoft-graph", &[], Some(4 * HOUR), Some(3)),
        ("paddle", &[], Some(3 * DAY), Some(5)),
        ("razorpay", &[], Some(DAY), None),
        ("shopify", &[], Some(4 * HOUR), Some(5)),
        ("slack", &[0, MINUTE, 5 * MINUTE], None, Some(3)),
        ("square", &[], None, Some(10)),
        ("stripe", &[], Some(3 * DAY), None),
        (
            "svix",
            &[
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                10 * HOUR,
            ],
            None,
            None,
        ),
        ("twilio", &[], None, Some(15)),
        ("zoom", &[5 * MINUTE, 20 * MINUTE, HOUR], None, Some(3)),
    ] {
        let provider = providers::find(name).unwrap();
        let retries = provider.retries();
        let documented: Vec<_> = delays.iter().copied().map(seconds).collect();
        assert_eq!(retries.delays, documented, "{name}");
        assert_eq!(retries.lasts, lasts.map(seconds), "{name}");
        assert_eq!(retries.deadline, deadline.map(seconds), "{name}");
    }
    // As its page sums it up.
    let wechat: Duration = providers::wechat_pay().retries().delays.iter().sum();
    assert_eq!(wechat, seconds(24 * HOUR + 4 * MINUTE));
}

#[test]
fn a_body_is_known_for_as_long_as_its_retries_and_no_less_than_72_hours_without_a_time() {
    const THREE_DAYS: Duration = Duration::from_secs(72 * 60 * 60);
    for provider in providers::all() {
        let name = provider.name();
        let span = provider.dedup_span();
        assert!(span >= provider.retry_span(), "{name}");
        let is_exact = !provider.retries().delays.is_empty();
        if provider.scheme().timestamp().is_none() || !is_exact {
            assert!(span >= THREE_DAYS, "{name}");
        }
    }
    let zoom = providers::zoom().dedup_span();
    let waits_and_answers = Duration::from_secs(85 * 60 + 4 * 3);
    assert_eq!(zoom, waits_and_answers.mul_f64(1.5));
    assert_eq!(providers::shopify().dedup_span(), THREE_DAYS);
}

/// What is signed without a time can be sent again: how long it is known then stands
/// in the list of what is not covered.
#[test]
fn what_no_signed_time_means_is_said() {
    for provider in providers::all() {
        let name = provider.name();
        let is_token = matches!(provider.scheme(), Scheme::Token(_));
        if provider.scheme().timestamp().is_some() || is_token {
            continue;
        }
        let said = provider.not_covered().join("; ");
        let by_body = !provider.binds_id() || provider.envelope().is_id_optional();
        assert_eq!(
            said.contains("known by its body for 72 h"),
            by_body,
            "{name}"
        );
        assert_eq!(
            said.contains("known by its id"),
            provider.binds_id(),
            "{name}"
        );
        if by_body {
            let span = provider.dedup_span();
            assert_eq!(span, Duration::from_secs(72 * 60 * 60), "{name}");
        }
    }
}

fn restored(provider: Provider, headers: &[(&str, &str)], body: &str) -> Delivery {
    let mut stored = Restored::new(Bytes::copy_from_slice(body.as_bytes()), now());
    for (name, value) in headers {
        let name = name.parse::<HeaderName>().unwrap();
        stored.headers.insert(name, value.parse().unwrap());
    }
    Delivery::insecure_restore(Arc::new(provider), stored)
}

/// docs.slack.dev/apis/events-api, rate limiting.
#[test]
fn slack_says_that_events_were_held_back_without_an_id() {
    let body = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","type":"app_rate_limited","team_id":"T123456","minute_rate_limited":1518467820,"api_app_id":"A123456"}"#;
    let delivery = restored(providers::slack(), &[], body);
    let event = delivery.event().unwrap();
    assert_eq!(event.event_type(), "app_rate_limited");
    assert_eq!(event.id(), None);
    let body = body.replacen('{', r#"{"event_id":"Ev1","#, 1);
    let delivery = restored(providers::slack(), &[], &body);
    assert_eq!(delivery.event().unwrap().id().unwrap(), "Ev1");
    let body = body.replace(r#""Ev1""#, "[1]");
    let delivery = restored(providers::slack(), &[], &body);
    assert_eq!(
        delivery.event(),
        Err(Unusable::IdMalformed),
        "there, but none"
    );
}

#[test]
fn shopify_events_are_known_by_topic_and_event() {
    let id = |headers: &[(&str, &str)]| {
        let delivery = restored(providers::shopify(), headers, "{}");
        delivery
            .event()
            .map(|event| event.id().unwrap().to_string())
    };
    let (topic, event) = (
        ("x-shopify-topic", "orders/paid"),
        ("x-shopify-event-id", "e1"),
    );
    let delivery = ("x-shopify-webhook-id", "w1");
    assert_eq!(id(&[topic, event, delivery]).unwrap(), "orders/paid:e1");
    assert_eq!(id(&[topic, delivery]).unwrap(), "orders/paid:w1");
    assert_eq!(id(&[topic]), Err(Unusable::IdMissing));
}

#[test]
fn gitlab_events_are_known_by_their_key_or_by_their_bodies() {
    let body = r#"{"object_kind":"push"}"#;
    let with_key = restored(providers::gitlab(), &[("idempotency-key", "k1")], body);
    assert_eq!(with_key.event().unwrap().id().unwrap(), "k1");
    let without = restored(providers::gitlab(), &[], body);
    assert_eq!(without.event().unwrap().id(), None);
}

/// The tests of Twilio's own library: a body that is no form is covered by its digest
/// in the URL.
#[test]
fn twilio_publishes_a_signature_of_a_json_body() {
    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let target = format!("/myapp.php?foo=1&bar=2&bodySHA256={digest}");
    let verified = |provider: Provider, target: &str, body: &str| {
        let secrets = Secrets::new("12345").unwrap();
        let verifier = Verifier::new(provider, &secrets).unwrap();
        let url = "https://mycompany.com/myapp.php".into();
        let verifier = verifier.with_public_url(Some(url));
        let mut headers = HeaderMap::new();
        let signature = HeaderValue::from_static("a9nBmqA0ju/hNViExpshrM61xv4=");
        headers.insert("x-twilio-signature", signature);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let screened = verifier.provider().screen(&headers, now()).unwrap();
        let (method, uri) = (Method::POST, target.parse().unwrap());
        let head = Head::new(&method, &uri, &headers);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let verified = verifier.verify(head, &screened, body, now());
        verified.map_err(|rejection| rejection.kind())
    };
    let body = r#"{"property": "value", "boolean": true}"#;
    let delivery = verified(providers::twilio(), &target, body).unwrap();
    assert_eq!(delivery.event(), Err(Unusable::TypeMissing));
    let json = providers::twilio().with_envelope(Envelope::new("/property"));
    let delivery = verified(json, &target, body).unwrap();
    assert_eq!(delivery.event().unwrap().event_type(), "value");

    for (target, body, kind) in [
        (
            target.as_str(),
            r#"{"property": "other", "boolean": true}"#,
            RejectionKind::SignatureMismatch,
        ),
        (
            &target.replace("0a1ff", "1a1ff"),
            body,
            RejectionKind::SignatureMismatch,
        ),
        (
            "/myapp.php?foo=1&bar=2",
            body,
            RejectionKind::SignatureMissing,
        ),
    ] {
        let refused = verified(providers::twilio(), target, body).map(drop);
        assert_eq!(refused, Err(kind), "{target} {body}");
    }
}

/// `<Gather>` posts to its action under the call's SID and status, as often as it asks.
#[test]
fn twilio_asks_several_times_in_one_call() {
    let event = |body: &str| {
        let delivery = restored(providers::twilio(), &[], body);
        let event = delivery.event().unwrap();
        (
            event.event_type().to_string(),
            event.id().map(ToString::to_string),
        )
    };
    for body in [
        "CallSid=CA1&CallStatus=in-progress&Digits=1",
        "CallSid=CA1&CallStatus=in-progress&Digits=2",
    ] {
        assert_eq!(event(body), ("in-progress".to_owned(), None));
    }
    let recorded = "CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed";
    let id = Some("completed:RE1".to_owned());
    assert_eq!(event(recorded), ("completed".to_owned(), id));
}

/// The signature covers one row of names and values: whoever captured a request can order,
/// escape, repeat and cut them otherwise, and each is the same event.
#[test]
fn a_captured_form_of_twilio_is_known_however_it_is_written() {
    let sha256 = |body: &str| {
        let delivery = restored(providers::twilio(), &[], body);
        delivery.content_sha256().unwrap()
    };
    let known = sha256("CallSid=CA1&CallStatus=in-progress&Digits=1");
    for again in [
        "Digits=1&CallSid=CA1&CallStatus=in-progress",
        "CallSid=CA1&CallStatus=in-progress&Digits=%31",
        "CallSid=CA1&CallStatus=in-progress&Digits=1&Digits=1",
        "CallSidC=A1&CallStatus=in-progress&Digits=1",
    ] {
        assert_eq!(sha256(again), known, "{again}");
    }
    assert_ne!(sha256("CallSid=CA1&CallStatus=in-progress&Digits=2"), known);
    assert!(!providers::twilio().binds_id(), "it can be cut otherwise");
}

/// docs.github.com, creating webhooks: the content type is JSON, or a form with the
/// payload in it.
#[test]
fn github_sends_its_payload_as_it_is_or_in_a_form() {
    let headers = [("x-github-event", "push"), ("x-github-delivery", "d1")];
    let json = r#"{"ref":"refs/heads/a+b","text":"é & co"}"#;
    let form =
        "payload=%7B%22ref%22%3A%22refs%2Fheads%2Fa%2Bb%22%2C%22text%22%3A%22%C3%A9+%26+co%22%7D";
    for body in [json, form, &format!("x=1&{form}")] {
        let delivery = restored(providers::github(), &headers, body);
        let event = delivery.event().unwrap();
        assert_eq!(event.data(), json, "{body}");
        assert_eq!(event.event_type(), "push");
        assert_eq!(event.id().unwrap(), "d1");
        let read = if body == json { 0 } else { json.len() };
        assert_eq!(delivery.restored_bytes(), read, "{body}");
        assert_eq!(delivery.body(), body);
    }
    for (body, reason) in [
        ("x=1", Unusable::NotJson),
        ("payload=", Unusable::NotJson),
        ("payload=%7B%7D&payload=%7B%7D", Unusable::DuplicateField),
        ("payload=%7B", Unusable::NotJson),
        ("payload=7", Unusable::NotAnObject),
    ] {
        let delivery = restored(providers::github(), &headers, body);
        assert_eq!(delivery.event(), Err(reason), "{body}");
    }
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

/// What each of them says changes, and what must not.
#[test]
fn a_redelivery_with_other_values_in_the_fields_that_change_is_the_same() {
    let mut named = 0;
    for (name, body, changes, others) in [
        (
            "coinbase-commerce",
            r#"{"attempt_number":1,"scheduled_for":"2026-03-02T10:30:00Z","event":{"id":"e1","type":"charge:failed","data":{"code":"A"}}}"#,
            &[(":1,", ":12,"), ("10:30", "11:30")][..],
            &[(r#""A""#, r#""B""#), ("charge:failed", "charge:delayed")][..],
        ),
        (
            "hubspot",
            r#"[{"eventId":1,"subscriptionId":2,"occurredAt":3,"subscriptionType":"deal.creation","attemptNumber":0,"objectId":4}]"#,
            &[(r#""attemptNumber":0"#, r#""attemptNumber":10"#)],
            &[(r#""objectId":4"#, r#""objectId":5"#)],
        ),
        (
            "line",
            r#"{"destination":"U1","events":[{"type":"message","webhookEventId":"01","timestamp":1,"deliveryContext":{"isRedelivery":false},"message":{"text":"a"}}]}"#,
            &[("false", "true"), ("U1", "U2")],
            &[(r#""a""#, r#""b""#), (r#""isRedelivery""#, r#""is""#)],
        ),
        (
            "linear",
            r#"{"type":"Issue","action":"create","createdAt":"2026-03-02T10:30:00.000Z","data":{"id":"1"},"webhookTimestamp":1772447400000}"#,
            &[("1772447400000", "1772451000000")],
            &[(r#""id":"1""#, r#""id":"2""#)],
        ),
        (
            "paddle",
            r#"{"event_id":"evt_1","event_type":"transaction.completed","notification_id":"ntf_1","data":{"id":"txn_1"}}"#,
            &[("ntf_1", "ntf_2")],
            &[("txn_1", "txn_2")],
        ),
        (
            "stripe",
            r#"{"id":"evt_1","type":"charge.succeeded","created":1,"pending_webhooks":2,"data":{"object":{"amount":2000,"pending_webhooks":2}}}"#,
            &[(r#"s":2,"#, r#"s":0,"#)],
            &[
                ("2000", "9000"),
                (r#""pending_webhooks":2}"#, r#""pending_webhooks":0}"#),
            ],
        ),
    ] {
        let provider = Arc::new(providers::find(name).unwrap());
        let hash = |body: String| {
            let mut stored = Restored::new(body.into(), now());
            let id = HeaderValue::from_static("d1");
            stored.headers.insert("linear-delivery", id);
            let delivery = Delivery::insecure_restore(Arc::clone(&provider), stored);
            assert!(
                matches!(delivery.event(), Ok(_) | Err(Unusable::Batch)),
                "{name}"
            );
            delivery.content_sha256()
        };
        let first = hash(body.to_owned());
        assert!(first.is_some(), "{name}");
        let with = |(from, to): &(&str, &str)| {
            assert!(body.contains(from), "{name}: {from}");
            hash(body.replacen(from, to, 1))
        };
        for change in changes {
            assert_eq!(with(change), first, "{name}: {change:?}");
        }
        for change in others {
            assert_ne!(with(change), first, "{name}: {change:?}");
        }
        named += 1;
    }
    let all = providers::all();
    let changing = all.iter().map(|it| it.envelope().changing_fields());
    assert_eq!(changing.filter(|fields| !fields.is_empty()).count(), named);
}

#[test]
fn a_body_is_compared_as_it_came_where_nothing_changes() {
    for name in ["github", "monterrey", "slack", "standard-webhooks"] {
        assert_eq!(case_of(name).content_sha256(), None, "{name}");
    }
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
