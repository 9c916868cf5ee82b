//! The README's three commands, as they stand there: sandbox, register, trigger.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver as Lines, channel},
    thread,
    time::{Duration, Instant},
};

use tower_webhooks_tests::{disk_folder, receiver_program, webhooks_program};

const README: &str = include_str!("../../README.md");

/// How long any line may take; the third retry comes half a minute after the
/// second.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the README has its reader run.
struct Commands {
    sandbox: String,
    register: String,
    trigger: String,
    receiver: String,
}

impl Commands {
    /// The block that starts a sandbox: a command ends where its line has no
    /// backslash, and a comment follows it.
    fn of(readme: &str) -> Self {
        let mut blocks = readme.split("```sh\n").skip(1);
        let block = blocks.find(|block| block.starts_with("webhooks sandbox "));
        let block = block.unwrap().split("```").next().unwrap();
        let joined = block.replace("\\\n", " ");
        let lines: Vec<_> = joined.lines().collect();
        let [sandbox, register, trigger] = lines[..] else {
            panic!("three commands, not {lines:?}");
        };
        let (register, comment) = register.split_once(" # then: ").unwrap();
        Self {
            sandbox: sandbox.split(" # ").next().unwrap().trim().to_owned(),
            register: register.trim().to_owned(),
            trigger: trigger.trim().to_owned(),
            receiver: comment.to_owned(),
        }
    }

    /// The same on ports that are free here, and with the receiver's program in the
    /// place of a build.
    fn at(mut self, sandbox: SocketAddr, receiver: SocketAddr) -> Self {
        let program = format!("'{}'", receiver_program("monterrey-receiver").display());
        let built = replaced(&self.receiver, "cargo run -p monterrey-receiver", &program);
        self.receiver = format!("BIND_ADDR={receiver} {built}");
        self.sandbox.push_str(&format!(" --listen {sandbox}"));
        self.register = replaced(&self.register, "127.0.0.1:4000", &sandbox.to_string());
        self.register = replaced(&self.register, "127.0.0.1:3000", &receiver.to_string());
        self.trigger.push_str(&format!(" --at http://{sandbox}"));
        self
    }
}

fn replaced(command: &str, from: &str, to: &str) -> String {
    assert_eq!(command.matches(from).count(), 1, "{from} in {command}");
    command.replace(from, to)
}

fn shell(command: &str, folder: &Path) -> Command {
    let mut path = webhooks_program().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder);
    shell
        .env_clear()
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    shell
}

/// A command that goes on, and what it prints.
struct Running {
    child: Child,
    lines: Lines<String>,
}

impl Running {
    fn start(command: &str, folder: &Path) -> Self {
        // The shell becomes the command, so that a signal reaches it; `env` sets the
        // variables that stand before it.
        let mut shell = shell(&format!("exec env {command}"), folder);
        let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (print, lines) = channel();
        thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                if print.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn line_with(&self, words: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ends it as ctrl-c and a service manager do; gives what it printed besides.
    fn stop(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.unwrap().success());
        assert!(self.child.wait().unwrap().success());
        std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn wait_for(address: SocketAddr) {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens on {address}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "builds a receiver and waits for retries; run with `cargo test -p tower-webhooks-tests -- --ignored`"]
fn the_three_commands_bring_a_receiver_what_it_missed_once() {
    let folder = disk_folder();
    let folder = folder.path();
    let (sandbox_at, receiver_at) = (free_address(), free_address());
    let commands = Commands::of(README).at(sandbox_at, receiver_at);

    let sandbox = Running::start(&commands.sandbox, folder);
    wait_for(sandbox_at);
    let registered = shell(&commands.register, folder).output().unwrap();
    let said = String::from_utf8_lossy(&registered.stderr);
    assert!(registered.status.success(), "{said}");

    let receiver = Running::start(&commands.receiver, folder);
    wait_for(receiver_at);
    let triggered = shell(&commands.trigger, folder).status().unwrap();
    assert!(triggered.success());
    let first = receiver.line();
    assert!(first.starts_with("handled payment.confirmed "), "{first}");
    assert_eq!(receiver.stop(), Vec::<String>::new());

    // Nobody is there for the delivery and two retries.
    let mut triggered = shell(&commands.trigger, folder);
    let triggered = triggered.stderr(Stdio::null()).spawn();
    let away = sandbox.line_with("attempt 3 broken");
    assert!(away.ends_with("; pending"), "{away}");
    assert_eq!(triggered.unwrap().wait().unwrap().code(), Some(1));
    let receiver = Running::start(&commands.receiver, folder);
    let back = sandbox.line_with("attempt 4");
    assert!(back.ends_with(" answered 200; delivered"), "{back}");
    let second = receiver.line();
    assert!(second.starts_with("handled payment.confirmed "), "{second}");
    assert_ne!(first, second);
    assert_eq!(receiver.stop(), Vec::<String>::new());
    assert_eq!(sandbox.stop(), Vec::<String>::new());
}
