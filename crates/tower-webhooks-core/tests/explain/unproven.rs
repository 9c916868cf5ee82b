//! Failures that nobody can prove the cause of.

use std::time::Duration;

use tower_webhooks_core::{
    RejectionKind,
    explain::{Cause, Confidence},
    provider::{Answer, Answers},
    providers,
};

use super::attempt::Attempt;

#[track_caller]
fn first(preset: &str, change: fn(&mut Attempt)) -> (Cause, Confidence) {
    let mut attempt = Attempt::of(preset);
    assert!(attempt.explain().is_verified());
    change(&mut attempt);
    let explained = attempt.explain();
    let first = explained.first().unwrap();
    (first.cause(), first.confidence())
}

#[test]
fn a_wrong_secret_is_possible_and_never_more() {
    let shared = providers::all().into_iter().filter(|provider| {
        use tower_webhooks_core::provider::Scheme;
        matches!(provider.scheme(), Scheme::Hmac(_) | Scheme::Token(_))
            && !["linear", "mailgun", "adyen", "microsoft-graph", "zoom"]
                .contains(&&**provider.name())
    });
    for provider in shared {
        let mut attempt = Attempt::of(provider.name());
        attempt.sender_headers.push(("x-github-event", "push"));
        assert!(attempt.explain().is_verified(), "{}", provider.name());
        attempt.set_secret("whsec_YW5vdGhlci1zZWNyZXQtb2YtMzItYnl0ZXMtbG9uZyE");
        let explained = attempt.explain();
        assert_eq!(
            explained.rejection(),
            Some(RejectionKind::SignatureMismatch)
        );
        let first = explained.first().unwrap();
        assert_eq!(first.cause(), Cause::SecretWrong, "{explained}");
        for finding in explained.findings() {
            assert_eq!(finding.confidence(), Confidence::Possible, "{explained}");
        }
        assert!(!explained.tried().is_empty());
    }
}

