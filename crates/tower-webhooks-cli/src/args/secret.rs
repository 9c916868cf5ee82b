use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tower_webhooks_core::{Secret, SecretErrorKind, Secrets};

use crate::failure::Failure;

/// What the environment's variable is called.
const VARIABLE: &str = "WEBHOOK_SECRET";

/// What provider and receiver share.
#[derive(Debug, clap::Args)]
pub(crate) struct SecretArgs {
    /// The secret as the provider shows it, or of key pairs the own half; `verify` takes it repeated, newest first.
    ///
    /// Other users of the machine can see it in the list of processes. Without it and --secret-file
    /// the environment is read: WEBHOOK_SECRET or WEBHOOK_SECRET_FILE, then WEBHOOK_SECRET_PREVIOUS
    /// or WEBHOOK_SECRET_PREVIOUS_FILE.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    secret: Vec<String>,

    /// A file that holds the secret; one line end is removed from its end
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
}

impl SecretArgs {
    /// All secrets, in the order in which they are tried.
    pub(crate) fn all(self) -> Result<Secrets, Failure> {
        let files = self.secret_file.iter().map(|path| read_secret(path));
        let mut given = self.secret.into_iter().map(Ok).chain(files);
        let secrets = match given.next() {
            None => Secrets::from_env(VARIABLE).map_err(|error| match error.kind() {
                SecretErrorKind::NotSet => Failure::usage(format!(
                    "no secret: give --secret or --secret-file, or set {VARIABLE}"
                )),
                _ => Failure::usage(error),
            })?,
            Some(first) => {
                let mut secrets = Secrets::new(first?).map_err(Failure::usage)?;
                for next in given {
                    secrets = secrets.with_previous(next?).map_err(Failure::usage)?;
                }
                secrets
            }
        };
        if secrets.iter().any(Secret::has_outer_whitespace) {
            // A warning that nobody can read is no reason to stop.
            let _ = writeln!(
                io::stderr(),
                "warning: white space stands at an end of the secret, perhaps copied by mistake"
            );
        }
        Ok(secrets)
    }

    /// The one secret to sign with. The environment's previous one is for
    /// receivers, and passed over.
    pub(crate) fn one(self) -> Result<Secret, Failure> {
        if self.secret.len() + self.secret_file.len() > 1 {
            return Err(Failure::usage("several secrets: sign with one"));
        }
        self.all()?
            .iter()
            .next()
            .cloned()
            .ok_or_else(|| Failure::usage("no secret: give --secret or --secret-file"))
    }
}

/// What a secret\'s file holds; one line end is removed from its end.
pub(crate) fn read_secret(path: &Path) -> Result<String, Failure> {
    let mut text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::usage(format!("the secret's file {path} cannot be read: {error}"))
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
