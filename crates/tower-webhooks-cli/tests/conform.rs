//! `webhooks conform` against receivers of this process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

#[allow(dead_code, reason = "every test binary uses some of it")]
mod support;

use std::{collections::BTreeMap, env, fs, net::SocketAddr, path::Path, process::Command};

use axum::{body::Bytes, http::HeaderMap};
use serde_json::Value;
use support::{
    Ran, SECRET, assert_one_line,
    flawed::{Flaw, Flawed},
    receiver::Receiver,
    run_with,
};
use tower_webhooks_core::{Head, Secrets, Verifier, providers};

/// The rows that only a crash shows.
const KILLED: [&str; 2] = [
    "killed after the answer, effects",
    "killed before the answer and sent again, effects",
];

/// What a receiver does with an authentic event.
type Handle = fn(&mut Vec<Bytes>, Bytes) -> bool;

/// A receiver that verifies, and writes its effects' count to a file.
fn receiver(file: &str, handle: Handle) -> Receiver {
    let secrets = Secrets::new(SECRET).unwrap();
    let verifier = Verifier::new(providers::monterrey(), &secrets).unwrap();
    let verifier = std::sync::Arc::new(verifier);
    let known = std::sync::Arc::new(std::sync::Mutex::new((Vec::new(), 0_u64)));
    let file = file.to_owned();
    fs::write(&file, "0").unwrap();
    Receiver::verifying(move |headers: &HeaderMap, body: Bytes| {
        let now = std::time::SystemTime::now();
        let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
        let verified = verifier
            .provider()
            .screen(headers, now)
            .and_then(|screened| {
                let head = Head::new(&method, &uri, headers);
                verifier.verify(head, &screened, body.clone(), now)
            });
        if verified.is_err() {
            return 401;
        }
        let mut known = known.lock().unwrap();
        if handle(&mut known.0, body) {
            known.1 += 1;
            fs::write(&file, known.1.to_string()).unwrap();
        }
        200
    })
}

/// By id, and nothing that is no event.
fn once(known: &mut Vec<Bytes>, body: Bytes) -> bool {
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return false;
    };
    let id = Bytes::from(event["id"].to_string());
    let is_new = !known.contains(&id);
    if is_new {
        known.push(id);
    }
    is_new
}

fn every_time(_: &mut Vec<Bytes>, body: Bytes) -> bool {
    serde_json::from_slice::<Value>(&body).is_ok()
}

fn conform(receiver: &Receiver, options: &[&str]) -> Ran {
    let url = format!("http://{}/hook", receiver.address);
    let base = ["conform", "--provider", "monterrey", "--url", &url];
    run_with(base.into_iter().chain(options.iter().copied()), "")
}

fn judged(ran: &Ran) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("name"), text("judged"))
    };
    ran.stdout.lines().map(row).collect()
}

