//! `verify --explain`: why a signature fails, and how sure that is.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use serde_json::Value;
use support::{Ran, SECRET, assert_one_line, run_with, write};
use tower_webhooks_core::{
    Provider,
    provider::{Envelope, KeyEncoding, Locator, Part, Place, Scheme},
    providers,
};

const BODY: &str = r#"{"event":"link.opened","timestamp":"2026-03-02T10:15:00Z","data":{}}"#;

const NOW: &str = "1772446530";

fn signed(provider: &str, body: &str, options: &[&str]) -> Vec<String> {
    let base = ["sign", "--provider", provider, "--now", NOW, "--data", body];
    let ran = run_with(base.into_iter().chain(options.iter().copied()), "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    ran.stdout.lines().map(str::to_owned).collect()
}

fn explain(provider: &str, headers: &[String], body: &str, options: &[&str]) -> Ran {
    let base = ["verify", "--provider", provider, "--explain", "--now", NOW];
    let headers = headers.iter().flat_map(|header| ["--header", header]);
    run_with(
        base.into_iter()
            .chain(headers)
            .chain(options.iter().copied()),
        body,
    )
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.stdout.matches('\n').count(), 1, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_cause_stands_first_then_how_sure_it_is_then_what_to_change() {
    let headers = signed("m2m", BODY, &[]);
    let ran = explain("m2m", &headers, BODY, &["--secret", &format!("'{SECRET}'")]);
    assert_one_line(&ran, 1, "it does not verify because of this: secret-quoted");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "rejected: signature-mismatch",
            "",
            "cause: secret-quoted",
            "confidence: certain"
        ]
    );
    assert!(lines[4].starts_with("change: quotes stand around the secret"));
    assert!(lines[6].starts_with("tried: secret "), "{}", lines[6]);
    assert_eq!(lines.len(), 7);
}

#[test]
fn json_has_the_findings_and_what_was_tried() {
    let headers = signed("m2m", BODY, &[]);
    let ran = explain("m2m", &headers, &format!("{BODY}\n"), &["--json"]);
    assert_one_line(&ran, 1, "trailing-newline");
    let report = json(&ran);
    assert_eq!(report["verified"], false);
    assert_eq!(report["provider"], "m2m");
    assert_eq!(report["rejection"], "signature-mismatch");
    assert_eq!(report["setup_error"], Value::Null);
    assert_eq!(report["complete"], true);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["cause"], "trailing-newline");
    assert_eq!(findings[0]["confidence"], "certain");
    assert_eq!(findings[0]["together_with"], Value::Null);
    assert!(
        findings[0]["change"]
            .as_str()
            .unwrap()
            .contains("--data-binary")
    );
    assert!(report["tried"][0]["changes"].as_u64().unwrap() > 0);
}

#[test]
fn every_preset_is_explained() {
    let explained: Vec<_> = providers::all().into_iter().filter(is_plain).collect();
    assert!(explained.len() >= 10, "only {}", explained.len());
    for provider in explained {
        let name = provider.name().as_str();
        let sample = provider.events().list[0].sample.as_deref().unwrap();
        let headers = signed(name, sample, &[]);
        let ran = explain(name, &headers, &format!("{sample}\r\n"), &["--json"]);
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        let first = &json(&ran)["findings"][0];
        assert_eq!(first["cause"], "trailing-newline", "{name}");
        assert_eq!(first["confidence"], "certain", "{name}");
    }
}

/// Whether any text is its secret, and a body alone its request.
fn is_plain(provider: &Provider) -> bool {
    let Scheme::Hmac(scheme) = provider.scheme() else {
        return false;
    };
    let in_header = |place: &Place| matches!(place, Place::Header(_));
    let of = |envelope: &Envelope| {
        let id = envelope.id().into_iter().flat_map(Locator::places);
        envelope.event_type().places().chain(id).any(in_header)
    };
    scheme.key().encoding() == KeyEncoding::Utf8
        && provider.scheme().header().is_some()
        && scheme.signed().last() == Some(&Part::Body)
        && !provider.scheme().needs_public_url()
        && !provider.needs_payload_secrets()
        && !of(provider.envelope())
}

