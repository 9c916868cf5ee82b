//! One list of promises, kept by every preset for every event it knows. Each
//! refused request differs in one thing from one that passes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use proptest::{prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tower_webhooks_core::{
    Answer, Delivery, EventType, Head, Provider, RejectionKind, Resigned, Scheme, Secret, Secrets,
    SignedTimestamp, Signer, TimestampPlace, Unusable, Verifier,
    providers::{self, cryptomate, devdraft, m2m, monterrey, mppcash},
};

const SECRET: &str = "conformance-Secret_of-this-test-0001";
const OTHER_SECRET: &str = "conformance-Secret_of-this-test-0002";
const SECOND: Duration = Duration::from_secs(1);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_447_400)
}

/// A provider and a body of one of its events.
struct Case {
    provider: Arc<Provider>,
    event_type: String,
    body: Bytes,
}

impl Case {
    fn all() -> Vec<Self> {
        let cases: Vec<_> = providers::all()
            .into_iter()
            .map(Arc::new)
            .flat_map(|provider| {
                let events = provider.events().list.clone();
                events.into_iter().map(move |event| Self {
                    provider: Arc::clone(&provider),
                    event_type: event.name.to_string(),
                    body: Bytes::from(event.sample.expect("a sample body").to_string()),
                })
            })
            .collect();
        assert!(cases.len() > 40, "every event of five providers");
        cases
    }

    /// Those whose signature covers the body.
    fn signed() -> impl Iterator<Item = Self> {
        let cases = Self::all().into_iter();
        cases.filter(|case| case.provider.scheme().covers_body())
    }

    fn name(&self) -> String {
        format!("{} {}", self.provider.name(), self.event_type)
    }

    fn sign(&self) -> HeaderMap {
        sign(&self.provider, SECRET, &self.body, now())
    }

    fn header(&self) -> &HeaderName {
        self.provider.scheme().header()
    }

    fn signature(&self) -> String {
        let headers = self.sign();
        headers[self.header()].to_str().unwrap().to_owned()
    }

    /// Verifies the body with these headers, now.
    fn check(&self, headers: &HeaderMap) -> Result<Delivery, RejectionKind> {
        verify(&self.provider, SECRET, headers, self.body.clone(), now())
    }

    /// Verifies with another text in the place of the signature.
    fn check_signature(&self, signature: &str) -> Result<Delivery, RejectionKind> {
        let mut headers = self.sign();
        headers.insert(self.header(), signature.parse().unwrap());
        self.check(&headers)
    }
}

fn sign(provider: &Arc<Provider>, secret: &str, body: &[u8], at: SystemTime) -> HeaderMap {
    Signer::new(Arc::clone(provider), Secret::new(secret).unwrap())
        .sign(body, at)
        .unwrap()
}

fn verify(
    provider: &Arc<Provider>,
    secrets: impl IntoSecrets,
    headers: &HeaderMap,
    body: Bytes,
    now: SystemTime,
) -> Result<Delivery, RejectionKind> {
    let verifier = Verifier::new(Arc::clone(provider), &secrets.into_secrets()).unwrap();
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let screened = provider.screen(headers, now).map_err(|r| r.kind())?;
    verifier.admit(&screened, now).map_err(|r| r.kind())?;
    verifier
        .verify(Head::new(&method, &uri, headers), &screened, body, now)
        .map_err(|r| r.kind())
}

trait IntoSecrets {
    fn into_secrets(self) -> Secrets;
}

impl IntoSecrets for &str {
    fn into_secrets(self) -> Secrets {
        Secrets::new(self).unwrap()
    }
}

impl IntoSecrets for Secrets {
    fn into_secrets(self) -> Secrets {
        self
    }
}

/// How a provider's signature looks, to know what a changed one means.
#[derive(PartialEq)]
enum Form {
    /// A digest in hexadecimal, alone in its header behind a fixed prefix.
    Hex { digits: usize },
    /// The secret itself.
    Token,
}

