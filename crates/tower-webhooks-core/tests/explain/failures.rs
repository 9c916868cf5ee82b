//! Failures whose cause can be proven, and is.

use std::{io::Write as _, time::Duration};

use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderMap, Method};
use tower_webhooks_core::{
    Secret,
    explain::{Cause, Confidence},
    provider::{
        Algorithm, DigestScheme, Encoding, KeyEncoding, Part, Scheme, SignedTimestamp, TimeUnit,
    },
};

use super::attempt::{Attempt, BASE64, rewrite};

type Failure = (&'static str, Cause, fn(&mut Attempt));

const SECRET: &str = "a-Secret_of-this-test-0001";

#[track_caller]
fn check(index: usize, (preset, cause, change): &Failure) {
    let mut attempt = prepared(preset);
    assert!(attempt.explain().is_verified(), "{index} {preset}");
    change(&mut attempt);
    let explained = attempt.explain();
    let first = explained
        .first()
        .map(|first| (first.cause(), first.confidence()));
    assert_eq!(
        first,
        Some((*cause, Confidence::Certain)),
        "{index} {preset}\n{explained}"
    );
    assert_eq!(
        explained.findings().len(),
        1,
        "{index} {preset}\n{explained}"
    );
    assert!(explained.is_complete());
    let said = explained.to_string();
    for secret in [SECRET, BASE64] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// Some presets' samples have too little in them to go wrong.
fn prepared(preset: &str) -> Attempt {
    let attempt = Attempt::of(preset);
    match preset {
        "github" | "stripe" | "shopify" | "mppcash" | "slack" => attempt.with_body(RICH),
        _ => attempt,
    }
}

/// What writers of JSON write in different ways, compact, with nothing escaped.
const RICH: &str = r#"{"type":"a","id":"evt_1","data":{"name":"Zoë","at":"10/12","amount":10.50,"list":[1,2],"none":{},"also":null}}"#;

/// The same, as Python, PHP and JavaScript have it.
const SPACED: &str = r#"{"type": "a", "id": "evt_1", "data": {"name": "Zo\u00eb", "at": "10/12", "amount": 10.50, "list": [1, 2], "none": {}, "also": null}}"#;
const PHP: &str = r#"{"type":"a","id":"evt_1","data":{"name":"Zo\u00eb","at":"10\/12","amount":10.50,"list":[1,2],"none":{},"also":null}}"#;
const SORTED: &str = r#"{"data":{"also":null,"amount":10.50,"at":"10/12","list":[1,2],"name":"Zoë","none":{}},"id":"evt_1","type":"a"}"#;
const PRETTY: &str = "{\n  \"type\": \"a\",\n  \"id\": \"evt_1\",\n  \"data\": {\n    \"name\": \"Zoë\",\n    \"at\": \"10/12\",\n    \"amount\": 10.50,\n    \"list\": [\n      1,\n      2\n    ],\n    \"none\": {},\n    \"also\": null\n  }\n}";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn hmac(
    attempt: &mut Attempt,
    change: fn(
        tower_webhooks_core::provider::HmacScheme,
    ) -> tower_webhooks_core::provider::HmacScheme,
) {
    attempt.sender_scheme(|scheme| Scheme::Hmac(change(scheme)));
}

const SECRETS: &[Failure] = &[
    ("mppcash", Cause::SecretWhitespace, |a| {
        a.set_secret(format!("{SECRET}\n"));
    }),
    ("cryptomate", Cause::SecretWhitespace, |a| {
        a.set_secret(format!("{SECRET}\r\n"));
    }),
    ("github", Cause::SecretWhitespace, |a| {
        a.set_secret(format!("\u{feff}{SECRET}"));
    }),
    ("standard-webhooks", Cause::SecretWhitespace, |a| {
        a.set_secret(format!("whsec_{BASE64}\n"));
    }),
    ("monterrey", Cause::SecretWhitespace, |a| {
        a.sender_secret.push('\n');
    }),
    ("stripe", Cause::SecretQuoted, |a| {
        a.set_secret(format!("\"whsec_{BASE64}\""));
    }),
    ("twilio", Cause::SecretQuoted, |a| {
        a.set_secret(format!("'{SECRET}'"));
    }),
    ("svix", Cause::SecretQuoted, |a| {
        a.set_secret(format!("\"whsec_{BASE64}\""));
    }),
    ("m2m", Cause::SecretEscaped, |a| {
        a.sender_secret = "a+b/c=d".to_owned();
        a.set_secret("a%2Bb%2Fc%3Dd");
    }),
    ("devdraft", Cause::SecretEscaped, |a| {
        a.set_secret(format!("{SECRET}\\n"));
    }),
    ("stripe", Cause::SecretPrefix, |a| a.set_secret(BASE64)),
    ("stripe", Cause::SecretPrefix, |a| {
        a.sender_secret = BASE64.to_owned();
    }),
    ("stripe", Cause::SecretPrefix, |a| {
        hmac(a, |scheme| scheme.with_key_encoding(KeyEncoding::Whsec));
    }),
    ("standard-webhooks", Cause::SecretPrefix, |a| {
        hmac(a, |scheme| {
            scheme
                .with_key_encoding(KeyEncoding::Utf8)
                .with_key_bytes(1, None)
        });
    }),
    ("svix", Cause::KeyEncoding, |a| {
        a.sender_secret = BASE64.to_owned();
        hmac(a, |scheme| {
            scheme
                .with_key_encoding(KeyEncoding::Utf8)
                .with_key_bytes(1, None)
        });
    }),
    ("shopify", Cause::KeyEncoding, |a| {
        a.set_secrets(BASE64);
        hmac(a, |scheme| scheme.with_key_encoding(KeyEncoding::Base64));
    }),
    ("slack", Cause::KeyEncoding, |a| {
        a.set_secrets(
            "8f742231b10e8888abcd99yyyzzz85a5"
                .replace(['y', 'z'], "0")
                .as_str(),
        );
        hmac(a, |scheme| scheme.with_key_encoding(KeyEncoding::Hex));
    }),
    ("square", Cause::PreviousSecret, |a| {
        a.previous = Some(a.sender_secret.clone());
        a.set_secret("the-new-one");
    }),
    ("devdraft", Cause::OtherSecret, |a| {
        a.other = Some(a.sender_secret.clone());
        a.set_secret("of-this-endpoint");
    }),
    ("cryptomate", Cause::OtherSecret, |a| {
        a.other = Some(a.sender_secret.clone());
        a.set_secret("of-this-endpoint");
    }),
    ("zendesk", Cause::SecretExpired, |a| {
        let old = Secret::new(SECRET).unwrap().with_expiry(a.now);
        a.secrets = vec![Secret::new("the-new-one").unwrap(), old];
    }),
];

const SIGNATURES: &[Failure] = &[
    ("shopify", Cause::DigestEncoding, |a| {
        hmac(a, |scheme| scheme.with_encoding(Encoding::Hex));
    }),
    ("github", Cause::DigestEncoding, |a| {
        hmac(a, |scheme| scheme.with_encoding(Encoding::Base64));
    }),
    ("mppcash", Cause::DigestEncoding, |a| {
        hmac(a, |scheme| scheme.with_encoding(Encoding::Base64url));
    }),
    ("zendesk", Cause::DigestEncoding, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "x-zendesk-webhook-signature", |text| {
                text.trim_end_matches('=').to_owned()
            });
        };
    }),
    ("devdraft", Cause::DigestEncoding, |a| {
        a.on_the_way =
            |headers| rewrite(headers, "x-webhook-signature", |text| format!("0x{text}"));
    }),
    ("github", Cause::WrongAlgorithm, |a| {
        hmac(a, |scheme| scheme.with_algorithm(Algorithm::Sha1));
    }),
    ("stripe", Cause::WrongAlgorithm, |a| {
        hmac(a, |scheme| scheme.with_algorithm(Algorithm::Sha512));
    }),
    ("twilio", Cause::WrongAlgorithm, |a| {
        hmac(a, |scheme| scheme.with_algorithm(Algorithm::Sha256));
    }),
    ("mppcash", Cause::WrongAlgorithm, |a| {
        let header = a.sender.scheme().header().unwrap().clone();
        a.sender_scheme(|_| Scheme::Digest(DigestScheme::new(header)));
    }),
    ("github", Cause::PrefixMissing, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "x-hub-signature-256", |text| {
                text.replace("sha256=", "")
            });
        };
    }),
    ("slack", Cause::PrefixMissing, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "x-slack-signature", |text| text.replace("v0=", ""));
        };
    }),
    ("mppcash", Cause::PrefixUnexpected, |a| {
        hmac(a, |scheme| scheme.with_prefix("sha256="));
    }),
    ("devdraft", Cause::SignatureTruncated, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "x-webhook-signature", |text| {
                text.split_at(40).0.to_owned()
            });
        };
    }),
    ("stripe", Cause::SignatureTruncated, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "stripe-signature", |text| {
                text.split_at(text.len() - 1).0.to_owned()
            });
        };
    }),
    ("standard-webhooks", Cause::SignatureTruncated, |a| {
        a.on_the_way = |headers| {
            rewrite(headers, "webhook-signature", |text| {
                text.split_at(text.len() - 4).0.to_owned()
            });
        };
    }),
    ("monterrey", Cause::SignatureQuoted, |a| {
        a.on_the_way = |headers| {
            let name = signature_name(headers);
            rewrite(headers, &name, |text| format!("\"{text}\""));
        };
    }),
    ("devdraft", Cause::HeaderName, |a| {
        a.on_the_way = |headers| {
            let value = headers.remove("x-webhook-signature").unwrap();
            headers.insert("x-devdraft-hmac", value);
        };
    }),
    ("razorpay", Cause::HeaderRepeated, |a| {
        a.on_the_way = |headers| {
            let value = headers["x-razorpay-signature"].clone();
            headers.append("x-razorpay-signature", value);
        };
    }),
    ("paddle", Cause::SignedContent, |a| {
        hmac(a, |scheme| {
            scheme.with_signed([Part::Timestamp, Part::literal("."), Part::Body])
        });
    }),
    ("zendesk", Cause::SignedContent, |a| {
        hmac(a, |scheme| {
            scheme.with_signed([Part::Body, Part::Timestamp])
        });
    }),
    ("square", Cause::SignedContent, |a| {
        hmac(a, |scheme| scheme.with_signed([Part::Body, Part::Url]));
    }),
];

