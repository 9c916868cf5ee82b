use std::{
    fs,
    path::{Path, PathBuf},
};

use tower_webhooks_core::Amount;
use tower_webhooks_registrar::{
    Confidential, ConfidentialError, Error, ErrorKind, SecretFile, Wish,
};

use super::{api::Whose, failure};
use crate::failure::Failure;

/// What is to be registered.
#[derive(Debug, clap::Args)]
pub(super) struct WishArgs {
    /// Where deliveries go
    #[arg(long)]
    url: String,

    /// An event type that is handled, or a pattern such as payment.*; may be repeated
    #[arg(short, long = "event", value_name = "TYPE")]
    events: Vec<String>,

    /// Devdraft: its name, 3 to 100 characters
    #[arg(long)]
    name: Option<String>,

    /// Devdraft: send nothing to it yet
    #[arg(long)]
    inactive: bool,

    /// Devdraft: encrypt the bodies, in a form that is not public; the sandbox's is devdraft-encrypted's
    #[arg(long, requires = "payload_secret_file")]
    encrypted: bool,

    /// A file for the secret that bodies are encrypted with, readable for you alone (0600): made if it
    /// is not there, and left as it is if it is
    #[arg(long, value_name = "FILE", requires = "encrypted")]
    payload_secret_file: Option<PathBuf>,

    /// MPPCash: the balance in USDC below which balance.low_threshold is sent
    #[arg(long, value_name = "AMOUNT")]
    low_balance_threshold_usdc: Option<Amount>,
}

impl WishArgs {
    /// The file for the secret of payloads, before the provider is asked for it.
    pub(super) fn payload_file(&self) -> Result<PayloadFile, Failure> {
        let path = self.payload_secret_file.as_deref();
        let file = path.filter(|path| !path.exists()).map(prepare);
        Ok(PayloadFile(file.transpose()?))
    }

    pub(super) fn wish(self) -> Wish {
        let mut wish = Wish::new(self.url).with_events(self.events);
        if let Some(name) = self.name {
            wish = wish.with_name(name);
        }
        if self.inactive {
            wish = wish.inactive();
        }
        if self.encrypted {
            wish = wish.encrypted();
        }
        if let Some(threshold) = self.low_balance_threshold_usdc {
            wish = wish.with_low_balance_threshold_usdc(threshold);
        }
        wish
    }
}

/// The file that is to hold what payloads are encrypted with, where one is new.
pub(super) struct PayloadFile(Option<SecretFile>);

impl PayloadFile {
    pub(super) const fn is_new(&self) -> bool {
        self.0.is_some()
    }

    /// Keeps what the provider shows.
    pub(super) fn keep(self, made: Option<&Confidential>) -> Result<(), Failure> {
        let Some(file) = self.0 else {
            return Ok(());
        };
        let Some(secret) = made else {
            let why = "it is registered, but the provider shows no secret for payloads: look for it in its dashboard";
            return Err(Failure::failed(why));
        };
        keep(file, secret)
    }
}

/// Where the secret comes from, or goes.
#[derive(Debug, clap::Args)]
pub(super) struct SecretFileArg {
    /// The secret's file: read if it is there, and else made with a new secret, readable for you
    /// alone (0600)
    ///
    /// A secret that is made here is written before the provider is asked, and stays where nobody
    /// knows whether the provider has it.
    ///
    /// Without it the secret is WEBHOOK_SECRET's, or that of the file that WEBHOOK_SECRET_FILE names.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// A secret, and the file that is to hold it.
pub(super) struct Given {
    pub(super) secret: Option<Confidential>,
    file: Option<SecretFile>,
    /// The file of a secret of ours that is written already.
    written: Option<PathBuf>,
}

impl SecretFileArg {
    /// The secret to register with. MPPCash makes it up always, Devdraft if
    /// none is chosen.
    pub(super) fn for_new(&self, whose: Whose) -> Result<Given, Failure> {
        let chosen = match (&self.secret_file, whose) {
            (Some(path), Whose::MppCash) if path.exists() => {
                let path = path.display();
                let why =
                    format!("{path} is there, and MPPCash makes up a new secret: name a new file");
                return Err(Failure::usage(why));
            }
            (_, Whose::MppCash) => None,
            _ => self.chosen()?,
        };
        if let Some(secret) = chosen {
            return Ok(Given::known(Some(secret)));
        }
        let file = Some(self.prepare()?);
        let secret = match whose {
            Whose::MppCash | Whose::Devdraft => None,
            _ => Some(Confidential::generate()),
        };
        let written = None;
        Ok(Given {
            secret,
            file,
            written,
        })
    }

