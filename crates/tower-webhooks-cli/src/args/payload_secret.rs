use std::path::PathBuf;

use tower_webhooks_core::{Provider, Secret, SecretErrorKind, Secrets};

use super::secret::read;
use crate::failure::Failure;

/// What the environment's variable is called.
const VARIABLE: &str = "WEBHOOK_PAYLOAD_SECRET";

/// What payloads are encrypted with, where that is a secret of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct PayloadSecretArgs {
    /// A file with the secret that payloads are encrypted with, where the provider has one for that
    ///
    /// Without it the environment is read: WEBHOOK_PAYLOAD_SECRET or WEBHOOK_PAYLOAD_SECRET_FILE.
    #[arg(long, value_name = "FILE")]
    payload_secret_file: Option<PathBuf>,
}

impl PayloadSecretArgs {
    /// The secrets of a receiver. None where the provider has none of its own, or
    /// none is given: payloads stay closed then.
    pub(crate) fn all(self, provider: &Provider) -> Result<Option<Secrets>, Failure> {
        if !provider.needs_payload_secrets() {
            return match self.payload_secret_file {
                None => Ok(None),
                Some(_) => Err(Failure::usage(
                    "--payload-secret-file: this provider has no secret for payloads",
                )),
            };
        }
        let secrets = match self.payload_secret_file {
            Some(path) => Secrets::new(read(&path)?),
            None => Secrets::from_env(VARIABLE),
        };
        match secrets {
            Ok(secrets) => Ok(Some(secrets)),
            Err(error) if error.kind() == SecretErrorKind::NotSet => Ok(None),
            Err(error) => Err(Failure::usage(error)),
        }
    }

    /// The one secret of a sender, who cannot do without.
    pub(crate) fn one(self, provider: &Provider) -> Result<Option<Secret>, Failure> {
        let secrets = self.all(provider)?;
        match secrets.as_ref().and_then(|secrets| secrets.iter().next()) {
            None if provider.needs_payload_secrets() => Err(Failure::usage(format!(
                "this provider encrypts its payloads: give --payload-secret-file, or set {VARIABLE}"
            ))),
            secret => Ok(secret.cloned()),
        }
    }
}
