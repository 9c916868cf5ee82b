//! Who may call a management API.

use std::fmt;

use crate::Limit;

/// One customer of a provider: what it may call, with which key, how often.
/// What it registers, no other application sees.
///
/// The sandbox has one for each provider with a management API; its keys are
/// known, since they open nothing: see [`api`](crate::api).
#[derive(Clone, PartialEq, Eq)]
pub struct Application {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) secret: Option<String>,
    pub(crate) grants: Vec<String>,
    pub(crate) limits: Vec<Limit>,
}

impl Application {
    /// A customer of that provider with that API key, without any grant and
    /// without limits.
    #[must_use]
    pub fn new(
        provider: impl Into<String>,
        name: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        Self {
            provider: provider.into(),
            name: name.into(),
            key: key.into(),
            secret: None,
            grants: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Sets the second half of its credentials, where the provider has one:
    /// Devdraft's `x-client-secret`.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Replaces what it may do: scopes, permissions or levels, as the
    /// provider's room in [`api`](crate::api) names them.
    #[must_use]
    pub fn with_grants<G: Into<String>>(mut self, grants: impl IntoIterator<Item = G>) -> Self {
        self.grants = grants.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces how often it may call.
    #[must_use]
    pub fn with_limits(mut self, limits: impl IntoIterator<Item = Limit>) -> Self {
        self.limits = limits.into_iter().collect();
        self
    }

    pub(crate) fn may(&self, grant: &str) -> bool {
        self.grants.iter().any(|granted| granted == grant)
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("provider", &self.provider)
            .field("name", &self.name)
            .field("key", &"[redacted]")
            .field("grants", &self.grants)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
