//! A receiver of the examples, run as its users run it.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs::File,
    io::{self, BufRead as _, Write as _},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{Schema, soon};

/// The packages of the receivers.
pub const RECEIVERS: [&str; 5] = [
    "cryptomate-receiver",
    "devdraft-receiver",
    "m2m-receiver",
    "monterrey-receiver",
    "mppcash-receiver",
];

/// What `abort` ends a process with, on every Unix.
const SIGABRT: i32 = 6;

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    /// When its process was started.
    pub started: Instant,
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    logged: Arc<Mutex<String>>,
    /// Ends with the log.
    following: Option<thread::JoinHandle<()>>,
    secret: String,
    _folder: TempDir,
}

impl Receiver {
    /// Starts one with the secret of these tests, at a free port, with an inbox
    /// of its own unless the environment names one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(package: &str, secret: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_program(receiver_program(package), secret, environment).await
    }

    /// Starts a receiver of the tests' own, in the same way.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_program(program: &Path, secret: &str, environment: &[(&str, &str)]) -> Self {
        let begun = soon(Self::begin(program, secret, environment)).await;
        begun.unwrap_or_else(|logged| panic!("{} did not start: {logged}", program.display()))
    }

    /// Starts one that may give up instead, for as long as it takes to do either.
    ///
    /// # Errors
    ///
    /// What it logged, if it ended before it listened.
    ///
    /// # Panics
    ///
    /// When there is no such program.
    pub async fn begin(
        program: &Path,
        secret: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let folder = disk_folder();
        let mut command = command(program, secret);
        command.env("INBOX", folder.path().join("webhooks.db"));
        let started = Instant::now();
        let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (listening, address) = oneshot::channel();
        let logged = Arc::<Mutex<String>>::default();
        let log = child.stderr.take().unwrap();
        let log = File::from(log.into_owned_fd().unwrap());
        // On a thread of its own: a test that waits for curl would not read, and a receiver whose
        // log is full stands still.
        let kept = Arc::clone(&logged);
        let following = thread::spawn(move || follow(log, &kept, listening));
        let Ok(address) = address.await else {
            return Err(logged.lock().unwrap().clone());
        };
        Ok(Self {
            child,
            address,
            started,
            lines: Some(lines),
            logged,
            following: Some(following),
            secret: secret.to_owned(),
            _folder: folder,
        })
    }

    /// Starts one that must not start; returns its exit code and what it
    /// logged.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub async fn refused(
        package: &str,
        secret: &str,
        environment: &[(&str, &str)],
    ) -> (Option<i32>, String) {
        let mut command = command(receiver_program(package), secret);
        let ended = command.envs(environment.iter().copied()).output();
        let ended = soon(ended).await.unwrap();
        let logged = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code(), logged)
    }

    /// Starts one that must end itself, as a crash does, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it goes on, or ends otherwise.
    pub async fn aborts(program: &Path, secret: &str, environment: &[(&str, &str)]) {
        let mut command = command(program, secret);
        let ended = command.envs(environment.iter().copied()).output();
        let ended = soon(ended).await.unwrap();
        let logged = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(SIGABRT), "{logged}");
    }

    /// Its process's id.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Posts with curl; returns status and body.
    #[must_use]
    pub fn curl(&self, path: &str, headers: &[(String, String)], body: &str) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args([
            "--data-binary",
            "@-",
            "--header",
            "content-type: application/json",
        ]);
        for (name, value) in headers {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        self.run(curl, path, body)
    }

    /// Gets with curl; returns status and body.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.run(Command::new("curl"), path, "")
    }

    fn run(&self, mut curl: Command, path: &str, body: &str) -> (u16, String) {
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--write-out",
            "\n%{http_code}",
        ]);
        curl.arg(format!("http://{}{path}", self.address));
        let output = pipe(curl, body.as_bytes());
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The next line on stdout.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn line(&mut self) -> String {
        let lines = self.lines.as_mut().unwrap();
        soon(lines.next_line()).await.unwrap().unwrap()
    }

    /// All lines on stdout until it ends, read as they come.
    ///
    /// # Panics
    ///
    /// When they were taken before.
    pub fn lines(&mut self) -> JoinHandle<Vec<String>> {
        tokio::spawn(rest_of(self.lines.take().unwrap()))
    }

    /// What it has logged so far.
    ///
    /// # Panics
    ///
    /// When the one who reads it has panicked.
    #[must_use]
    pub fn logged(&self) -> String {
        self.logged.lock().unwrap().clone()
    }

    /// Asks it to stop, as a service manager does.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn terminate(&self) {
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.pid().to_string()]);
        assert!(pipe(kill, b"").status.success());
    }

    /// Ends it as a crash does, in the middle of whatever it does.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub async fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended by itself");
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended itself, as a crash does.
    ///
    /// # Panics
    ///
    /// When it goes on for a minute, or ends otherwise.
    pub async fn aborted(&mut self) {
        // It passes a rare point often, on a machine that may have much to do.
        let most = Duration::from_secs(60);
        let status = timeout(most, self.child.wait()).await.unwrap().unwrap();
        let logged = self.whole_log();
        assert_eq!(status.signal(), Some(SIGABRT), "{status}: {logged}");
    }

    /// Waits for its end, which must be a good one; it must have logged neither its
    /// secret nor its database's password.
    ///
    /// # Panics
    ///
    /// When either is not so.
    pub async fn ended(&mut self) {
        assert!(soon(self.child.wait()).await.unwrap().success());
        let logged = self.whole_log();
        assert!(!logged.contains(&self.secret), "{logged}");
        assert!(!logged.contains(Schema::PASSWORD), "{logged}");
    }

    /// What it logged, after its end.
    fn whole_log(&mut self) -> String {
        if let Some(following) = self.following.take() {
            following.join().unwrap();
        }
        self.logged()
    }

    /// Stops it; returns the lines that were left.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub async fn stop(mut self) -> Vec<String> {
        self.terminate();
        self.ended().await;
        soon(self.lines()).await.unwrap()
    }
}