#[test]
fn what_verifies_is_said_as_without_it() {
    let headers = signed("m2m", BODY, &[]);
    let ran = explain("m2m", &headers, BODY, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with("verified: m2m\nsecret: current\n"));
    let report = json(&explain("m2m", &headers, BODY, &["--json"]));
    assert_eq!(report["verified"], true);
    assert!(report.get("findings").is_none());
}

#[test]
fn secrets_that_are_kept_elsewhere_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "secret-of-billing", &format!("{SECRET}\n"));
    let headers = signed("m2m", BODY, &[]);
    let with = |option: &str, value: &str| {
        let options = ["--secret", "the-new-one", "--json", option, value];
        json(&explain("m2m", &headers, BODY, &options))["findings"][0].clone()
    };
    assert_eq!(
        with("--previous-secret", SECRET)["cause"],
        "previous-secret"
    );
    assert_eq!(
        with("--previous-secret-file", &file)["cause"],
        "previous-secret"
    );
    let other = with("--other-secret-file", &file);
    assert_eq!(other["cause"], "other-secret");
    assert!(
        other["change"]
            .as_str()
            .unwrap()
            .contains("secret-of-billing")
    );
}

#[test]
fn a_wrong_secret_is_only_possible() {
    let headers = signed("m2m", BODY, &[]);
    let ran = explain("m2m", &headers, BODY, &["--secret", "of-another-account"]);
    assert_one_line(&ran, 1, "possible: secret-wrong");
    assert!(!ran.stdout.contains("certain"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("cause: secret-wrong\nconfidence: possible\n")
    );
}

#[test]
fn two_causes_name_each_other() {
    let headers = signed("m2m", BODY, &[]);
    let secret = format!("{SECRET} ");
    let ran = explain(
        "m2m",
        &headers,
        &format!("{BODY}\n"),
        &["--secret", &secret],
    );
    assert_eq!(ran.code, 1);
    let first = "cause: secret-whitespace\ntogether with: trailing-newline\nconfidence: certain\n";
    let second = "cause: trailing-newline\ntogether with: secret-whitespace\nconfidence: certain\n";
    assert!(ran.stdout.contains(first), "{}", ran.stdout);
    assert!(ran.stdout.contains(second), "{}", ran.stdout);
}

#[test]
fn a_secret_that_cannot_be_one_and_a_missing_url_are_explained_too() {
    let secret = format!("whsec_{}", "c2Vjcm".repeat(6));
    let id = ["--header", "webhook-id: msg_1"];
    let headers = signed(
        "standard-webhooks",
        BODY,
        &[&["--secret", &secret], &id[..]].concat(),
    );
    let quoted = format!("\"{secret}\"");
    let ran = explain("standard-webhooks", &headers, BODY, &["--secret", &quoted]);
    assert_one_line(&ran, 1, "secret-quoted");
    assert!(
        ran.stdout
            .starts_with("cannot be checked: the secret is not in the form")
    );

    let url = "https://shop.example/hooks";
    let headers = signed("square", BODY, &["--url", url]);
    let ran = explain("square", &headers, BODY, &[]);
    assert_one_line(&ran, 1, "url-missing");
    let ran = explain(
        "square",
        &headers,
        BODY,
        &["--url", "http://shop.example/hooks"],
    );
    assert_one_line(&ran, 1, "url-scheme");
}

#[test]
fn used_wrongly_it_says_so_and_exits_with_2() {
    let without = ["verify", "--provider", "m2m", "--previous-secret", "x"];
    assert_one_line(&run_with(without, BODY), 2, "--explain");
    let no_file = ["--other-secret-file", "nowhere.txt"];
    assert_one_line(
        &explain("m2m", &[], BODY, &no_file),
        2,
        "nowhere.txt cannot be read",
    );
    assert_one_line(
        &explain("m2m", &[], BODY, &["--url", "nowhere"]),
        2,
        "--url is not a URL",
    );
}
