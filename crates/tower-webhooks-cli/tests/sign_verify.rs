//! What `sign` prints, `verify` takes; and nothing else.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use serde_json::{Value, json};
use support::{Ran, SECRET, assert_one_line, run, run_with, write};

const BODY: &str = r#"{"event":"link.opened","timestamp":"2026-03-02T10:15:00Z","data":{}}"#;

/// M2M's headers for [`BODY`] at 1772446530, which is 2026-03-02T10:15:30Z.
fn m2m_headers() -> Vec<String> {
    let arguments = [
        "sign",
        "--provider",
        "m2m",
        "--data",
        BODY,
        "--now",
        "1772446530",
    ];
    let ran = run_with(arguments, "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    ran.stdout.lines().map(str::to_owned).collect()
}

fn verify_m2m(headers: &[String], options: &[&str]) -> Ran {
    let headers = headers
        .iter()
        .flat_map(|header| ["--header", header.as_str()]);
    let base = ["verify", "--provider", "m2m"];
    run_with(
        base.into_iter()
            .chain(headers)
            .chain(options.iter().copied()),
        BODY,
    )
}

#[test]
fn headers_are_one_a_line_in_the_order_of_their_names() {
    let headers = m2m_headers();
    let names: Vec<_> = headers
        .iter()
        .map(|line| line.split_once(": ").unwrap().0)
        .collect();
    let expected = [
        "content-type",
        "x-m2m-event",
        "x-m2m-signature",
        "x-m2m-timestamp",
    ];
    assert_eq!(names, expected);
    assert_eq!(headers[3], "x-m2m-timestamp: 1772446530");
}

#[test]
fn the_digest_is_that_of_rfc_4231() {
    let data = "what do ya want for nothing?";
    let arguments = [
        "sign",
        "--provider",
        "mppcash",
        "--secret",
        "Jefe",
        "--data",
        data,
    ];
    let ran = run_with(arguments, "");
    let line = "x-mppcash-signature: \
                5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\n";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
}

#[test]
fn signing_prints_json_too() {
    let arguments = "sign --provider m2m --data {} --now 1772446530 --json";
    let printed: Value = serde_json::from_str(&run(arguments).stdout).unwrap();
    assert_eq!(printed["provider"], "m2m");
    assert_eq!(printed["headers"]["x-m2m-timestamp"], "1772446530");
    let signature = printed["headers"]["x-m2m-signature"].as_str().unwrap();
    assert_eq!(signature.len(), "sha256=".len() + 64);
}

#[test]
fn now_is_taken_in_three_forms() {
    let expected = m2m_headers().join("\n") + "\n";
    for now in [
        "1772446530000",
        "2026-03-02T10:15:30Z",
        "2026-03-02T11:15:30+01:00",
    ] {
        let arguments = ["sign", "--provider", "m2m", "--data", BODY, "--now", now];
        assert_eq!(run_with(arguments, "").stdout, expected, "{now}");
    }
}

#[test]
fn a_request_that_passes_is_told_in_full() {
    let ran = verify_m2m(&m2m_headers(), &["--now", "1772446530"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        ran.stdout,
        "verified: m2m\nsecret: current\ntype: link.opened\n\
         time: 2026-03-02T10:15:00Z\nsigned: 2026-03-02T10:15:30Z\n"
    );
    let ran = verify_m2m(&m2m_headers(), &["--now", "1772446530", "--json"]);
    assert_eq!(ran.code, 0);
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).unwrap(),
        json!({
            "verified": true,
            "provider": "m2m",
            "secret": "current",
            "event_type": "link.opened",
            "id": null,
            "time": "2026-03-02T10:15:00Z",
            "signed_at": "2026-03-02T10:15:30Z",
            "unusable": null,
        })
    );
}