fn command(program: &Path, secret: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .envs([("BIND_ADDR", "127.0.0.1:0"), ("NO_COLOR", "1")])
        .env("WEBHOOK_SECRET", secret)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A folder on the disk that has the build, since the system's folder for
/// temporary files is often in memory, which an inbox refuses.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn disk_folder() -> TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}

async fn rest_of(mut lines: Lines<BufReader<ChildStdout>>) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push(line);
    }
    rest
}

/// Keeps the log, and finds in it where the receiver listens.
fn follow(log: File, kept: &Mutex<String>, listening: oneshot::Sender<SocketAddr>) {
    let mut listening = Some(listening);
    for line in io::BufReader::new(log).lines().map_while(Result::ok) {
        let address = line.split("address=").nth(1).and_then(|rest| {
            let address = rest.split_whitespace().next()?;
            address.parse().ok()
        });
        if let Some(address) = address
            && let Some(listening) = listening.take()
        {
            // Whoever started it may have given up.
            let _ = listening.send(address);
        }
        let mut kept = kept.lock().unwrap();
        kept.push_str(&line);
        kept.push('\n');
    }
}

/// Runs the `webhooks` command with these arguments, separated by spaces, on the
/// inbox that this names; returns what it printed.
///
/// # Panics
///
/// When it fails.
#[must_use]
pub fn webhooks(inbox: impl AsRef<OsStr>, arguments: &str) -> String {
    let mut command = Command::new(webhooks_program());
    command.args(arguments.split_whitespace());
    command.env_clear().env("INBOX", inbox);
    let ran = pipe(command, b"");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments}: {said}");
    String::from_utf8(ran.stdout).unwrap()
}

/// The `webhooks` command's program, built once, as these tests are.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn webhooks_program() -> &'static Path {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| build(&["tower-webhooks-cli"]));
    &programs["webhooks"]
}

/// The program of one of the [`RECEIVERS`], built once, as these tests are.
///
/// # Panics
///
/// When it cannot be built, or there is no such receiver.
#[must_use]
pub fn receiver_program(package: &str) -> &'static Path {
    &programs()[package]
}

/// The receivers' programs, built once, as these tests are.
fn programs() -> &'static HashMap<String, PathBuf> {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| build(&RECEIVERS))
}

/// The program of each of these packages, by its name.
fn build(packages: &[&str]) -> HashMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    let output = pipe(cargo, b"");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let programs: HashMap<_, _> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let message: BTreeMap<String, Value> = serde_json::from_str(line).ok()?;
            let program = message.get("executable")?.as_str()?;
            let name = message["target"]["name"].as_str()?;
            Some((name.to_owned(), PathBuf::from(program)))
        })
        .collect();
    assert_eq!(programs.len(), packages.len(), "{programs:?}");
    programs
}

/// `printf %s CONTENT | openssl dgst -sha256 -hmac SECRET`
///
/// # Panics
///
/// When openssl is not there or prints something else.
#[must_use]
pub fn openssl(secret: &str, content: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", secret]);
    let output = pipe(openssl, content.as_bytes());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    let digest = printed.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(digest.len(), 64, "{printed}");
    digest
}

fn pipe(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}