impl Form {
    fn of(provider: &Provider) -> Self {
        let Scheme::Hmac(scheme) = provider.scheme() else {
            return Self::Token;
        };
        let written = serde_json::to_value(scheme).unwrap();
        assert_eq!(written["encoding"], "hex", "say here how to change others");
        assert_eq!(written["layout"], "whole", "say here how to change others");
        assert_eq!(written["algorithm"], "sha256");
        Self::Hex { digits: 64 }
    }

    /// Cuts a signature into its prefix and its digest.
    fn split<'s>(&self, signature: &'s str) -> (&'s str, &'s str) {
        match self {
            Self::Hex { digits } => signature.split_at(signature.len() - digits),
            Self::Token => ("", signature),
        }
    }
}

fn timestamp_header(rule: &SignedTimestamp) -> HeaderName {
    match rule.place() {
        TimestampPlace::Header(name) => name.clone(),
        other => panic!("say here how to change a timestamp in {other:?}"),
    }
}

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
        assert!(!provider.ours().is_empty(), "{name}");
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
        ("m2m", &[1, 5, 30, 120], Some(30)),
        ("monterrey", &[1, 5, 30, 120, 1_440], Some(30)),
        ("mppcash", &[], None),
    ] {
        let delays: Vec<_> = minutes
            .iter()
            .map(|minutes| Duration::from_secs(minutes * 60))
            .collect();
        let provider = provider(name);
        assert_eq!(provider.retries().delays, delays, "{name}");
        assert_eq!(provider.retries().deadline_seconds, deadline, "{name}");
        assert_eq!(provider.retries().resigned, Resigned::Unknown, "{name}");
        assert!(!provider.events().complete, "{name}");
    }
    let cryptomate = provider("cryptomate");
    let [decision] = cryptomate.replies() else {
        panic!("one event is answered with a decision");
    };
    assert_eq!(decision.event_type, "cards.authorization.pending");
    assert_eq!(decision.budget_ms, 1_000);
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
        let delivery = verify(&provider, secret, &headers, body, now()).unwrap();
        assert_eq!(delivery.event().unwrap().event_type(), event_type);
    }
}

#[test]
fn a_good_delivery_is_the_event_that_its_sample_says() {
    for case in Case::all() {
        let delivery = case.check(&case.sign()).unwrap();
        assert_eq!(delivery.body(), &case.body);
        assert_eq!(delivery.secret_label().unwrap(), "current");
        let signs_time = case.provider.scheme().timestamp().is_some();
        assert_eq!(delivery.signed_at(), signs_time.then(now));
        let event = delivery.event().unwrap();
        assert_eq!(
            event.event_type(),
            case.event_type.as_str(),
            "{}",
            case.name()
        );
        assert_eq!(
            event.id().is_some(),
            case.provider.envelope().id().is_some()
        );
        assert_eq!(
            event.occurred_at().is_some(),
            case.provider.envelope().time().is_some(),
            "{}",
            case.name()
        );
        let whole: Value = serde_json::from_slice(&case.body).unwrap();
        let data: Value = serde_json::from_slice(event.data()).unwrap();
        assert_eq!(data, whole["data"], "{}", case.name());
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    for case in Case::all() {
        let headers = sign(&case.provider, OTHER_SECRET, &case.body, now());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMismatch,
            "{}",
            case.name()
        );
    }
}

#[test]
fn the_previous_secret_still_verifies_during_rotation() {
    let both = Secrets::new(OTHER_SECRET)
        .unwrap()
        .with_previous(SECRET)
        .unwrap();
    for case in Case::all() {
        let check = |headers| {
            verify(
                &case.provider,
                both.clone(),
                headers,
                case.body.clone(),
                now(),
            )
        };
        let old = check(&case.sign()).unwrap();
        assert_eq!(old.secret_label().unwrap(), "previous", "{}", case.name());
        let new = check(&sign(&case.provider, OTHER_SECRET, &case.body, now())).unwrap();
        assert_eq!(new.secret_label().unwrap(), "current", "{}", case.name());
    }
}