#[test]
fn a_delivery_of_several_events_is_told_event_by_event() {
    let verified = |body: &str, json: bool| {
        let line = ["--provider", "line", "--data", body];
        let signed = run_with(["sign"].into_iter().chain(line), "").stdout;
        let of_line = |header: &&str| header.starts_with("x-line-signature");
        let signature = signed.lines().find(of_line).unwrap();
        let verify = ["verify", "--header", signature];
        let json = json.then_some("--json");
        let ran = run_with(verify.into_iter().chain(line).chain(json), "");
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        ran.stdout
    };
    let two = r#"{"events":[{"type":"message","webhookEventId":"01A","timestamp":1772446500000},{"webhookEventId":"01B"}]}"#;
    assert_eq!(
        verified(two, false),
        "verified: line\nsecret: current\nevents: 2\n\
         event 1: message 01A 2026-03-02T10:15:00Z\nevent 2: unusable: type-missing\n"
    );
    let shown: Value = serde_json::from_str(&verified(two, true)).unwrap();
    assert_eq!(
        shown["events"],
        json!([
            {
                "event_type": "message",
                "id": "01A",
                "time": "2026-03-02T10:15:00Z",
                "unusable": null,
            },
            { "event_type": null, "id": null, "time": null, "unusable": "type-missing" },
        ])
    );
    assert_eq!(
        verified(r#"{"events":[]}"#, false),
        "verified: line\nsecret: current\nevents: 0\n"
    );
    assert_eq!(
        verified("{}", false),
        "verified: line\nsecret: current\nunusable: not-a-list\n"
    );
}

#[test]
fn the_edge_of_the_tolerance_is_within_it() {
    for now in ["1772446230", "1772446830"] {
        assert_eq!(verify_m2m(&m2m_headers(), &["--now", now]).code, 0, "{now}");
    }
}

#[test]
fn each_refusal_has_its_kind() {
    let good = m2m_headers();
    let without = |name: &str| -> Vec<_> {
        good.iter()
            .filter(|line| !line.starts_with(name))
            .cloned()
            .collect()
    };
    let changed = |name: &str, line: &str| -> Vec<_> {
        without(name).into_iter().chain([line.to_owned()]).collect()
    };
    let signature = good[2].as_str();
    let digit = if signature.ends_with('0') { '1' } else { '0' };
    let other = format!("{}{digit}", signature.strip_suffix(|_| true).unwrap());
    let short = signature.strip_suffix(|_| true).unwrap();
    let doubled: Vec<_> = good.iter().cloned().chain([signature.to_owned()]).collect();
    let name = "x-m2m-signature";

    for (headers, now, kind) in [
        (without(name), "1772446530", "signature-missing"),
        (
            without("x-m2m-timestamp"),
            "1772446530",
            "timestamp-missing",
        ),
        (changed(name, short), "1772446530", "signature-malformed"),
        (
            changed(name, "x-m2m-signature: sha1=00"),
            "1772446530",
            "signature-malformed",
        ),
        (changed(name, &other), "1772446530", "signature-mismatch"),
        (
            changed("x-m2m-timestamp", "x-m2m-timestamp: 1772446531"),
            "1772446530",
            "signature-mismatch",
        ),
        (
            changed("x-m2m-timestamp", "x-m2m-timestamp: soon"),
            "1772446530",
            "timestamp-malformed",
        ),
        (doubled, "1772446530", "signature-repeated"),
        (good.clone(), "1772446831", "timestamp-stale"),
        (good.clone(), "1772446229", "timestamp-future"),
    ] {
        let ran = verify_m2m(&headers, &["--now", now]);
        assert_eq!(ran.stdout, format!("rejected: {kind}\n"));
        assert_one_line(&ran, 1, "error: ");

        let ran = verify_m2m(&headers, &["--now", now, "--json"]);
        assert_eq!(ran.code, 1);
        assert_eq!(
            serde_json::from_str::<Value>(&ran.stdout).unwrap(),
            json!({"verified": false, "provider": "m2m", "rejection": kind})
        );
    }
}

#[test]
fn other_bytes_and_another_secret_are_a_mismatch() {
    let signed = run("sign --provider mppcash --data {}").stdout;
    let header = signed
        .lines()
        .find(|line| line.starts_with("x-mpp"))
        .unwrap();
    let verify = |secret, body| {
        let base = [
            "verify",
            "--provider",
            "mppcash",
            "--header",
            header,
            "--secret",
            secret,
        ];
        run_with(base, body)
    };
    assert_eq!(verify(SECRET, "{}").code, 0);
    for (secret, body) in [
        (SECRET, "{}\n"),
        (SECRET, "{ }"),
        (SECRET, ""),
        ("another", "{}"),
    ] {
        let ran = verify(secret, body);
        assert_eq!(ran.code, 1, "{body:?}");
        assert_eq!(ran.stdout, "rejected: signature-mismatch\n");
    }
}

#[test]
fn the_secret_before_is_found_in_a_rotation() {
    let signed = run("sign --provider mppcash --data {}").stdout;
    let header = signed
        .lines()
        .find(|line| line.starts_with("x-mpp"))
        .unwrap();
    let base = [
        "verify",
        "--provider",
        "mppcash",
        "--header",
        header,
        "--data",
        "{}",
    ];
    let ran = run_with(
        base.into_iter()
            .chain(["--secret", "new", "--secret", SECRET]),
        "",
    );
    assert_eq!(ran.code, 0);
    assert!(
        ran.stdout.contains("\nsecret: previous\n"),
        "{}",
        ran.stdout
    );

    let too_many = [
        "--secret", "1", "--secret", "2", "--secret", "3", "--secret", "4", "--secret", "5",
    ];
    let ran = run_with(base.into_iter().chain(too_many), "");
    assert_one_line(&ran, 2, "one more than the 4");
}

#[test]
fn an_authentic_body_that_names_no_event_is_not_rejected() {
    let signed = run("sign --provider mppcash --data {}").stdout;
    let header = signed
        .lines()
        .find(|line| line.starts_with("x-mpp"))
        .unwrap();
    let base = [
        "verify",
        "--provider",
        "mppcash",
        "--header",
        header,
        "--data",
        "{}",
    ];
    let ran = run_with(base, "");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stdout,
        "verified: mppcash\nsecret: current\nunusable: type-missing\n"
    );
    let ran = run_with(base.into_iter().chain(["--json"]), "");
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed["unusable"], "type-missing");
    assert_eq!(printed["event_type"], Value::Null);
}

