//! Runs the command as a user does.

pub(crate) mod flawed;
pub(crate) mod inbox;
pub(crate) mod receiver;

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

/// What the command must never print, whatever goes wrong.
pub(crate) const SECRET: &str = "swordfish-0123456789-swordfish-0123456789";

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command, with nothing of the surrounding environment that it reads.
pub(crate) fn webhooks() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhooks"));
    for name in [
        "SECRET",
        "SECRET_FILE",
        "SECRET_PREVIOUS",
        "SECRET_PREVIOUS_FILE",
    ] {
        command.env_remove(format!("WEBHOOK_{name}"));
    }
    command
        .env_remove("INBOX")
        .env_remove("WEBHOOK_PAYLOAD_SECRET")
        .env_remove("WEBHOOK_PAYLOAD_SECRET_FILE")
        .env_remove("WEBHOOK_HANDSHAKE_SECRET")
        .env_remove("WEBHOOK_HANDSHAKE_SECRET_FILE");
    for name in [
        "CRYPTOMATE_API_KEY",
        "DEVDRAFT_CLIENT_KEY",
        "DEVDRAFT_CLIENT_SECRET",
        "M2M_API_KEY",
        "MONTERREY_API_KEY",
        "MPPCASH_API_KEY",
    ] {
        command.env_remove(name).env_remove(format!("{name}_FILE"));
    }
    command
}

/// Runs the command with these arguments, separated by spaces, and the secret
/// in its environment.
pub(crate) fn run(arguments: &str) -> Ran {
    run_with(arguments.split_whitespace(), "")
}

/// The same with arguments that hold spaces, and with text on stdin.
pub(crate) fn run_with<'a>(arguments: impl IntoIterator<Item = &'a str>, stdin: &str) -> Ran {
    let mut command = webhooks();
    command.env("WEBHOOK_SECRET", SECRET).args(arguments);
    finish(command, stdin)
}

/// Runs to the end; the secret must stand in none of the output.
pub(crate) fn finish(command: Command, stdin: &str) -> Ran {
    let ran = finish_showing_token(command, stdin);
    assert!(!ran.stdout.contains(SECRET), "stdout shows the secret");
    ran
}

/// For `sign` with a shared token, whose header is the secret itself: only
/// stderr must be without it.
pub(crate) fn finish_showing_token(mut command: Command, stdin: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no body may have closed its end.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut stdout, mut stderr) = (String::new(), String::new());
    std::thread::scope(|scope| {
        scope.spawn(|| err.read_to_string(&mut stderr).unwrap());
        out.read_to_string(&mut stdout).unwrap();
    });
    let code = child.wait().unwrap().code().unwrap();
    assert!(!stderr.contains(SECRET), "stderr shows the secret");
    Ran {
        code,
        stdout,
        stderr,
    }
}

/// Asserts a mistake of the given exit code that stderr explains in one line.
#[track_caller]
pub(crate) fn assert_one_line(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert_eq!(ran.stderr.matches('\n').count(), 1, "{ran:?}");
    assert!(ran.stderr.ends_with('\n'), "{ran:?}");
    assert!(ran.stderr.contains(words), "{ran:?} has no {words:?}");
}

/// A file of that name and content in a folder.
pub(crate) fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
