//! `webhooks register` with providers that fail: no secret is lost that may be
//! in use, and none is kept that is not.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use support::{Ran, assert_one_line, finish, receiver::Receiver, webhooks};

const URL: &str = "http://127.0.0.1:9/hook";

/// The secrets that were sent, each with what its file held at that time.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A provider that answers each method alike, and looks at the secret's file
/// while it is asked to take that secret.
struct Failing {
    provider: Receiver,
    folder: tempfile::TempDir,
    seen: Seen,
}

impl Failing {
    fn answering(answers: &[(Method, u16, Value)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.txt");
        let (seen, answers) = (Seen::default(), answers.to_vec());
        let sees = Arc::clone(&seen);
        let app = Router::new().fallback(async move |method: Method, body: Bytes| {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let sent = ["secret", "key", "webhook_key"].into_iter();
            if let Some(secret) = sent.filter_map(|name| body[name].as_str()).next() {
                let secret = secret.to_owned();
                let kept = fs::read_to_string(&file).ok();
                sees.lock().unwrap().push((secret, kept));
            }
            let mut answers = answers.iter();
            let (_, status, answer) = answers.find(|(one, ..)| *one == method).unwrap();
            let status = StatusCode::from_u16(*status).unwrap();
            (status, answer.to_string())
        });
        Self {
            provider: Receiver::running(app),
            folder,
            seen,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("secret.txt")
    }

    fn register(&self, provider: &str, arguments: &[&str]) -> Ran {
        let mut command = webhooks();
        let base = format!("http://{}", self.provider.address);
        command
            .arg("register")
            .args(arguments)
            .args(["--provider", provider, "--base-url", &base])
            .arg("--secret-file")
            .arg(self.file())
            .env("CRYPTOMATE_API_KEY", "cm_test_sandbox")
            .env("MONTERREY_API_KEY", "mk_test_sandbox");
        finish(command, "")
    }

    /// The secret stood in its file before it was sent, and stands there now.
    fn assert_kept(&self, ran: &Ran) {
        assert_one_line(ran, 1, "the secret, which may be in use now, is in ");
        let seen = self.seen.lock().unwrap();
        let [(secret, Some(kept))] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(*kept, format!("{secret}\n"));
        assert_eq!(fs::read_to_string(self.file()).unwrap(), *kept);
        assert!(!ran.stderr.contains(secret.as_str()), "{ran:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(self.file()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    /// Nothing is left of it, however often it was sent.
    fn assert_gone(&self, ran: &Ran, sent: usize) {
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(self.seen.lock().unwrap().len(), sent);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0);
    }
}

const CREATE: [&str; 5] = ["create", "--url", URL, "--event", "payment.confirmed"];
const ENSURE: [&str; 5] = ["ensure", "--url", URL, "--event", "payment.confirmed"];

#[test]
fn a_secret_that_may_be_in_use_is_kept_and_one_that_is_not_removed() {
    for (status, answer, is_kept) in [
        (500, json!({}), true),
        (502, json!({}), true),
        (302, json!({}), true),
        // Created, and said in other words.
        (201, json!({}), true),
        (400, json!({}), false),
        (401, json!({}), false),
        (404, json!({}), false),
        (409, json!({}), false),
        (429, json!({}), false),
    ] {
        let post = (Method::POST, status, answer);
        let list = (Method::GET, 200, json!([]));
        for (provider, arguments) in [
            ("monterrey", &CREATE[..]),
            ("monterrey", &ENSURE),
            ("cryptomate", &["create", "--url", URL]),
            ("cryptomate", &["ensure", "--url", URL, "--force-create"]),
            ("cryptomate", &["rotate"]),
        ] {
            // CryptoMate's answers have no member that must be there.
            if provider == "cryptomate" && status == 201 {
                continue;
            }
            let failing = Failing::answering(&[post.clone(), list.clone()]);
            let ran = failing.register(provider, arguments);
            match is_kept {
                true => failing.assert_kept(&ran),
                false => failing.assert_gone(&ran, 1),
            }
        }
    }
}

/// What is registered already, with these event types.
fn listed(events: &[&str]) -> (Method, u16, Value) {
    let known = json!([{ "id": "wh_1", "url": URL, "events": events }]);
    (Method::GET, 200, known)
}

#[test]
fn a_secret_is_kept_where_the_old_registration_cannot_be_deleted() {
    // The one that creates has succeeded, whatever deleting says.
    for status in [400, 404, 429, 500] {
        let failing = Failing::answering(&[
            listed(&["payment.confirmed", "payment.failed"]),
            (Method::POST, 201, json!({ "id": "wh_2" })),
            (Method::DELETE, status, json!({})),
        ]);
        let ran = failing.register("monterrey", &ENSURE);
        failing.assert_kept(&ran);
        assert!(ran.stderr.contains("wh_1, which sends to"), "{ran:?}");
    }
}

#[test]
fn no_file_is_left_where_nothing_was_created() {
    let failing = Failing::answering(&[(Method::GET, 500, json!({}))]);
    let ran = failing.register("monterrey", &ENSURE);
    failing.assert_gone(&ran, 0);
    let unfit = ["create", "--url", URL, "--event", "payment.lost"];
    let ran = failing.register("monterrey", &unfit);
    assert_one_line(&ran, 2, "no event type of monterrey");
    assert!(!failing.file().exists());
}

#[test]
fn a_registration_whose_secret_nobody_shows_is_no_success_with_a_new_file() {
    let failing = Failing::answering(&[listed(&["payment.confirmed"])]);
    let ran = failing.register("monterrey", &ENSURE);
    let words = "registered already; its secret is not shown: rotate or delete";
    assert_one_line(&ran, 1, words);
    failing.assert_gone(&ran, 0);
    // With the file that holds it, it is.
    fs::write(failing.file(), "the one of then\n").unwrap();
    let ran = failing.register("monterrey", &ENSURE);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("unchanged wh_1"), "{ran:?}");
}
