//! `webhooks sandbox` and `webhooks register`, as a developer uses them: one
//! process is the provider, others register and trigger.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::{Value, json};
use support::{Ran, SECRET, assert_one_line, finish, receiver::Receiver, webhooks};

/// A sandbox that runs for as long as it is held.
struct Sandbox {
    base: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Sandbox {
    fn start(options: &[&str]) -> Self {
        let mut command = webhooks();
        command
            .args(["sandbox", "--listen", "127.0.0.1:0"])
            .args(options);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let base = first.strip_prefix("listening on ").unwrap().to_owned();
        Self { base, child, lines }
    }

    /// The next line that begins so.
    fn line(&mut self, beginning: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.starts_with(beginning)).unwrap()
    }

    /// A command for this sandbox.
    fn ask(&self, arguments: &[&str]) -> Ran {
        let mut command = webhooks();
        command
            .arg("sandbox")
            .args(arguments)
            .args(["--at", &self.base]);
        finish(command, "")
    }

    /// A command for one of its management APIs, with the key that it shows.
    fn register(&self, provider: &str, secret: Option<&str>, arguments: &[&str]) -> Ran {
        let mut command = webhooks();
        let base = format!("{}/{provider}", self.base);
        command
            .arg("register")
            .args(arguments)
            .args(["--provider", provider, "--base-url", &base])
            .env("CRYPTOMATE_API_KEY", "cm_test_sandbox")
            .env("DEVDRAFT_CLIENT_KEY", "ck_test_sandbox")
            .env("DEVDRAFT_CLIENT_SECRET", "cs_test_sandbox")
            .env("M2M_API_KEY", "m2m_test_sandbox")
            .env("MONTERREY_API_KEY", "mk_test_sandbox")
            .env("MPPCASH_API_KEY", "mpp_test_sandbox");
        if let Some(secret) = secret {
            command.env("WEBHOOK_SECRET", secret);
        }
        finish(command, "")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/hook", receiver.address)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_registered_endpoint_gets_what_is_triggered() {
    let mut sandbox = Sandbox::start(&[]);
    let keys = sandbox.line("monterrey: ");
    assert!(
        keys.ends_with("/monterrey; 6 attempts, as documented"),
        "{keys}"
    );
    let receiver = Receiver::answering("OK");
    let url = url(&receiver);
    let ensure = ["ensure", "--url", &url, "--event", "payment.*"];
    let ran = sandbox.register("monterrey", Some(SECRET), &ensure);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("created wh_"), "{ran:?}");
    let ran = sandbox.register("monterrey", Some(SECRET), &ensure);
    assert!(ran.stdout.starts_with("unchanged wh_"), "{ran:?}");