#[test]
fn a_signed_time_counts_to_the_edge_and_an_unsigned_one_never() {
    let mut timed = 0;
    for case in Case::all() {
        let headers = case.sign();
        let at = |now| verify(&case.provider, SECRET, &headers, case.body.clone(), now).map(drop);
        let Some(rule) = case.provider.scheme().timestamp() else {
            let years = 3_650 * 86_400 * SECOND;
            assert_eq!(at(now() + years), Ok(()), "{}", case.name());
            assert_eq!(at(now() - years), Ok(()), "{}", case.name());
            continue;
        };
        timed += 1;
        let tolerance = rule.tolerance().unwrap();
        assert_eq!(tolerance, 300 * SECOND);
        assert_eq!(at(now() + tolerance), Ok(()));
        assert_eq!(at(now() - tolerance), Ok(()));
        assert_eq!(
            at(now() + tolerance + SECOND),
            Err(RejectionKind::TimestampStale)
        );
        assert_eq!(
            at(now() - tolerance - SECOND),
            Err(RejectionKind::TimestampFuture)
        );
    }
    assert_eq!(timed, 5, "the events of the one provider that signs a time");
}

#[test]
fn a_signed_time_stands_there_once_in_its_own_form() {
    for case in Case::signed() {
        let Some(rule) = case.provider.scheme().timestamp() else {
            continue;
        };
        let header = timestamp_header(rule);
        let mut headers = case.sign();
        let time = headers.remove(&header).unwrap();
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::TimestampMissing
        );
        headers.append(&header, time.clone());
        headers.append(&header, time.clone());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureRepeated
        );
        let time = time.to_str().unwrap();
        for malformed in [
            String::new(),
            format!("0{time}"),
            format!("+{time}"),
            format!("{time}.0"),
            format!("{time}000"),
            "2026-03-02T10:30:00Z".to_owned(),
        ] {
            headers.insert(&header, malformed.parse().unwrap());
            assert_eq!(
                case.check(&headers).unwrap_err(),
                RejectionKind::TimestampMalformed,
                "{malformed:?}"
            );
        }
        let another = time.replace("1772447400", "1772447401");
        headers.insert(&header, another.parse().unwrap());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMismatch
        );
    }
}