fn signature_name(headers: &HeaderMap) -> String {
    let mut names = headers.keys().map(|name| name.as_str());
    names
        .find(|name| name.contains("signature"))
        .unwrap()
        .to_owned()
}

const TIMES: &[Failure] = &[
    ("m2m", Cause::TimestampUnit, |a| {
        let name = "x-m2m-timestamp".parse().unwrap();
        a.sender_scheme(|scheme| {
            let rule = SignedTimestamp::in_header(name).with_unit(TimeUnit::Milliseconds);
            Scheme::Hmac(scheme.with_timestamp(rule))
        });
    }),
    ("hubspot", Cause::TimestampUnit, |a| {
        let name = "x-hubspot-request-timestamp".parse().unwrap();
        a.sender_scheme(|scheme| {
            Scheme::Hmac(scheme.with_timestamp(SignedTimestamp::in_header(name)))
        });
    }),
    ("zendesk", Cause::TimestampUnit, |a| {
        let name = "x-zendesk-webhook-signature-timestamp".parse().unwrap();
        a.sender_scheme(|scheme| {
            Scheme::Hmac(scheme.with_timestamp(SignedTimestamp::in_header(name)))
        });
    }),
    ("slack", Cause::TimestampUnit, |a| {
        let signed = "v0:1772447400000:";
        a.sender_scheme(|scheme| {
            Scheme::Hmac(scheme.with_signed([Part::literal(signed), Part::Body]))
        });
        drop_time(a);
        a.on_the_way = |headers| {
            headers.insert("x-slack-request-timestamp", "1772447400".parse().unwrap());
        };
    }),
    ("m2m", Cause::TimestampNotSigned, |a| {
        a.sender_scheme(|scheme| Scheme::Hmac(scheme.with_signed([Part::Body])));
        drop_time(a);
        a.on_the_way = |headers| {
            headers.insert("x-m2m-timestamp", "1772447400".parse().unwrap());
        };
    }),
    ("zendesk", Cause::TimestampNotSigned, |a| {
        a.sender_scheme(|scheme| Scheme::Hmac(scheme.with_signed([Part::Body])));
        drop_time(a);
        a.on_the_way = |headers| {
            let name = "x-zendesk-webhook-signature-timestamp";
            headers.insert(name, "2026-03-02T10:30:00Z".parse().unwrap());
        };
    }),
    ("stripe", Cause::TimestampOutsideTolerance, |a| {
        a.now += Duration::from_secs(47 * 60);
    }),
    ("slack", Cause::TimestampOutsideTolerance, |a| {
        a.now -= Duration::from_secs(47 * 60);
    }),
    ("standard-webhooks", Cause::TimestampOutsideTolerance, |a| {
        a.now += Duration::from_secs(301);
    }),
];