    /// The same for a dry run, which keeps nothing.
    pub(super) fn for_dry_run(&self, whose: Whose) -> Result<Given, Failure> {
        let secret = match whose {
            Whose::MppCash => None,
            Whose::Devdraft => self.chosen()?,
            _ => Some(self.chosen()?.unwrap_or_else(Confidential::generate)),
        };
        Ok(Given::known(secret))
    }

    /// The secret to change to.
    pub(super) fn for_rotation(&self) -> Result<Given, Failure> {
        match self.chosen()? {
            Some(secret) => Ok(Given::known(Some(secret))),
            None => Ok(Given {
                file: Some(self.prepare()?),
                secret: Some(Confidential::generate()),
                written: None,
            }),
        }
    }

    fn chosen(&self) -> Result<Option<Confidential>, Failure> {
        match &self.secret_file {
            Some(path) if path.exists() => read(path).map(Some),
            Some(_) => Ok(None),
            None => chosen_secret(),
        }
    }

    fn prepare(&self) -> Result<SecretFile, Failure> {
        let Some(path) = &self.secret_file else {
            let why = "the secret has no place to go: give --secret-file, or set WEBHOOK_SECRET";
            return Err(Failure::usage(why));
        };
        prepare(path)
    }
}

impl Given {
    const fn known(secret: Option<Confidential>) -> Self {
        Self {
            secret,
            file: None,
            written: None,
        }
    }

    /// Writes a secret of ours, before the provider is asked to take it: what
    /// comes of the call may never be known.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        if let Some(file) = self.file.take() {
            let path = file.path().to_owned();
            keep(file, secret)?;
            self.written = Some(path);
        }
        Ok(())
    }

    /// What a call that failed comes to: the file that was written stays, unless
    /// the provider surely has not taken the secret.
    pub(super) fn failed(self, error: &Error) -> Failure {
        let failure = failure(error);
        let Some(path) = &self.written else {
            return failure;
        };
        if is_surely_not_done(error.kind()) {
            return match self.forget() {
                Ok(()) => failure,
                Err(why) => why,
            };
        }
        let path = path.display();
        Failure::failed(format!(
            "{error}; the secret, which may be in use now, is in {path}"
        ))
    }

    /// Removes the file of a secret that nobody has.
    pub(super) fn forget(self) -> Result<(), Failure> {
        let Some(path) = self.written else {
            return Ok(());
        };
        fs::remove_file(&path).map_err(|error| {
            let path = path.display();
            Failure::failed(format!(
                "{path} holds a secret that is not in use, and cannot be removed: {error}"
            ))
        })
    }

    /// Keeps the secret that the provider made up.
    pub(super) fn keep(self, made: Option<&Confidential>) -> Result<(), Failure> {
        let (Some(file), Some(secret)) = (self.file, made.or(self.secret.as_ref())) else {
            return Ok(());
        };
        keep(file, secret)
    }

    /// Whether a file is to be made that is not there yet.
    pub(super) const fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether that is for a secret of ours.
    pub(super) const fn is_made_here(&self) -> bool {
        self.file.is_some() && self.secret.is_some()
    }
}

/// Whether a call has surely changed nothing.
const fn is_surely_not_done(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Invalid { .. }
        | ErrorKind::NotFound
        | ErrorKind::RateLimited { .. }
        | ErrorKind::Unauthorized
        | ErrorKind::Unsupported => true,
        ErrorKind::Refused { status } => 400 <= status && status < 500,
        _ => false,
    }
}

/// The secret of the environment, if there is one.
pub(in crate::cmd) fn chosen_secret() -> Result<Option<Confidential>, Failure> {
    match Confidential::from_env("WEBHOOK_SECRET") {
        Ok(secret) => Ok(Some(secret)),
        Err(ConfidentialError::NotSet(_)) => Ok(None),
        Err(error) => Err(Failure::usage(error)),
    }
}

fn prepare(path: &Path) -> Result<SecretFile, Failure> {
    SecretFile::prepare(path)
        .map_err(|error| Failure::usage(format!("{} cannot be made: {error}", path.display())))
}

fn keep(file: SecretFile, secret: &Confidential) -> Result<(), Failure> {
    file.keep(secret)
        .map_err(|error| Failure::failed(format!("the secret cannot be kept: {error}")))
}

fn read(path: &Path) -> Result<Confidential, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::usage(format!("the secret's file {path} cannot be read: {error}"))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Confidential::new(text.strip_suffix('\r').unwrap_or(text)))
}
