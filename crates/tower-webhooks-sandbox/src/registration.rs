//! Who gets which events, kept in memory or in a file.

use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Number;
use tower_webhooks_core::SecretPair;

/// What a provider knows of one endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Registration {
    /// Its id, `wh_…`.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The application that it belongs to.
    pub application: String,
    /// Where deliveries go.
    pub url: String,
    /// The event types that it gets; nothing means all.
    pub events: Option<Vec<String>>,
    secret: String,
    /// The private half, where `secret` is the public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_secret: Option<String>,
    /// What it is called, where the provider has names.
    pub name: Option<String>,
    /// Whether it gets anything at present.
    pub is_active: bool,
    /// Whether its bodies are encrypted, where the provider leaves that open.
    pub is_encrypted: bool,
    /// MPPCash: the balance below which `balance.low_threshold` is sent.
    pub low_balance_threshold_usdc: Option<Number>,
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// When it was last changed, in RFC 3339.
    pub updated_at: String,
}

impl Registration {
    /// What its receiver is given: the secret that its deliveries are signed
    /// with, or the public key that they are verified with.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What its payloads are encrypted with, where the provider has a secret of
    /// its own for that.
    #[must_use]
    pub fn payload_secret(&self) -> Option<&str> {
        self.payload_secret.as_deref()
    }

    pub(crate) fn signing_secret(&self) -> &str {
        self.private_key.as_deref().unwrap_or(&self.secret)
    }

    /// Signs and encrypts with these from now on.
    pub(crate) fn with_pair(mut self, pair: &SecretPair, payload_secret: Option<String>) -> Self {
        self.secret = pair.receiver().to_owned();
        let is_shared = pair.sender() == pair.receiver();
        self.private_key = (!is_shared).then(|| pair.sender().to_owned());
        self.payload_secret = payload_secret;
        self
    }

    pub(crate) fn set_secret(&mut self, secret: String) {
        self.secret = secret;
    }

    pub(crate) fn set_payload_secret(&mut self, secret: Option<String>) {
        self.payload_secret = secret;
    }

    pub(crate) fn takes(&self, event_type: &str) -> bool {
        self.events
            .as_ref()
            .is_none_or(|events| events.iter().any(|event| event == event_type))
    }

    pub(crate) fn belongs_to(&self, provider: &str, application: &str) -> bool {
        self.provider == provider && self.application == application
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("application", &self.application)
            .field("url", &self.url)
            .field("events", &self.events)
            .field("secret", &"[redacted]")
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

/// An endpoint that is to be registered, without its provider's management
/// API: what a portal's page takes.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRegistration {
    pub(crate) provider: String,
    pub(crate) application: Option<String>,
    pub(crate) url: String,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) secret: Option<String>,
    pub(crate) payload_secret: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) is_active: bool,
    pub(crate) is_encrypted: bool,
    pub(crate) low_balance_threshold_usdc: Option<Number>,
}

impl NewRegistration {
    /// That provider sends all its events to that URL, signed with a secret
    /// that the sandbox makes up.
    #[must_use]
    pub fn new(provider: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            application: None,
            url: url.into(),
            events: None,
            secret: None,
            payload_secret: None,
            name: None,
            is_active: true,
            is_encrypted: false,
            low_balance_threshold_usdc: None,
        }
    }

    /// Sends these event types alone.
    #[must_use]
    pub fn with_events<E: Into<String>>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        self.events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    /// Signs with this secret: of a provider that signs with a private key, that
    /// key.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Encrypts payloads with this secret, where the provider has one of its own
    /// for that. The default is a new one.
    #[must_use]
    pub fn with_payload_secret(mut self, secret: impl Into<String>) -> Self {
        self.payload_secret = Some(secret.into());
        self
    }

    /// Gives it to another application than the provider's first.
    #[must_use]
    pub fn with_application(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }

    pub(crate) fn register(self, application: String, secret: String, now: String) -> Registration {
        Registration {
            id: crate::text::new_id("wh"),
            provider: self.provider,
            application,
            url: self.url,
            events: self.events,
            secret,
            private_key: None,
            payload_secret: self.payload_secret,
            name: self.name,
            is_active: self.is_active,
            is_encrypted: self.is_encrypted,
            low_balance_threshold_usdc: self.low_balance_threshold_usdc,
            created_at: now.clone(),
            updated_at: now,
        }
    }
}

impl fmt::Debug for NewRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRegistration")
            .field("provider", &self.provider)
            .field("application", &self.application)
            .field("url", &self.url)
            .field("events", &self.events)
            .field("secret", &self.secret.as_ref().map(|_| "[redacted]"))
            .finish_non_exhaustive()
    }
}

