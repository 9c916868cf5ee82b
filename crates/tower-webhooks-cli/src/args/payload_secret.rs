use std::path::PathBuf;

use tower_webhooks_core::{Provider, Secret, SecretErrorKind, Secrets};

use super::secret::read_secret;
use crate::failure::Failure;

/// What the environment's variable is called.
const VARIABLE: &str = "WEBHOOK_PAYLOAD_SECRET";

/// What payloads are encrypted with.
#[derive(Debug, clap::Args)]
pub(crate) struct PayloadSecretArgs {
    /// A file with the secret that payloads are encrypted with; where it opens them repeated, newest first
    ///
    /// Without it the environment is read: WEBHOOK_PAYLOAD_SECRET or WEBHOOK_PAYLOAD_SECRET_FILE,
    /// then with _PREVIOUS as for secrets.
    #[arg(long, value_name = "FILE")]
    payload_secret_file: Vec<PathBuf>,
}

impl PayloadSecretArgs {
    /// The secrets of a receiver, in the order in which they are tried. None where
    /// the provider has none of its own, or none is given: payloads stay closed then.
    pub(crate) fn all(self, provider: &Provider) -> Result<Option<Secrets>, Failure> {
        if provider.needs_payload_secrets() {
            return self.given();
        }
        match self.payload_secret_file.is_empty() {
            true => Ok(None),
            false => Err(Failure::usage(
                "--payload-secret-file: this provider has no secret for payloads",
            )),
        }
    }

    /// What opens payloads, whether or not it also signs.
    pub(crate) fn opening(self) -> Result<Secrets, Failure> {
        self.given()?.ok_or_else(missing)
    }

    /// The one secret of a sender, who cannot do without.
    pub(crate) fn one(self, provider: &Provider) -> Result<Option<Secret>, Failure> {
        if self.payload_secret_file.len() > 1 {
            return Err(Failure::usage("several payload secrets: encrypt with one"));
        }
        let secrets = self.all(provider)?;
        match secrets.as_ref().and_then(|secrets| secrets.iter().next()) {
            None if provider.needs_payload_secrets() => Err(missing()),
            secret => Ok(secret.cloned()),
        }
    }

    fn given(&self) -> Result<Option<Secrets>, Failure> {
        let mut files = self.payload_secret_file.iter();
        let secrets = match files.next() {
            Some(first) => Secrets::new(read_secret(first)?),
            None => Secrets::from_env(VARIABLE),
        };
        let first = match secrets {
            Ok(secrets) => secrets,
            Err(error) if error.kind() == SecretErrorKind::NotSet => return Ok(None),
            Err(error) => return Err(Failure::usage(error)),
        };
        let all = files.try_fold(first, |secrets, path| {
            secrets
                .with_previous(read_secret(path)?)
                .map_err(Failure::usage)
        });
        all.map(Some)
    }
}

fn missing() -> Failure {
    Failure::usage(format!(
        "the provider encrypts its payloads: give --payload-secret-file, or set {VARIABLE}"
    ))
}