#[test]
fn a_description_of_ones_own_may_sign_method_url_and_headers() {
    let folder = tempfile::tempdir().unwrap();
    let acme = write(
        folder.path(),
        "acme.toml",
        r#"
            name = "acme"

            [scheme]
            kind = "hmac"
            header = "x-acme-signature"
            encoding = "base64"
            signed = ["method", "url", { header = "x-acme-id" }, "body"]

            [envelope]
            event_type = "/type"
            id = "header:x-acme-id"
        "#,
    );
    let url = "https://shop.example/hooks?tenant=7";
    let common = ["--provider", &acme, "--data", r#"{"type":"a"}"#];
    let id = ["--header", "x-acme-id: 41"];
    let sign = ["sign", "--method", "put", "--url", url];
    let signed = run_with(sign.into_iter().chain(common).chain(id), "");
    assert_eq!((signed.code, signed.stderr.as_str()), (0, ""));
    let headers = format!("@{}", write(folder.path(), "headers", &signed.stdout));

    let verify = |method, url| {
        let target = [
            "verify", "--method", method, "--url", url, "--header", &headers,
        ];
        run_with(target.into_iter().chain(common), "")
    };
    let ran = verify("PUT", url);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stdout,
        "verified: acme\nsecret: current\ntype: a\nid: 41\n"
    );
    for (method, url) in [
        ("POST", url),
        ("PUT", "https://shop.example/hooks?tenant=8"),
        ("PUT", "https://shop.example/hooks"),
        ("PUT", "http://shop.example/hooks?tenant=7"),
    ] {
        let ran = verify(method, url);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (1, "rejected: signature-mismatch\n")
        );
    }

    let ran = run_with(["sign"].into_iter().chain(common).chain(id), "");
    assert_one_line(&ran, 2, "this provider signs its URL: give --url");
    let ran = run_with(sign.into_iter().chain(common), "");
    assert_one_line(&ran, 2, "the header x-acme-id is part of what is signed");
    let twice = sign.into_iter().chain(common).chain(id).chain(id);
    assert_one_line(
        &run_with(twice, ""),
        2,
        "the header x-acme-id is given twice",
    );
}