/// How many bytes of registrations are kept: each change copies them all. A provider forgets
/// none by itself, so that one more is refused.
pub(crate) const MAX_REGISTRATIONS_BYTES: usize = 4 << 20;

/// Every registration, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Book {
    list: Mutex<Vec<Registration>>,
    file: Option<PathBuf>,
}

impl Book {
    /// What the file holds, which is made with the first change.
    pub(crate) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let list = match file.as_deref().map(fs::read) {
            Some(Ok(text)) => serde_json::from_slice(&text)?,
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => Vec::new(),
        };
        Ok(Self {
            list: Mutex::new(list),
            file,
        })
    }

    pub(crate) fn list(&self) -> Vec<Registration> {
        self.lock().clone()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Registration> {
        self.lock().iter().find(|known| known.id == id).cloned()
    }

    /// Changes the list, in the file first: what was answered is kept. What makes it larger
    /// than it may be is refused.
    pub(crate) fn change<R>(
        &self,
        change: impl FnOnce(&mut Vec<Registration>) -> R,
    ) -> io::Result<R> {
        let mut list = self.lock();
        let mut changed = list.clone();
        let result = change(&mut changed);
        let bytes = weigh(&changed);
        if bytes > MAX_REGISTRATIONS_BYTES && bytes > weigh(&list) {
            let why = "they would take more than 4 MiB: delete some";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        if let Some(file) = &self.file {
            write(file, &changed)?;
        }
        *list = changed;
        Ok(result)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Registration>> {
        // A change works on a copy, so that a panic in it leaves a whole list.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weigh(list: &[Registration]) -> usize {
    let one = |known: &Registration| {
        let texts = [
            &known.id,
            &known.provider,
            &known.application,
            &known.url,
            &known.secret,
            &known.created_at,
            &known.updated_at,
        ];
        let others = [&known.private_key, &known.payload_secret, &known.name];
        let events = known.events.iter().flatten();
        let events = events.map(|event| event.len().saturating_add(size_of::<String>()));
        let texts = texts.into_iter().chain(others.into_iter().flatten());
        let texts = texts.map(String::len).chain(events);
        texts.fold(size_of::<Registration>(), usize::saturating_add)
    };
    list.iter().map(one).fold(0, usize::saturating_add)
}

/// The file at once or not at all, and readable for its owner alone: it holds
/// secrets.
fn write(file: &Path, list: &[Registration]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut new, list)?;
    new.write_all(b"\n")?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(url: &str) -> Registration {
        NewRegistration::new("monterrey", url).register(
            "app".to_owned(),
            "swordfish".to_owned(),
            "2026-03-02T10:15:30.000Z".to_owned(),
        )
    }

    #[test]
    fn a_file_keeps_what_was_registered_and_shows_it_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sandbox.json");
        let book = Book::open(Some(file.clone())).unwrap();
        let made = registration("http://127.0.0.1/a");
        book.change(|list| list.push(made.clone())).unwrap();
        assert_eq!(Book::open(Some(file.clone())).unwrap().list(), [made]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_the_file_cannot_keep_is_not_registered() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(Some(folder.path().join("none/sandbox.json"))).unwrap();
        let made = registration("http://127.0.0.1/a");
        book.change(|list| list.push(made)).unwrap_err();
        assert_eq!(book.list(), []);
    }

    #[test]
    fn one_more_than_fits_is_refused_and_there_is_place_again_when_one_is_deleted() {
        let book = Book::default();
        let half = "x".repeat(MAX_REGISTRATIONS_BYTES / 2 - 1_000);
        let add = |url: &str| book.change(|list| list.push(registration(url)));
        add(&half).unwrap();
        add(&half).unwrap();
        let error = add(&half).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        add("http://127.0.0.1/a").unwrap();
        book.change(|list| list.remove(0)).unwrap();
        add(&half).unwrap();
        assert_eq!(book.list().len(), 3);
    }

    #[test]
    fn what_is_too_large_already_may_shrink() {
        let list = vec![registration(&"x".repeat(MAX_REGISTRATIONS_BYTES)); 3];
        let book = Book {
            list: Mutex::new(list),
            file: None,
        };
        book.change(|list| list.pop()).unwrap();
        book.change(|list| list.push(registration("u")))
            .unwrap_err();
        assert_eq!(book.list().len(), 2);
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sandbox.json");
        fs::write(&file, "hello").unwrap();
        Book::open(Some(file)).unwrap_err();
    }

    #[test]
    fn nothing_printed_shows_the_secret() {
        let made = registration("http://127.0.0.1/a");
        assert!(!format!("{made:?}").contains("swordfish"));
        let new = NewRegistration::new("monterrey", "u")
            .with_secret("swordfish")
            .with_payload_secret("swordfish");
        assert!(!format!("{new:?}").contains("swordfish"));
    }
}