#[test]
fn a_missing_signature_is_refused() {
    for case in Case::all() {
        let mut headers = case.sign();
        headers.remove(case.header()).unwrap();
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureMissing,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_repeated_signature_is_refused_even_if_both_are_right() {
    for case in Case::all() {
        let mut headers = case.sign();
        headers.append(case.header(), case.signature().parse().unwrap());
        assert_eq!(
            case.check(&headers).unwrap_err(),
            RejectionKind::SignatureRepeated,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_malformed_signature_is_refused_before_the_body_counts() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        for malformed in [
            String::new(),
            prefix.to_owned() + "=",
            format!("{prefix}{}", &digest[..62]),
            format!("{prefix}{}", &digest[..63]),
            format!("{prefix}{digest}00"),
            format!("{prefix}{}", "z".repeat(64)),
            format!("{prefix}0x{}", &digest[2..]),
            format!("{prefix} {}", &digest[1..]),
            format!("{prefix}{digest}, {prefix}{digest}"),
            format!("v1={digest}"),
            format!("sha1={digest}"),
            format!("SHA256={digest}"),
            format!("sha256=sha256={digest}"),
        ] {
            assert_eq!(
                case.check_signature(&malformed).unwrap_err(),
                RejectionKind::SignatureMalformed,
                "{} {malformed:?}",
                case.name()
            );
        }
    }
}

#[test]
fn a_digest_of_the_right_length_in_other_digits_is_refused() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        let next = |digit: char| char::from_digit((digit.to_digit(16).unwrap() + 1) % 16, 16);
        let other: String = digest.chars().map(|digit| next(digit).unwrap()).collect();
        assert_eq!(
            case.check_signature(&format!("{prefix}{other}"))
                .unwrap_err(),
            RejectionKind::SignatureMismatch,
            "{}",
            case.name()
        );
    }
}

#[test]
fn a_digest_in_upper_case_is_accepted() {
    for case in Case::signed() {
        let form = Form::of(&case.provider);
        let signature = case.signature();
        let (prefix, digest) = form.split(&signature);
        let upper = format!("{prefix}{}", digest.to_uppercase());
        assert_ne!(upper, signature);
        case.check_signature(&upper).unwrap();
    }
}

#[test]
fn a_token_is_accepted_whole_and_as_it_is_or_not_at_all() {
    let cases = Case::all().into_iter();
    for case in cases.filter(|case| Form::of(&case.provider) == Form::Token) {
        for wrong in [
            &SECRET[1..],
            &SECRET[..SECRET.len() - 1],
            &format!("{SECRET}0"),
            &SECRET.to_uppercase(),
            &format!("Bearer {SECRET}"),
        ] {
            assert_eq!(
                case.check_signature(wrong).unwrap_err(),
                RejectionKind::SignatureMismatch,
                "{wrong:?}"
            );
        }
        assert_eq!(
            case.check_signature("").unwrap_err(),
            RejectionKind::SignatureMalformed
        );
    }
}

#[test]
fn every_byte_of_the_body_counts_where_the_body_is_signed() {
    for case in Case::all() {
        let headers = case.sign();
        let covered = case.provider.scheme().covers_body();
        for position in 0..case.body.len() {
            let mut altered = case.body.to_vec();
            altered[position] ^= 1;
            let result = verify(&case.provider, SECRET, &headers, altered.into(), now());
            assert_eq!(
                result.map(drop).err(),
                covered.then_some(RejectionKind::SignatureMismatch),
                "{} at {position}",
                case.name()
            );
        }
        for body in [
            case.body.slice(..case.body.len() - 1),
            Bytes::from([&case.body[..], b"\n"].concat()),
        ] {
            let result = verify(&case.provider, SECRET, &headers, body, now());
            assert_eq!(result.is_err(), covered, "{}", case.name());
        }
    }
}

#[test]
fn what_another_provider_sends_is_refused() {
    for case in Case::all() {
        for other in providers::all().into_iter().map(Arc::new) {
            if other.scheme().header() == case.header() {
                assert_eq!(other.name(), case.provider.name(), "two share a header");
                continue;
            }
            let headers = sign(&other, SECRET, &case.body, now());
            assert_eq!(
                case.check(&headers).unwrap_err(),
                RejectionKind::SignatureMissing,
                "{} to {}",
                other.name(),
                case.name()
            );
        }
    }
}

#[test]
fn an_empty_body_verifies_and_is_unusable() {
    for provider in providers::all().into_iter().map(Arc::new) {
        let headers = sign(&provider, SECRET, b"", now());
        let delivery = verify(&provider, SECRET, &headers, Bytes::new(), now()).unwrap();
        assert_eq!(
            delivery.event(),
            Err(Unusable::NotJson),
            "{}",
            provider.name()
        );
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

/// What reads a payload and writes it again.
type Again = fn(&[u8]) -> Result<Value, serde_json::Error>;

fn payload<T: EventType + Serialize + DeserializeOwned>() -> (&'static str, Again) {
    (T::EVENT_TYPE, |data| {
        serde_json::to_value(serde_json::from_slice::<T>(data)?)
    })
}

fn payloads(provider: &str) -> BTreeMap<&'static str, Again> {
    let list = match provider {
        "cryptomate" => vec![
            payload::<cryptomate::TreasuryDeposit>(),
            payload::<cryptomate::CardsDeposit>(),
            payload::<cryptomate::VirtualWalletsDeposit>(),
            payload::<cryptomate::VirtualWalletsWithdraw>(),
            payload::<cryptomate::VirtualWalletsWithdrawFailed>(),
            payload::<cryptomate::CardAuthorization>(),
            payload::<cryptomate::CardDeclined>(),
            payload::<cryptomate::CardClearingPending>(),
            payload::<cryptomate::CardClearingFailed>(),
            payload::<cryptomate::CardCleared>(),
            payload::<cryptomate::CardRefund>(),
            payload::<cryptomate::CardReversal>(),
            payload::<cryptomate::Card3dsChallenge>(),
        ],
        "devdraft" => vec![
            payload::<devdraft::PaymentCreated>(),
            payload::<devdraft::PaymentPending>(),
            payload::<devdraft::PaymentCompleted>(),
            payload::<devdraft::PaymentFailed>(),
            payload::<devdraft::PaymentRefunded>(),
            payload::<devdraft::PaymentDisputed>(),
            payload::<devdraft::PaymentLinkCreated>(),
            payload::<devdraft::PaymentLinkPaid>(),
            payload::<devdraft::PaymentLinkExpired>(),
            payload::<devdraft::PaymentLinkCancelled>(),
            payload::<devdraft::TransferInitiated>(),
            payload::<devdraft::TransactionSuccessful>(),
            payload::<devdraft::TransactionFailed>(),
            payload::<devdraft::TransactionPending>(),
            payload::<devdraft::TransactionCanceled>(),
            payload::<devdraft::TransactionDisputed>(),
        ],
        "m2m" => vec![
            payload::<m2m::LinkCreated>(),
            payload::<m2m::LinkOpened>(),
            payload::<m2m::DataRequest>(),
            payload::<m2m::OperationCreated>(),
            payload::<m2m::OperationCancelled>(),
        ],
        "monterrey" => vec![
            payload::<monterrey::PaymentCreated>(),
            payload::<monterrey::PaymentDetecting>(),
            payload::<monterrey::PaymentConfirmed>(),
            payload::<monterrey::PaymentExpired>(),
            payload::<monterrey::PaymentFailed>(),
        ],
        "mppcash" => vec![
            payload::<mppcash::TransferSettled>(),
            payload::<mppcash::TransferRejected>(),
            payload::<mppcash::SessionSettled>(),
            payload::<mppcash::SessionCapWarning>(),
            payload::<mppcash::BalanceLowThreshold>(),
        ],
        other => panic!("list the payload types of {other} here"),
    };
    let types = list.len();
    let map: BTreeMap<_, _> = list.into_iter().collect();
    assert_eq!(
        map.len(),
        types,
        "two payload types of {provider} name one event"
    );
    map
}

#[test]
fn every_sample_decodes_into_its_payload_type_and_back() {
    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
            other => other,
        }
    }
    for provider in providers::all() {
        let payloads = payloads(provider.name());
        assert_eq!(payloads.len(), provider.events().list.len());
    }
    for case in Case::all() {
        let delivery = case.check(&case.sign()).unwrap();
        let data = delivery.event().unwrap().data().clone();
        let again = payloads(case.provider.name())[case.event_type.as_str()](&data)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let data = serde_json::from_slice(&data).unwrap();
        assert_eq!(without_nulls(again), without_nulls(data), "{}", case.name());
    }
}