#[test]
fn a_right_receiver_is_right_in_all_that_is_seen_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, junit) = (path("count"), path("conform.xml"));
    let receiver = receiver(&file, once);
    let observe = format!("cat {file}");
    let ran = conform(
        &receiver,
        &[
            "--json",
            "--observe",
            &observe,
            "--settle",
            "0.4",
            "--junit",
            &junit,
        ],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let rows = judged(&ran);
    assert_eq!(rows["duplicate, effects"], "right");
    assert_eq!(rows["stale-timestamp"], "not-applicable");
    let unseen = rows
        .iter()
        .filter(|(_, judged)| *judged == "not-observable");
    let unseen: Vec<_> = unseen.map(|(name, _)| name.as_str()).collect();
    assert_eq!(unseen, KILLED, "they need --kill");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains(r#"failures="0""#), "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), rows.len());

    let ran = conform(&receiver, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = judged(&ran);
    assert_eq!(rows["duplicate"], "right");
    assert_eq!(rows["duplicate, effects"], "not-observable", "never right");
}

#[test]
fn a_receiver_that_handles_duplicates_twice_is_found_by_its_effects() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count").to_str().unwrap().to_owned();
    let receiver = receiver(&file, every_time);
    let observe = format!("cat {file}");
    let ran = conform(
        &receiver,
        &["--json", "--observe", &observe, "--settle", "0.4"],
    );
    assert_eq!(ran.code, 1);
    let rows = judged(&ran);
    let wrong: Vec<_> = rows
        .iter()
        .filter(|(_, judged)| *judged == "wrong")
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "concurrent-duplicate, effects",
        "duplicate, effects",
        "same-id-other-body, effects",
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn a_receiver_that_takes_everything_is_found_by_its_answers() {
    let receiver = Receiver::answering("OK");
    let ran = conform(&receiver, &[]);
    assert_eq!(ran.code, 1);
    let wrong: Vec<_> = ran
        .stdout
        .lines()
        .filter(|line| line.contains(": WRONG: "))
        .collect();
    assert_eq!(wrong.len(), 4, "{ran:?}");
    let expected = "wrong-secret: WRONG: a right receiver refuses it with a 4xx; it answered 200";
    assert_eq!(wrong[0], expected);
    assert!(wrong[1].starts_with("missing-signature: WRONG"));
    assert!(wrong[2].starts_with("malformed-signature: WRONG"));
    assert!(wrong[3].starts_with("body-changed: WRONG"));
}

#[test]
fn a_receiver_that_takes_no_right_event_is_not_judged() {
    let receiver = Receiver::answering(http::StatusCode::UNAUTHORIZED);
    let ran = conform(&receiver, &[]);
    assert_one_line(&ran, 1, "a right event is not accepted");
    assert_eq!(ran.stdout, "");
    let receiver = Receiver::answering("OK");
    let ran = conform(&receiver, &["--observe", "echo many", "--settle", "0.4"]);
    assert_one_line(&ran, 2, "--observe is to print a number");
}

#[test]
fn a_report_is_written_however_judging_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conform.xml");
    let junit = file.to_str().unwrap();
    // A report of an earlier run must not pass for this one's.
    let report = |receiver: &Receiver, options: &[&str], code, words| {
        fs::write(&file, "earlier").unwrap();
        let ran = conform(receiver, &[options, &["--junit", junit]].concat());
        assert_one_line(&ran, code, words);
        let report = fs::read_to_string(&file).unwrap();
        assert!(report.contains(words), "{report}");
        assert_eq!(report.matches("<error message=").count(), 1, "{report}");
        let never = report.matches("<skipped message=\"never reached: ").count();
        assert_eq!(never, 21, "{report}");
        let suite = r#"tests="22" failures="0" errors="1" skipped="21""#;
        assert!(report.contains(suite), "{report}");
    };
    let refusing = Receiver::answering(http::StatusCode::UNAUTHORIZED);
    report(&refusing, &[], 1, "a right event is not accepted");
    let receiver = Receiver::answering("OK");
    let observe = ["--observe", "echo many", "--settle", "0.4"];
    report(&receiver, &observe, 2, "--observe is to print a number");
    report(&receiver, &["--event", "no.such"], 2, "no.such");
    report(&receiver, &["--observe", "false"], 1, "--observe failed");

    // Where it breaks off later, what was judged stays.
    let counts = folder.path().join("counts").display().to_string();
    let observe =
        format!("echo >> {counts}; test $(wc -l < {counts}) -lt 20 && echo 0 || echo many");
    let observe = ["--observe", &observe, "--settle", "0.4", "--junit", junit];
    let ran = conform(&receiver, &observe);
    assert_eq!(ran.code, 2, "{ran:?}");
    let report = fs::read_to_string(&file).unwrap();
    assert_eq!(report.matches("<error message=").count(), 1, "{report}");
    let never = report
        .matches("never reached: --observe is to print")
        .count();
    let judged = report.matches("<testcase ").count() - never - 1;
    assert_eq!(judged, ran.stdout.lines().count(), "{report}");
    assert!(judged > 0 && never > 0, "{report}");
}

/// How long is waited for effects, in seconds: long beside what handlers take.
const SETTLE: &str = "0.8";

/// The rows that are wrong, of a receiver in this process.
fn wrong_of(flaw: Flaw) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::flawed(flaw, folder.path().to_owned());
    judge(
        &format!("http://{}/hook", receiver.address),
        folder.path(),
        &[],
        flaw,
    )
}

fn judge(url: &str, folder: &Path, options: &[&str], flaw: Flaw) -> Vec<String> {
    let observe = format!("wc -l < {}/effects", folder.display());
    let base = ["conform", "--json", "--provider", "m2m", "--url", url];
    let observe = ["--observe", &observe, "--settle", SETTLE, "--timeout", "30"];
    let ran = run_with(
        base.into_iter()
            .chain(observe)
            .chain(options.iter().copied()),
        "",
    );
    let rows = judged(&ran);
    assert_eq!(rows.len(), 34, "{flaw:?}: {ran:?}");
    let unseen = rows
        .iter()
        .filter(|(_, judged)| *judged == "not-observable");
    let expected = match flaw {
        _ if options.is_empty() => &KILLED[..],
        // Nothing that it acknowledged can be lost: this is not called right.
        Flaw::HandlesFirst => &KILLED[..1],
        _ => &[],
    };
    let unseen: Vec<_> = unseen.map(|(name, _)| name.as_str()).collect();
    assert_eq!(unseen, expected, "{flaw:?}: {ran:?}");
    let wrong = rows.into_iter().filter(|(_, judged)| *judged == "wrong");
    let wrong: Vec<_> = wrong.map(|(name, _)| name).collect();
    assert_eq!(ran.code, i32::from(!wrong.is_empty()), "{flaw:?}: {ran:?}");
    wrong
}