/// Takes the timestamp out of the sender's scheme, of which no method can.
fn drop_time(attempt: &mut Attempt) {
    let mut written = serde_json::to_value(attempt.sender.scheme()).unwrap();
    written
        .as_object_mut()
        .unwrap()
        .remove("timestamp")
        .unwrap();
    let scheme = serde_json::from_value(written).unwrap();
    attempt.sender = attempt.sender.clone().with_scheme(scheme);
}

const URLS: &[Failure] = &[
    ("square", Cause::UrlScheme, |a| {
        a.url = a.url.take().map(|url| url.replace("https", "http"));
    }),
    ("square", Cause::UrlPort, |a| {
        a.url = a
            .url
            .take()
            .map(|url| url.replace(".example", ".example:8443"));
    }),
    ("square", Cause::UrlPort, |a| {
        a.sender_url = a.sender_url.replace(".example", ".example:443");
    }),
    ("twilio", Cause::UrlTrailingSlash, |a| {
        a.url = a.url.take().map(|url| url.replace("/hooks", "/hooks/"));
    }),
    ("square", Cause::UrlQuery, |a| {
        a.url = Some("https://shop.example/hooks?tenant=7&kind=a%20b".to_owned());
    }),
    ("hubspot", Cause::UrlQuery, |a| {
        a.sender_url = "https://shop.example/hooks".to_owned();
    }),
    ("square", Cause::UrlQuery, |a| {
        a.target = a.target.replace("%20", "+");
    }),
    ("twilio", Cause::UrlQuery, |a| {
        a.target = "https://shop.example/hooks?kind=a%20b&tenant=7".to_owned();
        a.sender_url = "https://shop.example/hooks?kind=a+b&tenant=7".to_owned();
    }),
    ("square", Cause::UrlHost, |a| {
        a.url = Some("https://localhost:3000/hooks".to_owned());
        a.on_the_way = |headers| {
            headers.insert("host", "shop.example".parse().unwrap());
        };
    }),
    ("hubspot", Cause::UrlHost, |a| {
        a.url = Some("https://shop.example/other".to_owned());
    }),
    ("square", Cause::UrlMissing, |a| {
        a.url = None;
        a.target = "/hooks?tenant=7&kind=a%20b".to_owned();
        a.on_the_way = |headers| {
            headers.insert("host", "shop.example".parse().unwrap());
        };
    }),
    ("hubspot", Cause::Method, |a| a.sender_method = Method::PUT),
];