fn any_provider() -> impl Strategy<Value = Arc<Provider>> {
    any::<Index>().prop_map(|index| Arc::new(index.get(&providers::all()).clone()))
}

fn flip(bytes: &mut [u8], at: Index) -> usize {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bit / 8
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        provider in any_provider(),
        secret in "[!-~][ -~]{0,80}[!-~]",
        body: Vec<u8>,
    ) {
        let headers = sign(&provider, &secret, &body, now());
        let body = Bytes::from(body);
        let delivery = verify(&provider, secret.as_str(), &headers, body.clone(), now()).unwrap();
        prop_assert_eq!(delivery.body(), &body);
    }

    #[test]
    fn any_flipped_bit_of_the_body_is_refused(
        provider in any_provider(),
        mut body in prop::collection::vec(any::<u8>(), 1..2_000),
        at: Index,
    ) {
        let headers = sign(&provider, SECRET, &body, now());
        flip(&mut body, at);
        let result = verify(&provider, SECRET, &headers, body.into(), now());
        prop_assert_eq!(
            result.map(drop).err(),
            provider.scheme().covers_body().then_some(RejectionKind::SignatureMismatch)
        );
    }

    #[test]
    fn any_flipped_bit_of_the_signature_is_refused_unless_it_only_turns_a_digits_case(
        provider in any_provider(),
        body: Vec<u8>,
        at: Index,
    ) {
        let header = provider.scheme().header();
        let mut headers = sign(&provider, SECRET, &body, now());
        let signature = headers[header].to_str().unwrap().to_owned();
        let mut flipped = signature.clone().into_bytes();
        let position = flip(&mut flipped, at);
        let form = Form::of(&provider);
        let same = form != Form::Token
            && position >= form.split(&signature).0.len()
            && flipped.eq_ignore_ascii_case(signature.as_bytes());
        let Ok(value) = HeaderValue::from_bytes(&flipped) else {
            // No HTTP server lets such a header through.
            return Ok(());
        };
        headers.insert(header, value);
        match verify(&provider, SECRET, &headers, body.into(), now()).map(drop) {
            Ok(()) => prop_assert!(same, "{:?} passed for {}", flipped, signature),
            Err(kind) => {
                prop_assert!(!same, "{:?} refused for {}", flipped, signature);
                prop_assert!(matches!(
                    kind,
                    RejectionKind::SignatureMalformed | RejectionKind::SignatureMismatch
                ));
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_signed_time_is_refused(body: Vec<u8>, at: Index) {
        let provider = Arc::new(m2m());
        let header = timestamp_header(provider.scheme().timestamp().unwrap());
        let mut headers = sign(&provider, SECRET, &body, now());
        let mut time = headers[&header].as_bytes().to_vec();
        flip(&mut time, at);
        if let Ok(value) = HeaderValue::from_bytes(&time) {
            headers.insert(&header, value);
            let kind = verify(&provider, SECRET, &headers, body.into(), now()).unwrap_err();
            prop_assert!(matches!(
                kind,
                RejectionKind::SignatureMismatch
                    | RejectionKind::TimestampFuture
                    | RejectionKind::TimestampMalformed
                    | RejectionKind::TimestampStale
            ));
        }
    }

    #[test]
    fn no_input_makes_it_panic_or_pass(
        provider in any_provider(),
        signature in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(sha256=)?[0-9a-fA-F]{60,68}".prop_map(String::into_bytes),
        ],
        time in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "17724[0-9]{5}".prop_map(String::into_bytes),
        ],
        body: Vec<u8>,
    ) {
        let mut headers = HeaderMap::new();
        for (header, value) in [
            (provider.scheme().header().clone(), &signature),
            (HeaderName::from_static("x-m2m-timestamp"), &time),
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(header, value);
            }
        }
        prop_assert!(verify(&provider, SECRET, &headers, body.into(), now()).is_err());
    }

    #[test]
    fn no_authentic_body_makes_it_panic(
        provider in any_provider(),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"\{"(id|type|event|event_type|product|operation|data)":[\[\]{}",:0-9a-z\\-]{0,40}\}?"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let headers = sign(&provider, SECRET, &body, now());
        let delivery = verify(&provider, SECRET, &headers, body.into(), now()).unwrap();
        if let Ok(event) = delivery.event() {
            for decode in payloads(provider.name()).values() {
                let _ = decode(event.data());
            }
        }
    }
}