#[test]
fn a_changed_body_is_possible_and_never_more() {
    let mut attempt = Attempt::of("mppcash");
    attempt.body = Some(br#"{"type":"transfer.settled","data":{"amount":"9"}}"#.to_vec());
    let explained = attempt.explain();
    let found: Vec<_> = explained
        .findings()
        .iter()
        .map(|finding| (finding.cause(), finding.confidence()))
        .collect();
    assert_eq!(
        found,
        [
            (Cause::SecretWrong, Confidence::Possible),
            (Cause::BodyChanged, Confidence::Possible),
        ]
    );
}

#[test]
fn keys_that_were_sorted_cannot_be_put_back_and_it_is_said_to_be_possible() {
    let mut attempt = Attempt::of("mppcash").with_body(r#"{"d":1,"b":2,"c":3,"a":4}"#);
    attempt.body = Some(br#"{"a":4,"b":2,"c":3,"d":1}"#.to_vec());
    let explained = attempt.explain();
    let found = explained
        .findings()
        .iter()
        .find(|finding| finding.cause() == Cause::BodyReserialised);
    assert_eq!(found.unwrap().confidence(), Confidence::Possible);
}

#[test]
fn what_the_body_shows_is_likely() {
    let likely = |cause| (cause, Confidence::Likely);
    assert_eq!(
        first("stripe", |a| a.body = Some(Vec::new())),
        likely(Cause::BodyEmpty)
    );
    assert_eq!(
        first("github", |a| {
            a.body = Some(a.signed_body[..20].to_vec());
            a.on_the_way = |headers| {
                headers.insert("content-length", "500".parse().unwrap());
            };
        }),
        likely(Cause::BodyIncomplete)
    );
    assert_eq!(
        first("shopify", |a| {
            // Compressed by another library.
            a.body = Some(a.signed_body.clone());
            a.signed_body = b"\x1f\x8bcompressed".to_vec();
            a.on_the_way = |headers| {
                headers.insert("content-encoding", "gzip".parse().unwrap());
            };
        }),
        likely(Cause::Compression)
    );
    assert_eq!(
        first("mppcash", |a| {
            a.signed_body = b"{\"type\":\"\xe9\"}".to_vec();
            a.body = Some(String::from_utf8_lossy(&a.signed_body).into_owned().into());
        }),
        likely(Cause::Charset)
    );
}

#[test]
fn what_the_headers_show_is_said() {
    let missing = first("mppcash", |a| {
        a.on_the_way = |headers| {
            headers.remove("x-mppcash-signature").unwrap();
        };
    });
    assert_eq!(missing, (Cause::HeaderMissing, Confidence::Certain));
    let missing = first("m2m", |a| {
        a.on_the_way = |headers| {
            headers.remove("x-m2m-timestamp").unwrap();
        };
    });
    assert_eq!(missing, (Cause::HeaderMissing, Confidence::Certain));
    let malformed = first("mppcash", |a| {
        a.on_the_way = |headers| {
            headers.insert("x-mppcash-signature", "none".parse().unwrap());
        };
    });
    assert_eq!(malformed, (Cause::SignatureMalformed, Confidence::Likely));
    let malformed = first("m2m", |a| {
        a.on_the_way = |headers| {
            headers.insert("x-m2m-timestamp", "noon".parse().unwrap());
        };
    });
    assert_eq!(malformed, (Cause::TimestampMalformed, Confidence::Likely));
}

#[test]
fn a_header_that_is_there_is_never_said_to_be_missing() {
    // What is missing is the digest of a body that is no form, in the query.
    let mut attempt = Attempt::of("twilio");
    attempt.set_secret("another");
    attempt.body = Some(b"{}".to_vec());
    attempt.on_the_way = |headers| {
        headers.insert("content-type", "application/json".parse().unwrap());
    };
    let explained = attempt.explain();
    assert_eq!(explained.rejection(), Some(RejectionKind::SignatureMissing));
    let first = explained.first().unwrap();
    assert_eq!(
        (first.cause(), first.confidence()),
        (Cause::HeaderMissing, Confidence::Likely)
    );
}

#[test]
fn a_token_that_is_not_there_is_missing() {
    let missing = first("gitlab", |a| {
        a.on_the_way = |headers| {
            headers.remove("x-gitlab-token").unwrap();
        };
    });
    assert_eq!(missing, (Cause::HeaderMissing, Confidence::Certain));
}

#[test]
fn a_set_up_that_no_secret_can_mend_has_no_cause() {
    let mut attempt = Attempt::of("mppcash");
    let refuse = attempt.provider.answers().refuse.clone();
    let unusable = Answers::new(Answer::empty(500), refuse);
    attempt.provider = attempt.provider.with_answers(unusable);
    let explained = attempt.explain();
    assert!(explained.setup_error().unwrap().contains("status 500"));
    assert!(explained.findings().is_empty());
    assert!(!explained.is_verified());
}

#[test]
fn a_stale_time_of_an_unknown_sender_is_likely() {
    let stale = first("stripe", |a| {
        a.now += Duration::from_secs(3_600);
        a.set_secret("another");
    });
    assert_eq!(
        stale,
        (Cause::TimestampOutsideTolerance, Confidence::Likely)
    );
}

#[test]
fn a_secret_that_is_none_is_likely_and_no_request_is_checked() {
    let mut attempt = Attempt::of("standard-webhooks");
    attempt.set_secret("not base64!");
    let explained = attempt.explain();
    assert_eq!(explained.rejection(), None);
    assert!(explained.setup_error().unwrap().contains("not in the form"));
    let first = explained.first().unwrap();
    assert_eq!(
        (first.cause(), first.confidence()),
        (Cause::SecretMalformed, Confidence::Likely)
    );
}

#[test]
fn a_large_body_ends_the_search_and_that_is_said() {
    let mut attempt = Attempt::of("mppcash");
    attempt.signed_body = vec![b' '; 16 * 1024 * 1024];
    attempt.set_secret("another");
    let explained = attempt.explain();
    assert!(!explained.is_complete());
    assert!(explained.to_string().contains("not everything was tried"));
}