    let trigger = [
        "trigger",
        "--provider",
        "monterrey",
        "--event",
        "payment.confirmed",
    ];
    let ran = sandbox.ask(&[&trigger[..], &["--wait", "20", "--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let dispatch: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(dispatch["state"], "delivered");
    let told = sandbox.line("dsp_");
    assert!(
        told.ends_with("attempt 1 answered 200; delivered"),
        "{told}"
    );
    let deliveries = receiver.deliveries("monterrey");
    assert_eq!(
        deliveries[0].event().unwrap().event_type(),
        "payment.confirmed"
    );

    let ran = sandbox.ask(&["redeliver", dispatch["id"].as_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = sandbox.ask(&["dispatches"]);
    assert_eq!(ran.stdout.matches(": answered 200").count(), 2, "{ran:?}");
    assert_eq!(receiver.deliveries("monterrey").len(), 2);
}

/// On the clock of the wall, since that is what a developer waits by; the library's own test
/// checks every gap on a clock that it turns. A machine under load may be late, by a twentieth
/// of the whole, and is never early.
#[test]
fn a_day_of_retries_in_eight_seconds_comes_at_its_documented_times() {
    const SCALE: f64 = 10_800.0;
    const MINUTES: [f64; 6] = [0.0, 1.0, 6.0, 36.0, 156.0, 1_596.0];

    let came = Arc::new(Mutex::new(Vec::new()));
    let comes = Arc::clone(&came);
    let receiver = Receiver::new(move |_| {
        comes.lock().unwrap().push(Instant::now());
        async { http::StatusCode::SERVICE_UNAVAILABLE }
    });
    let sandbox = Sandbox::start(&["--time-scale", "10800"]);
    let url = url(&receiver);
    let ensure = ["ensure", "--url", &url, "--event", "payment.*"];
    let ran = sandbox.register("monterrey", Some(SECRET), &ensure);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = sandbox.ask(&[
        "trigger",
        "--provider",
        "monterrey",
        "--event",
        "payment.confirmed",
        "--wait",
        "60",
        "--json",
    ]);
    assert_one_line(&ran, 1, "1 of 1 not delivered");
    let dispatch: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(dispatch["state"], "failed");

    let came = came.lock().unwrap();
    let came = came.iter().map(|at| (*at - came[0]).as_secs_f64());
    let told = dispatch["attempts"].as_array().unwrap().iter();
    let told = told.map(|attempt| attempt["after_ms"].as_f64().unwrap() / 1_000.0);
    // Told in whole milliseconds.
    for (times, early) in [(came.collect::<Vec<_>>(), 0.0), (told.collect(), 0.001)] {
        assert_eq!(times.len(), MINUTES.len());
        let late = MINUTES[5] * 0.05;
        for (seconds, documented) in times.iter().zip(MINUTES) {
            let (minutes, early) = (seconds * SCALE / 60.0, early * SCALE / 60.0);
            assert!(
                minutes >= documented - early && minutes <= documented + late,
                "{minutes} min for {documented} min: {times:?}"
            );
        }
    }
}

#[test]
fn a_receiver_that_comes_back_gets_what_it_missed_once() {
    let sandbox = Sandbox::start(&["--time-scale", "600"]);
    // An address where nobody listens, until somebody does.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{address}/hook");
    let ensure = ["ensure", "--url", &url, "--event", "payment.confirmed"];
    assert_eq!(sandbox.register("monterrey", Some(SECRET), &ensure).code, 0);
    let trigger = [
        "trigger",
        "--provider",
        "monterrey",
        "--event",
        "payment.confirmed",
    ];
    let ran = sandbox.ask(&trigger);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut sandbox = sandbox;
    assert!(sandbox.line("dsp_").ends_with("; pending"));
    assert!(sandbox.line("dsp_").contains("attempt 2 broken"));
    let receiver = Receiver::on(address);
    let told = sandbox.line("dsp_");
    assert!(
        told.ends_with("attempt 3 answered 200; delivered"),
        "{told}"
    );
    assert_eq!(receiver.deliveries("monterrey").len(), 1);
}

#[test]
fn a_secret_goes_to_its_file_and_nowhere_else() {
    let sandbox = Sandbox::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering("OK");
    let url = url(&receiver);
    for (provider, options) in [
        ("mppcash", &["--event", "*"][..]),
        ("monterrey", &["--event", "*"]),
        ("cryptomate", &[]),
        ("devdraft", &["--name", "Orders"]),
    ] {
        let file = path(folder.path(), &format!("{provider}.txt"));
        let create = ["create", "--url", &url, "--json", "--secret-file", &file];
        let ran = sandbox.register(provider, None, &[&create[..], options].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{provider}");
        let secret = std::fs::read_to_string(&file).unwrap();
        assert!(
            secret.starts_with("whsec_") && secret.ends_with('\n'),
            "{provider}"
        );
        assert!(!ran.stdout.contains("whsec_"), "{ran:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{provider}");
        }
        // Without a place for it, nothing is asked of the provider.
        let create = ["create", "--url", &url];
        let ran = sandbox.register(provider, None, &[&create[..], options].concat());
        assert_one_line(&ran, 2, "the secret has no place to go");
    }
    // A file that is there holds the secret, so that a second run is the same.
    let file = path(folder.path(), "monterrey.txt");
    let again = [
        "ensure",
        "--url",
        &url,
        "--event",
        "*",
        "--secret-file",
        &file,
    ];
    let ran = sandbox.register("monterrey", None, &again);
    assert!(ran.stdout.starts_with("unchanged "), "{ran:?}");
    let file = path(folder.path(), "mppcash.txt");
    let again = [
        "create",
        "--url",
        &url,
        "--event",
        "*",
        "--secret-file",
        &file,
    ];
    let ran = sandbox.register("mppcash", None, &again);
    assert_one_line(&ran, 2, "MPPCash makes up a new secret");
}

#[test]
fn a_secret_that_devdraft_shows_goes_to_a_new_file() {
    let sandbox = Sandbox::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9/hook";
    let ensure = |name: &str, secret, file: &[&str]| {
        let ensure = ["ensure", "--url", url, "--name", name];
        sandbox.register("devdraft", secret, &[&ensure[..], file].concat())
    };
    assert_eq!(ensure("Orders", Some(SECRET), &[]).code, 0);
    for (name, done) in [("Orders", "unchanged wh_"), ("Paid", "updated wh_")] {
        let file = path(folder.path(), name);
        let ran = ensure(name, None, &["--secret-file", &file]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert!(ran.stdout.starts_with(done), "{ran:?}");
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(kept, format!("{SECRET}\n"));
    }
}

#[test]
fn devdrafts_registrations_are_listed_shown_changed_rotated_and_deleted() {
    let sandbox = Sandbox::start(&[]);
    let url = "http://127.0.0.1:9/hook";
    let create = ["create", "--url", url, "--name", "Orders", "--json"];
    let ran = sandbox.register("devdraft", Some(SECRET), &create);
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    let id = made["id"].as_str().unwrap();
    let ran = sandbox.register("devdraft", None, &["list", "--json"]);
    let listed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(listed, json!([made]));
    let update = ["update", id, "--url", url, "--name", "Paid", "--inactive"];
    let ran = sandbox.register("devdraft", None, &update);
    let expected = format!("updated {id} {url} Paid (inactive)\n");
    assert_eq!((ran.code, ran.stdout), (0, expected));
    // What is not said again stays.
    for (option, ends) in [(None, "Sold (inactive)"), (Some("--active"), "Sold")] {
        let update = ["update", id, "--url", url, "--name", "Sold"];
        let ran = sandbox.register("devdraft", None, &[&update, option.as_slice()].concat());
        let expected = format!("updated {id} {url} {ends}\n");
        assert_eq!((ran.code, ran.stdout), (0, expected));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "new.txt");
    let ran = sandbox.register("devdraft", None, &["rotate", id, "--secret-file", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("whsec_")
    );
    assert_eq!(sandbox.register("devdraft", None, &["get", id]).code, 0);
    let ran = sandbox.register("devdraft", None, &["delete", id]);
    assert_eq!((ran.code, ran.stdout), (0, format!("deleted {id}\n")));
    let ran = sandbox.register("devdraft", None, &["get", id]);
    assert_one_line(&ran, 1, "the provider answered 404");
}

#[test]
fn what_devdraft_encrypts_with_goes_to_its_file_and_opens_what_comes() {
    let sandbox = Sandbox::start(&[]);
    let receiver = Receiver::answering("OK");
    let url = url(&receiver);
    let folder = tempfile::tempdir().unwrap();
    let ensure = ["ensure", "--url", &url, "--name", "Orders", "--encrypted"];
    let ran = sandbox.register("devdraft", Some(SECRET), &ensure);
    assert_one_line(&ran, 2, "--payload-secret-file <FILE>");
    let kept = |name: &str, expected: &str| {
        let file = path(folder.path(), name);
        let ensure = [&ensure[..], &["--payload-secret-file", &file]].concat();
        let ran = sandbox.register("devdraft", Some(SECRET), &ensure);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert!(ran.stdout.starts_with(expected), "{ran:?}");
        let secret = std::fs::read_to_string(&file).unwrap();
        assert!(!ran.stdout.contains(secret.trim_end()), "{ran:?}");
        secret
    };
    let secret = kept("payload.txt", "created wh_");
    assert_eq!(kept("payload.txt", "unchanged wh_"), secret);
    // One that was lost is shown again.
    assert_eq!(kept("again.txt", "unchanged wh_"), secret);

    let event = ["--provider", "devdraft", "--event", "payment.completed"];
    let trigger = [&["trigger"][..], &event, &["--wait", "20"]].concat();
    assert_eq!(sandbox.ask(&trigger).code, 0);
    let received = receiver.received.lock().unwrap();
    let (headers, body) = &received[0];
    let mut verify = webhooks();
    let signature = headers["x-webhook-signature"].to_str().unwrap();
    let file = path(folder.path(), "payload.txt");
    verify
        .args(["verify", "--provider", "devdraft-encrypted"])
        .args(["--payload-secret-file", &file])
        .args(["--header", &format!("x-webhook-signature: {signature}")])
        .env("WEBHOOK_SECRET", SECRET);
    let ran = finish(verify, std::str::from_utf8(body).unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("payment.completed"), "{ran:?}");
}

#[test]
fn what_is_not_documented_is_unsupported_unless_forced() {
    let sandbox = Sandbox::start(&[]);
    let url = "http://127.0.0.1:9/hook";
    let ensure = ["ensure", "--url", url];
    let ran = sandbox.register("cryptomate", Some(SECRET), &ensure);
    assert_one_line(&ran, 1, "--force-create registers without looking");
    let forced = [&ensure[..], &["--force-create"]].concat();
    let ran = sandbox.register("cryptomate", Some(SECRET), &forced);
    assert_eq!(ran.code, 0, "{ran:?}");
    for arguments in [&forced[..], &ensure[..]] {
        let ran = sandbox.register("m2m", Some(SECRET), arguments);
        assert_one_line(&ran, 1, "use its portal");
    }
    for (provider, command) in [
        ("mppcash", &["list"][..]),
        ("monterrey", &["get", "wh_1"]),
        ("monterrey", &["rotate", "wh_1"]),
        ("m2m", &["delete", "link_1"]),
    ] {
        let ran = sandbox.register(provider, None, command);
        assert_one_line(&ran, 1, "the provider documents no call to");
    }
}

#[test]
fn wrong_use_of_either_is_explained_in_one_line() {
    let sandbox = Sandbox::start(&[]);
    let url = "http://127.0.0.1:9/hook";
    let confirmed = ["create", "--url", url, "--event", "payment.confirmed"];
    for (provider, arguments, words) in [
        (
            "monterrey",
            &["create", "--url", url][..],
            "events is empty",
        ),
        (
            "monterrey",
            &["create", "--url", url, "--event", "payment.lost"],
            "no event type of monterrey",
        ),
        (
            "monterrey",
            &["create", "--url", "http://shop.example", "--event", "*"],
            "url must be https",
        ),
        ("devdraft", &["create", "--url", url], "name is missing"),
    ] {
        let ran = sandbox.register(provider, Some(SECRET), arguments);
        assert_one_line(&ran, 2, words);
    }
    let mut no_key = webhooks();
    no_key
        .arg("register")
        .args(confirmed)
        .args(["--provider", "monterrey"]);
    assert_one_line(&finish(no_key, ""), 2, "MONTERREY_API_KEY is not set");
    let mut no_provider = webhooks();
    no_provider.args(["register", "list"]);
    assert_one_line(&finish(no_provider, ""), 2, "whose API? give --provider");
    let mut plain = webhooks();
    plain
        .args(["register", "list", "--provider", "monterrey"])
        .args(["--base-url", "http://api.monterrey.example"])
        .env("MONTERREY_API_KEY", SECRET);
    assert_one_line(&finish(plain, ""), 2, "base_url must be https");

    let ran = sandbox.ask(&[
        "trigger",
        "--provider",
        "monterrey",
        "--event",
        "payment.confirmed",
    ]);
    assert_one_line(
        &ran,
        1,
        "nobody registered for payment.confirmed of monterrey",
    );
    let ran = sandbox.ask(&["trigger", "--provider", "acme", "--event", "x"]);
    assert_one_line(&ran, 1, "there is no provider acme");
    let ran = sandbox.ask(&["redeliver", "dsp_none"]);
    assert_one_line(&ran, 1, "there is no such dispatch");
    let mut away = webhooks();
    away.args(["sandbox", "dispatches", "--at", "http://127.0.0.1:9"]);
    assert_one_line(&finish(away, ""), 1, "no sandbox answers");
    let mut scale = webhooks();
    scale.args(["sandbox", "--time-scale", "0"]);
    assert_one_line(&finish(scale, ""), 2, "give a number above 0");
    let mut host = webhooks();
    host.args(["sandbox", "--allow-host", "provider:4000"]);
    assert_one_line(&finish(host, ""), 2, "provider:4000 is no host name");
}

/// The status that a request under that name gets.
fn status_as(sandbox: &Sandbox, host: &str) -> String {
    use std::io::{Read as _, Write as _};

    let address = sandbox.base.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET /_sandbox HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_sandbox_answers_to_its_own_names_and_to_those_that_were_allowed() {
    let closed = Sandbox::start(&[]);
    let open = Sandbox::start(&["--allow-host", "provider", "--allow-host", "other"]);
    for (host, at_closed, at_open) in [
        ("127.0.0.1:4000", "200", "200"),
        ("provider:4000", "403", "200"),
        ("other", "403", "200"),
        ("evil.example", "403", "403"),
    ] {
        assert_eq!(status_as(&closed, host), at_closed, "{host}");
        assert_eq!(status_as(&open, host), at_open, "{host}");
    }
}

#[test]
fn a_secret_does_not_go_to_another_machine_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "secret.txt");
    let register = |at: &str, more: &[&str], secret: Option<&str>| {
        let mut command = webhooks();
        command
            .args(["sandbox", "register", "--provider", "m2m"])
            .args(["--url", "http://127.0.0.1:9/hook", "--at", at])
            .args(["--secret-file", &file])
            .args(more);
        if let Some(secret) = secret {
            command.env("WEBHOOK_SECRET", secret);
        }
        finish(command, "")
    };
    let far = "http://sandbox.invalid:4000";
    for secret in [None, Some(SECRET)] {
        for at in [
            far,
            "http://192.0.2.1:4000",
            "http://127.0.0.1@sandbox.invalid",
        ] {
            let ran = register(at, &[], secret);
            assert_one_line(&ran, 2, "--at is another machine");
        }
        // It is tried, and there is none.
        let ran = register(far, &["--insecure-remote"], secret);
        assert_one_line(&ran, 1, "no sandbox answers");
        let ran = register("http://127.0.0.1:9", &[], secret);
        assert_one_line(&ran, 1, "no sandbox answers");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_one_line(&register("nowhere", &[], None), 2, "--at is not a URL");
}

#[test]
fn a_portals_page_is_a_command() {
    let sandbox = Sandbox::start(&[]);
    let receiver = Receiver::answering("OK");
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "m2m.txt");
    let url = url(&receiver);
    let register = [
        "register",
        "--provider",
        "m2m",
        "--url",
        &url,
        "--secret-file",
        &file,
    ];
    let ran = sandbox.ask(&register);
    assert!(ran.stdout.starts_with("created wh_"), "{ran:?}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("whsec_")
    );
    let trigger = [
        "trigger",
        "--provider",
        "m2m",
        "--event",
        "link.opened",
        "--wait",
        "20",
    ];
    let ran = sandbox.ask(&trigger);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(receiver.received.lock().unwrap().len(), 1);

    // Nobody is there, and the next attempt is a minute away.
    drop(receiver);
    let trigger = [&trigger[..6], &["1"]].concat();
    let ran = sandbox.ask(&trigger);
    let words = "1 of 1 not delivered: attempts follow, see `webhooks sandbox dispatches`";
    assert_one_line(&ran, 1, words);
}

#[cfg(unix)]
#[test]
fn a_sandbox_told_to_stop_ends_well() {
    let mut sandbox = Sandbox::start(&[]);
    let id = sandbox.child.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(sandbox.child.wait().unwrap().code(), Some(0));
}
