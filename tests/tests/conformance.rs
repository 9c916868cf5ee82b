//! `webhooks conform` against the receivers of the examples, each a process that
//! is killed and started again: every row is right, or does not apply to the
//! provider.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tower_webhooks_tests::{RECEIVERS, disk_folder, receiver_program, webhooks_program};

const SECRET: &str = "whsec_the-receivers-and-the-command-share-this";

/// How long a receiver may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver, an event that it has a handler for, and what the handler logs: an
/// effect as soon as it happens, so that no kill can take it back. The line
/// `handled …` follows once the inbox knows, and a kill between the two loses it.
struct Judged {
    package: &'static str,
    provider: &'static str,
    path: &'static str,
    event: &'static str,
    logs: &'static str,
    /// The rows that do not apply: no time or id is signed, no header names a type,
    /// or nothing is signed at all.
    not_applicable: &'static [&'static str],
}

const JUDGED: [Judged; 5] = [
    Judged {
        package: "cryptomate-receiver",
        provider: "cryptomate",
        path: "/webhooks/cryptomate",
        event: "cards.deposit.success",
        logs: "cryptomate_receiver: credited ",
        not_applicable: &[
            "body-changed",
            "malformed-signature",
            "stale-timestamp",
            "unsigned-type",
        ],
    },
    Judged {
        package: "devdraft-receiver",
        provider: "devdraft",
        path: "/webhooks/devdraft",
        event: "payment.completed",
        logs: "devdraft_receiver: payment completed ",
        not_applicable: &["stale-timestamp", "unsigned-type"],
    },
    Judged {
        package: "m2m-receiver",
        provider: "m2m",
        path: "/webhooks/m2m",
        event: "link.created",
        logs: "m2m_receiver: link stored ",
        not_applicable: &["same-id-other-body"],
    },
    Judged {
        package: "monterrey-receiver",
        provider: "monterrey",
        path: "/webhooks/monterrey",
        event: "payment.confirmed",
        logs: "monterrey_receiver: fulfilled ",
        not_applicable: &["stale-timestamp", "unsigned-type"],
    },
    Judged {
        package: "mppcash-receiver",
        provider: "mppcash",
        path: "/mppcash/events",
        event: "transfer.rejected",
        logs: "mppcash_receiver: alert ",
        not_applicable: &["same-id-other-body", "stale-timestamp", "unsigned-type"],
    },
];

/// A receiver's process, as a service manager's commands start and kill it.
struct Process {
    address: SocketAddr,
    folder: TempDir,
}

impl Process {
    fn start(package: &str) -> Self {
        // The address must be the same after each start.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let process = Self {
            address,
            folder: disk_folder(),
        };
        assert!(shell(&process.start_command(receiver_program(package))));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{package} did not start");
            thread::sleep(Duration::from_millis(20));
        }
        process
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_command(&self, program: &Path) -> String {
        let [inbox, log, pid] = ["webhooks.db", "log", "pid"].map(|name| self.path(name));
        format!(
            "env -i BIND_ADDR={} INBOX='{}' WEBHOOK_SECRET={SECRET} NO_COLOR=1 RUST_LOG=info \
             '{}' >>'{}' 2>&1 & echo $! >'{}'",
            self.address,
            inbox.display(),
            program.display(),
            log.display(),
            pid.display(),
        )
    }

    fn kill_command(&self) -> String {
        format!("kill -9 $(cat '{}')", self.path("pid").display())
    }

    /// How often a handler logged this; grep fails where it never did.
    fn count_command(&self, logs: &str) -> String {
        let log = self.path("log");
        format!("grep -c '{logs}' '{}' || true", log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        shell(&self.kill_command());
    }
}

fn shell(command: &str) -> bool {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).stdin(Stdio::null());
    let shell = shell.stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().unwrap().success()
}

impl Judged {
    /// What is not as it should be, in words; nothing is right.
    fn complaints(&self) -> String {
        let process = Process::start(self.package);
        let mut conform = Command::new(webhooks_program());
        let url = format!("http://{}{}", process.address, self.path);
        conform
            .args(["conform", "--json", "--provider", self.provider])
            .args(["--url", &url, "--event", self.event, "--timeout", "30"])
            // Beyond the lease of a job whose process died.
            .args(["--recovery", "150"])
            .args(["--observe", &process.count_command(self.logs)])
            .args(["--kill", &process.kill_command()])
            .args([
                "--start",
                &process.start_command(receiver_program(self.package)),
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("WEBHOOK_SECRET", SECRET);
        let ran = conform.output().unwrap();
        let rows = String::from_utf8(ran.stdout).unwrap();
        let rows: Vec<Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        let mut complaints = String::new();
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            writeln!(complaints, "{}: {}", self.package, said.trim_end()).unwrap();
        }
        let mut not_applicable = BTreeSet::new();
        for row in &rows {
            match row["judged"].as_str().unwrap() {
                "right" => {}
                "not-applicable" => {
                    not_applicable.insert(row["name"].as_str().unwrap());
                }
                _ => writeln!(complaints, "{}: {row}", self.package).unwrap(),
            }
        }
        let expected = self.not_applicable.iter().copied().collect();
        if not_applicable != expected {
            writeln!(complaints, "{}: {not_applicable:?}", self.package).unwrap();
        }
        complaints
    }
}

#[test]
#[ignore = "builds the receivers; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
fn every_receiver_conforms_before_and_after_it_is_killed() {
    let packages = JUDGED.each_ref().map(|judged| judged.package);
    assert_eq!(packages, RECEIVERS);
    // Most of their time is waiting.
    let complaints: String = thread::scope(|scope| {
        let runs = JUDGED
            .each_ref()
            .map(|judged| scope.spawn(|| judged.complaints()));
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(complaints, "");
}