const BODIES: &[Failure] = &[
    ("github", Cause::BodyReserialised, |a| {
        a.body = Some(PRETTY.into());
    }),
    ("stripe", Cause::BodyReserialised, |a| {
        signed_otherwise(a, &SORTED.replace('/', "\\/"));
    }),
    ("mppcash", Cause::BodyReserialised, |a| {
        a.body = Some(SPACED.into());
    }),
    ("slack", Cause::BodyReserialised, |a| {
        a.body = Some(PHP.into());
    }),
    ("shopify", Cause::BodyReserialised, |a| {
        signed_otherwise(a, PRETTY);
    }),
    ("stripe", Cause::BodyReserialised, |a| {
        signed_otherwise(a, &PRETTY.replace("  ", "    "));
    }),
    ("mppcash", Cause::BodyReserialised, |a| {
        signed_otherwise(a, &PRETTY.replace("  ", "\t"));
    }),
    ("github", Cause::BodyReserialised, |a| {
        signed_otherwise(a, SPACED);
    }),
    ("slack", Cause::BodyReserialised, |a| {
        signed_otherwise(a, PHP);
    }),
    ("shopify", Cause::BodyReserialised, |a| {
        signed_otherwise(a, SORTED);
    }),
    ("stripe", Cause::BodyReserialised, |a| {
        signed_otherwise(a, &format!("{PRETTY}\n"));
    }),
    ("github", Cause::BodyReserialised, |a| {
        a.body = Some(serde_json::to_vec(RICH).unwrap());
    }),
    ("github", Cause::TrailingNewline, |a| {
        a.body = Some(format!("{RICH}\n").into());
    }),
    ("stripe", Cause::TrailingNewline, |a| {
        a.body = Some(format!("{RICH}\r\n").into());
    }),
    ("mppcash", Cause::TrailingNewline, |a| {
        signed_otherwise(a, &format!("{RICH}\n"));
    }),
    ("twilio", Cause::TrailingNewline, |a| {
        a.body = Some([&a.signed_body[..], b"\n"].concat());
    }),
    ("shopify", Cause::LineEndings, |a| {
        a.signed_body = "{\n\"a\":\n1}".into();
        a.body = Some("{\r\n\"a\":\r\n1}".into());
    }),
    ("devdraft", Cause::LineEndings, |a| {
        a.signed_body = "{\r\n\"a\":\r\n1}".into();
        a.body = Some("{\n\"a\":\n1}".into());
    }),
    ("slack", Cause::ByteOrderMark, |a| {
        a.body = Some(format!("\u{feff}{RICH}").into());
    }),
    ("mppcash", Cause::ByteOrderMark, |a| {
        signed_otherwise(a, &format!("\u{feff}{RICH}"));
    }),
    ("stripe", Cause::Charset, |a| {
        a.body = Some(RICH.chars().map(|char| char as u8).collect());
    }),
    ("github", Cause::Charset, |a| {
        // Read as Latin-1, written as UTF-8.
        a.body = Some(RICH.bytes().map(char::from).collect::<String>().into());
    }),
    ("shopify", Cause::Compression, |a| {
        a.body = Some(gzip(RICH.as_bytes()));
    }),
    ("mppcash", Cause::Compression, |a| {
        a.body = Some(RICH.into());
        a.signed_body = gzip(RICH.as_bytes());
    }),
    ("stripe", Cause::BodyBase64, |a| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        a.body = Some(STANDARD.encode(RICH).into());
    }),
    ("m2m", Cause::BodyEmpty, |a| {
        a.body = Some(a.signed_body.clone());
        a.signed_body.clear();
        a.sender = a.sender.clone().with_also_sent([]);
    }),
    ("slack", Cause::FormReencoded, |a| {
        a.signed_body = b"text=a+b%2Ac&user=%C3%A9".to_vec();
        a.body = Some(b"text=a%20b*c&user=%C3%A9".to_vec());
    }),
    ("slack", Cause::FormReencoded, |a| {
        a.signed_body = b"text=a+b&user=U1".to_vec();
        a.body = Some(br#"{"text":"a b","user":"U1"}"#.to_vec());
    }),
    ("twilio", Cause::ContentType, |a| {
        a.on_the_way = |headers| {
            headers.insert("content-type", "application/json".parse().unwrap());
        };
    }),
];

