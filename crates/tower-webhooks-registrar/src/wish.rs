//! What is to be registered, and the checks before anything is sent.

use std::collections::BTreeSet;

use reqwest::Url;
use tower_webhooks_core::{Amount, Provider};

use crate::{Confidential, Error};

/// An endpoint as it is to be registered.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Wish {
    pub(crate) url: String,
    pub(crate) patterns: Vec<String>,
    pub(crate) secret: Option<Confidential>,
    pub(crate) name: Option<String>,
    pub(crate) active: Option<bool>,
    pub(crate) encrypted: Option<bool>,
    pub(crate) low_balance_threshold_usdc: Option<Amount>,
}

impl Wish {
    /// Deliveries go to that URL; everything else at the provider's default.
    /// [`ManagementApi::update`](crate::ManagementApi::update) leaves what the
    /// wish does not say as it is.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            patterns: Vec::new(),
            secret: None,
            name: None,
            active: None,
            encrypted: None,
            low_balance_threshold_usdc: None,
        }
    }

    /// Replaces the event types. A router's patterns are taken too: `a.*` and
    /// `*` stand for those of the provider's known types that match.
    pub fn with_events<E: Into<String>>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        self.patterns = events.into_iter().map(Into::into).collect();
        self
    }

    /// Chooses the secret, where the provider lets you. CryptoMate has it
    /// chosen by you always, MPPCash never.
    pub fn with_secret(mut self, secret: Confidential) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Names it, where the provider has names: Devdraft, which wants 3 to 100
    /// characters.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends to it, which is the default of a new one. Devdraft alone.
    pub const fn active(mut self) -> Self {
        self.active = Some(true);
        self
    }

    /// Registers it without sending to it yet. Devdraft alone.
    pub const fn inactive(mut self) -> Self {
        self.active = Some(false);
        self
    }

    /// Asks for encrypted bodies. Devdraft alone, and the form of these is not
    /// public: no receiver can read them by the documents. The sandbox seals them as
    /// [`providers::devdraft_encrypted`](tower_webhooks_core::providers::devdraft_encrypted)
    /// says, with [`Registration::payload_secret`](crate::Registration::payload_secret).
    pub const fn encrypted(mut self) -> Self {
        self.encrypted = Some(true);
        self
    }

    /// Asks for bodies in clear, which is the default of a new one. Devdraft
    /// alone.
    pub const fn unencrypted(mut self) -> Self {
        self.encrypted = Some(false);
        self
    }

    /// Sets the balance in USDC below which `balance.low_threshold` is sent.
    /// MPPCash alone.
    pub fn with_low_balance_threshold_usdc(mut self, threshold: Amount) -> Self {
        self.low_balance_threshold_usdc = Some(threshold);
        self
    }

    /// Whether it gets anything, if it is a new one.
    pub(crate) fn is_active(&self) -> bool {
        self.active.unwrap_or(true)
    }

    /// Whether bodies are encrypted, if it is a new one.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted.unwrap_or(false)
    }

    /// The same wish, with what it leaves open as a new one has it.
    pub(crate) fn whole(&self) -> Self {
        Self {
            active: Some(self.is_active()),
            encrypted: Some(self.is_encrypted()),
            ..self.clone()
        }
    }

    /// The event types of a provider that the patterns stand for, sorted.
    pub(crate) fn event_types(&self, provider: &Provider) -> Result<Vec<String>, Error> {
        let mut types = BTreeSet::new();
        for pattern in &self.patterns {
            let known = provider.events().list.iter().map(|event| &event.name);
            let matching: Vec<_> = known
                .filter(|name| match pattern.strip_suffix('*') {
                    Some(beginning) => name.starts_with(beginning),
                    None => *name == pattern.as_str(),
                })
                .collect();
            if matching.is_empty() {
                let name = provider.name();
                let why = format!("has {pattern}, which is no event type of {name}");
                return Err(Error::invalid("events", &why));
            }
            types.extend(matching.into_iter().map(ToString::to_string));
        }
        if types.is_empty() {
            return Err(Error::invalid("events", "is empty: name an event type"));
        }
        Ok(types.into_iter().collect())
    }

    /// An absolute `http` or `https` URL; `https` alone where the provider
    /// wants that, but for this machine, where sandboxes are.
    pub(crate) fn check_url(&self, wants_https: bool) -> Result<(), Error> {
        check_url("url", &self.url, wants_https)
    }

    /// Refuses what the provider does not take, rather than leaving it out.
    pub(crate) fn check_takes(&self, takes: Takes) -> Result<(), Error> {
        for (is_given, is_taken, field) in [
            (self.secret.is_some(), takes.secret, "secret"),
            (self.name.is_some(), takes.name, "name"),
            (!self.is_active(), takes.active, "active"),
            (self.is_encrypted(), takes.encrypted, "encrypted"),
            (
                self.low_balance_threshold_usdc.is_some(),
                takes.low_balance_threshold_usdc,
                "low_balance_threshold_usdc",
            ),
        ] {
            if is_given && !is_taken {
                return Err(Error::invalid(field, "is nothing that this provider takes"));
            }
        }
        Ok(())
    }
}

/// What a provider takes besides a URL and event types.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Takes {
    pub(crate) secret: bool,
    pub(crate) name: bool,
    pub(crate) active: bool,
    pub(crate) encrypted: bool,
    pub(crate) low_balance_threshold_usdc: bool,
}

pub(crate) fn check_url(field: &'static str, text: &str, wants_https: bool) -> Result<(), Error> {
    let wrong = || Error::invalid(field, "is not an absolute http or https URL");
    let url = Url::parse(text).map_err(|_| wrong())?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if wants_https && !crate::client::is_loopback(&url) => {
            Err(Error::invalid(field, "must be https"))
        }
        "http" => Ok(()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn a_routers_patterns_stand_for_the_types_that_match() {
        let mppcash = providers::mppcash();
        let types = |patterns: &[&str]| {
            let wish = Wish::new("https://a.example").with_events(patterns.iter().copied());
            wish.event_types(&mppcash)
                .map_err(|error| error.to_string())
        };
        assert_eq!(types(&["session.settled"]).unwrap(), ["session.settled"]);
        let sessions = ["session.cap_warning", "session.settled"];
        assert_eq!(types(&["session.*", "session.settled"]).unwrap(), sessions);
        assert_eq!(types(&["*"]).unwrap().len(), 5);
        let error = types(&["session.setled"]).unwrap_err();
        assert_eq!(
            error,
            "events has session.setled, which is no event type of mppcash"
        );
        assert_eq!(
            types(&[]).unwrap_err(),
            "events is empty: name an event type"
        );
    }

    #[test]
    fn http_is_for_this_machine_where_https_is_wanted() {
        for (url, wants_https, fits) in [
            ("https://shop.example/hook", true, true),
            ("http://shop.example/hook", true, false),
            ("http://shop.example/hook", false, true),
            ("http://127.0.0.1:3000/hook", true, true),
            ("http://localhost:3000/hook", true, true),
            ("http://localhost.example/hook", true, false),
            ("ftp://shop.example", false, false),
            ("shop.example/hook", false, false),
        ] {
            let wish = Wish::new(url);
            assert_eq!(wish.check_url(wants_https).is_ok(), fits, "{url}");
        }
    }
}