#[test]
fn each_flaw_is_found_by_its_rows_and_by_no_other() {
    let flaws: [(Flaw, &[&str]); 9] = [
        (Flaw::BodyUnbounded, &["oversize", "oversize, effects"]),
        (Flaw::CheckThenInsert, &["concurrent-duplicate, effects"]),
        (Flaw::CrashesOnHex, &["malformed-signature"]),
        (
            Flaw::IgnoresAge,
            &["stale-timestamp", "stale-timestamp, effects"],
        ),
        (
            Flaw::NoDedup,
            &["concurrent-duplicate, effects", "duplicate, effects"],
        ),
        (Flaw::None, &[]),
        (
            Flaw::OpenWithoutHeader,
            &["missing-signature", "missing-signature, effects"],
        ),
        (Flaw::TrustsUnsignedType, &["unsigned-type, effects"]),
        (
            Flaw::VerifiesWhatItWrote,
            &["body-changed", "body-changed, effects"],
        ),
    ];
    // Nearly all of their time is waiting.
    std::thread::scope(|scope| {
        let runs =
            flaws.map(|(flaw, expected)| (flaw, expected, scope.spawn(move || wrong_of(flaw))));
        for (flaw, expected, run) in runs {
            assert_eq!(run.join().unwrap(), expected, "{flaw:?}");
        }
    });
}

/// A receiver in a process of its own, killed at the end of the test too.
#[cfg(unix)]
struct Process {
    address: SocketAddr,
    folder: tempfile::TempDir,
    start: String,
    kill: String,
}

#[cfg(unix)]
impl Process {
    fn start(flaw: Flaw) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let pid = folder.path().join("pid").display().to_string();
        let start = format!(
            "{RECEIVER}='{flaw:?} {address} {}' '{}' --ignored --exact {TEST} & echo $! > {pid}",
            folder.path().display(),
            env::current_exe().unwrap().display(),
        );
        let started = Self {
            address,
            folder,
            start,
            kill: format!("kill -9 $(cat {pid})"),
        };
        assert!(shell(&started.start));
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        started
    }

    fn wrong(&self, flaw: Flaw) -> Vec<String> {
        let options = [
            "--kill",
            &self.kill,
            "--start",
            &self.start,
            "--recovery",
            "5",
        ];
        let url = format!("http://{}/hook", self.address);
        judge(&url, self.folder.path(), &options, flaw)
    }
}

#[cfg(unix)]
fn shell(command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .stdout(std::process::Stdio::null());
    shell
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[cfg(unix)]
impl Drop for Process {
    fn drop(&mut self) {
        shell(&self.kill);
    }
}

/// Tells the test below, started as a process of its own, what it is to be.
const RECEIVER: &str = "CONFORM_TEST_RECEIVER";
const TEST: &str = "a_receiver_in_a_process_of_its_own";

#[test]
#[ignore = "is started by the test that kills it, and does nothing alone"]
fn a_receiver_in_a_process_of_its_own() {
    let Ok(receiver) = env::var(RECEIVER) else {
        return;
    };
    let mut words = receiver.splitn(3, ' ');
    let name = words.next().unwrap();
    let address: SocketAddr = words.next().unwrap().parse().unwrap();
    let folder = words.next().unwrap().into();
    let mut flaws = Flaw::ALL.into_iter();
    let flaw = flaws.find(|flaw| format!("{flaw:?}") == name).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let app = Flawed::open(flaw, folder).app();
        axum::serve(listener, app).await.unwrap();
    });
}

#[cfg(unix)]
#[test]
fn what_a_crash_costs_is_found() {
    let flaws: [(Flaw, &[&str]); 4] = [
        // It forgets what it has acknowledged, whenever that was.
        (Flaw::AckBeforeCommit, &KILLED),
        (Flaw::HandlesFirst, &[]),
        (Flaw::MarksSeenBeforeStored, &KILLED[1..]),
        (Flaw::None, &[]),
    ];
    std::thread::scope(|scope| {
        let runs = flaws.map(|(flaw, expected)| {
            let run = move || Process::start(flaw).wrong(flaw);
            (flaw, expected, scope.spawn(run))
        });
        for (flaw, expected, run) in runs {
            assert_eq!(run.join().unwrap(), expected, "{flaw:?}");
        }
    });
}

#[test]
fn killing_needs_a_start_and_eyes() {
    let receiver = Receiver::answering("OK");
    for options in [
        &["--kill", "true"][..],
        &["--kill", "true", "--start", "true"],
        &["--start", "true"],
        &["--kill", "true", "--observe", "echo 1"],
    ] {
        assert_one_line(&conform(&receiver, options), 2, "required arguments");
    }
    // A receiver that takes everything is still there afterwards.
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::flawed(Flaw::None, folder.path().to_owned());
    let url = format!("http://{}/hook", receiver.address);
    let base = [
        "conform",
        "--provider",
        "m2m",
        "--url",
        &url,
        "--observe",
        "echo 1",
    ];
    let kill = ["--settle", "0.1", "--kill", "true", "--start", "true"];
    let ran = run_with(base.into_iter().chain(kill), "");
    assert_one_line(&ran, 1, "--kill left a receiver that takes connections");
}