/// The sender signs one text and sends [`RICH`].
fn signed_otherwise(attempt: &mut Attempt, signed: &str) {
    attempt.signed_body = signed.into();
    attempt.body = Some(RICH.into());
}

const PRESETS: &[Failure] = &[
    ("github", Cause::OtherPreset, |a| {
        a.provider = named("stripe");
    }),
    ("stripe", Cause::OtherPreset, |a| {
        a.provider = named("slack");
    }),
    ("svix", Cause::OtherPreset, |a| {
        a.provider = named("standard-webhooks");
    }),
    ("monterrey", Cause::OtherPreset, |a| {
        a.provider = named("mppcash");
    }),
    ("gitlab", Cause::OtherPreset, |a| {
        a.provider = named("github");
    }),
    ("square", Cause::OtherPreset, |a| {
        a.provider = named("shopify");
    }),
];

fn named(preset: &str) -> tower_webhooks_core::Provider {
    tower_webhooks_core::providers::find(preset).unwrap()
}

#[test]
fn the_true_cause_of_a_wrong_secret_is_named() {
    SECRETS
        .iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn the_true_cause_of_a_wrong_signature_is_named() {
    SIGNATURES
        .iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn the_true_cause_of_a_wrong_time_is_named() {
    TIMES
        .iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn the_true_cause_of_a_wrong_url_is_named() {
    URLS.iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn the_true_cause_of_a_wrong_body_is_named() {
    BODIES
        .iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn another_preset_that_fits_is_named() {
    PRESETS
        .iter()
        .enumerate()
        .for_each(|(index, failure)| check(index, failure));
}

#[test]
fn presets_that_fit_alike_are_named_together() {
    let mut attempt = prepared("github");
    attempt.provider = named("stripe");
    let explained = attempt.explain();
    let advice = explained.first().unwrap().advice();
    assert!(advice.contains("preset is github"), "{advice}");
    assert!(advice.contains("preset is meta"), "{advice}");
}

#[test]
fn two_things_that_are_wrong_together_are_both_named() {
    let mut attempt = prepared("github");
    attempt.set_secret(format!("{SECRET}\n"));
    attempt.body = Some(PRETTY.into());
    let explained = attempt.explain();
    let found: Vec<_> = explained
        .findings()
        .iter()
        .map(|finding| {
            (
                finding.cause(),
                finding.together_with(),
                finding.confidence(),
            )
        })
        .collect();
    let (secret, body) = (Cause::SecretWhitespace, Cause::BodyReserialised);
    assert_eq!(
        found,
        [
            (secret, Some(body), Confidence::Certain),
            (body, Some(secret), Confidence::Certain),
        ]
    );
}

#[test]
fn where_several_changes_would_do_none_of_them_is_certain() {
    let mut attempt = prepared("stripe");
    attempt.sender_secret = "the-one-before".to_owned();
    attempt.previous = Some("the-one-before".to_owned());
    attempt.other = Some("of-billing".to_owned());
    // A second signature, as during a rotation, by the other endpoint's secret.
    attempt.on_the_way = |headers| {
        let mut again = prepared("stripe");
        again.sender_secret = "of-billing".to_owned();
        let second = again.sign().headers["stripe-signature"].clone();
        let (_, second) = second.to_str().unwrap().split_once(',').unwrap();
        rewrite(headers, "stripe-signature", |text| {
            format!("{text},{second}")
        });
    };
    let explained = attempt.explain();
    let found = explained.findings().iter();
    let found: Vec<_> = found
        .map(|found| (found.cause(), found.confidence()))
        .collect();
    assert_eq!(
        found,
        [
            (Cause::PreviousSecret, Confidence::Likely),
            (Cause::OtherSecret, Confidence::Likely),
        ]
    );
}

#[test]
fn an_old_request_with_a_wrong_secret_has_both_causes() {
    let mut attempt = prepared("stripe");
    attempt.set_secret(format!("whsec_{BASE64}\n"));
    attempt.now += Duration::from_secs(3 * 60 * 60);
    let explained = attempt.explain();
    let found: Vec<_> = explained
        .findings()
        .iter()
        .map(|finding| finding.cause())
        .collect();
    assert_eq!(
        found,
        [Cause::SecretWhitespace, Cause::TimestampOutsideTolerance]
    );
    assert!(explained.findings()[1].advice().contains("3 h before"));
}

#[test]
fn one_malformed_secret_does_not_hide_that_another_signed_it() {
    let mut attempt = prepared("standard-webhooks");
    attempt.secrets.push(Secret::new("not base64!").unwrap());
    let explained = attempt.explain();
    let first = explained.first().unwrap();
    assert_eq!(
        (first.cause(), first.confidence()),
        (Cause::SecretMalformed, Confidence::Certain)
    );
    assert!(explained.setup_error().is_some());
}

/// RFC 8032, section 7.1, test 1.
#[cfg(feature = "ed25519")]
#[test]
fn signatures_of_a_key_pair_are_explained_too() {
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let mut attempt = Attempt::of("discord");
    attempt.sender_secret =
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".to_owned();
    attempt.set_secret(public);
    assert!(attempt.explain().is_verified());

    let first = |attempt: &Attempt| {
        let explained = attempt.explain();
        let first = explained.first().unwrap();
        (first.cause(), first.confidence())
    };
    attempt.body = Some([&attempt.signed_body[..], b"\n"].concat());
    assert_eq!(
        first(&attempt),
        (Cause::TrailingNewline, Confidence::Certain)
    );
    attempt.body = None;
    attempt.set_secret("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    assert_eq!(first(&attempt), (Cause::KeyEncoding, Confidence::Certain));
    attempt.set_secret(public.replace('d', "e"));
    assert_ne!(first(&attempt).1, Confidence::Certain);
}
