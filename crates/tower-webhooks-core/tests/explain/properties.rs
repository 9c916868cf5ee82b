//! Whatever the secret and the body: nothing untrue is certain.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, Method, Uri};
use proptest::prelude::*;
use serde_json::json;
use tower_webhooks_core::{
    Head, Provider, Secrets,
    explain::{Cause, Confidence, Explainer},
    provider::TimestampPlace,
    providers,
};

use super::attempt::Attempt;

const PRESETS: [&str; 8] = [
    "stripe", "github", "shopify", "slack", "mppcash", "m2m", "devdraft", "zendesk",
];

fn preset() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&PRESETS[..])
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{8,40}",
        "whsec_[a-zA-Z0-9+/]{32}",
        "[0-9a-f]{32}"
    ]
}

fn body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-zA-Zé/ ]{0,12}".prop_map(|text| json!(text)),
        any::<i32>().prop_map(|number| json!(number)),
        Just(json!(null)),
    ];
    let fields = proptest::collection::btree_map("[a-z]{1,6}", leaf, 1..6);
    fields.prop_map(|fields| json!({"type": "a", "data": fields}).to_string())
}

fn certain(attempt: &Attempt) -> Vec<Cause> {
    let explained = attempt.explain();
    let certain = explained
        .findings()
        .iter()
        .filter(|finding| finding.confidence() == Confidence::Certain);
    certain.map(|finding| finding.cause()).collect()
}

fn attempt(preset: &str, secret: &str, body: &str) -> Attempt {
    let mut attempt = Attempt::of(preset).with_body(body);
    attempt.set_secrets(secret);
    attempt
}

type Alter = fn(&str) -> Vec<u8>;

type Miscopy = fn(&str) -> String;

/// What happens to a body, each undone by one change.
const KNOWN: [(Cause, Alter); 6] = [
    (Cause::TrailingNewline, |body| format!("{body}\n").into()),
    (Cause::ByteOrderMark, |body| {
        format!("\u{feff}{body}").into()
    }),
    (Cause::BodyReserialised, |body| {
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        serde_json::to_vec_pretty(&json).unwrap()
    }),
    (Cause::BodyReserialised, |body| {
        serde_json::to_vec(body).unwrap()
    }),
    (Cause::BodyReserialised, |body| {
        body.replace('/', "\\/").into()
    }),
    (Cause::Charset, |body| {
        body.chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect()
    }),
];

/// What happens to a secret, each undone by one change.
const COPIED: [(Cause, Miscopy); 4] = [
    (Cause::SecretWhitespace, |secret| format!("{secret}\n")),
    (Cause::SecretWhitespace, |secret| format!(" {secret}\t")),
    (Cause::SecretQuoted, |secret| format!("\"{secret}\"")),
    (Cause::SecretEscaped, |secret| format!("{secret}\\n")),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_wrong_secret_is_never_certain(
        preset in preset(),
        right in secret(),
        wrong in secret(),
        body in body(),
    ) {
        prop_assume!(right != wrong && !right.contains(&wrong) && !wrong.contains(&right));
        let mut attempt = attempt(preset, &right, &body);
        prop_assert!(attempt.explain().is_verified());
        attempt.set_secret(wrong);
        prop_assert_eq!(certain(&attempt), []);
    }

    #[test]
    fn a_body_with_another_content_is_never_certain(
        preset in preset(),
        secret in secret(),
        body in body(),
        at in any::<prop::sample::Index>(),
        letter in proptest::char::range('A', 'Z'),
        replaces in any::<bool>(),
    ) {
        let attempt_of = attempt(preset, &secret, &body);
        let mut chars: Vec<char> = body.chars().collect();
        let at = at.index(chars.len());
        if replaces && chars[at] != letter {
            chars[at] = letter;
        } else {
            chars.insert(at, letter);
        }
        let changed: String = chars.into_iter().collect();
        let attempt = Attempt { body: Some(changed.into()), ..attempt_of };
        prop_assert_eq!(certain(&attempt), []);
    }

    #[test]
    fn of_a_known_change_only_that_is_certain(
        preset in preset(),
        secret in secret(),
        body in body(),
        (cause, change) in proptest::sample::select(&KNOWN[..]),
    ) {
        let mut attempt = attempt(preset, &secret, &body);
        let changed = change(&body);
        if changed == body.as_bytes() {
            return Ok(());
        }
        attempt.body = Some(changed);
        prop_assert_eq!(certain(&attempt), [cause]);
    }

    #[test]
    fn of_a_secret_copied_wrongly_only_that_is_certain(
        preset in preset(),
        secret in secret(),
        body in body(),
        (cause, change) in proptest::sample::select(&COPIED[..]),
    ) {
        let mut attempt = attempt(preset, &secret, &body);
        attempt.set_secret(change(&secret));
        prop_assert_eq!(certain(&attempt), [cause]);
    }

    #[test]
    fn no_request_makes_a_panic_or_is_certain_of_a_secret(
        provider in proptest::sample::select(providers::all()),
        secret in secret(),
        signature in "[ -~]{0,80}",
        time in "[0-9:TZ.-]{0,24}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        query in "(\\?[a-z=&%0-9+]{0,20})?",
    ) {
        let mut headers = HeaderMap::new();
        let places = [provider.scheme().header(), time_header(&provider)];
        for (name, text) in places.into_iter().zip([&signature, &time]) {
            if let Some(name) = name {
                headers.insert(name, text.trim().parse().unwrap());
            }
        }
        let secrets = Secrets::new(secret).unwrap();
        let uri: Uri = format!("https://shop.example/hooks{query}").parse().unwrap();
        let explained = Explainer::new(provider, &secrets)
            .with_public_url(Some("https://shop.example/hooks".into()))
            .explain(Head::new(&Method::POST, &uri, &headers), &body.into(), SystemTime::now());
        prop_assert!(!explained.is_verified());
        for finding in explained.findings() {
            let is_seen = finding.cause() == Cause::HeaderMissing;
            prop_assert!(is_seen || finding.confidence() != Confidence::Certain, "{}", explained);
        }
    }
}

fn time_header(provider: &Provider) -> Option<&HeaderName> {
    match provider.scheme().timestamp()?.place() {
        TimestampPlace::Header(name) => Some(name),
        _ => None,
    }
}
