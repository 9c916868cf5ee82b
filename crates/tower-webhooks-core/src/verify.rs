//! From a request to a delivery, or to a rejection.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, request};

use crate::{
    Delivery, Provider, Rejection, RejectionKind, Screened, SecretError, Secrets, Text,
    delivery::Verified,
    mac::{Mac, same},
    provider::ProviderError,
    scheme::{HmacScheme, Keys, Material, Part, Scheme},
};

/// What stands before the body of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The request's method.
    pub method: &'r Method,
    /// The request's target.
    pub uri: &'r Uri,
    /// The request's headers.
    pub headers: &'r HeaderMap,
}

impl<'r> Head<'r> {
    /// A head out of its pieces.
    #[must_use]
    pub const fn new(method: &'r Method, uri: &'r Uri, headers: &'r HeaderMap) -> Self {
        Self {
            method,
            uri,
            headers,
        }
    }
}

impl<'r> From<&'r request::Parts> for Head<'r> {
    fn from(parts: &'r request::Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers)
    }
}

/// Checks requests of one provider against one endpoint's secrets.
///
/// The one place that makes a [`Delivery`] out of a request: holding one
/// proves that its bytes were checked.
#[derive(Debug, Clone)]
pub struct Verifier {
    provider: Arc<Provider>,
    keys: Keys,
    tenant: Option<Text>,
    public_url: Option<Text>,
}

/// Why a verifier cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The provider's description contradicts itself.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The signature covers the URL, and no public URL is configured.
    #[error("the provider signs its URL: configure the public URL that it calls")]
    PublicUrlMissing,
    /// A secret is not fit for the provider.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Verifier {
    /// Makes the secrets ready for the provider's scheme.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the provider contradicts itself or a secret does
    /// not have the form that its scheme wants.
    pub fn new(provider: impl Into<Arc<Provider>>, secrets: &Secrets) -> Result<Self, SetupError> {
        let provider = provider.into();
        provider.check()?;
        let keys = Keys::prepare(provider.scheme(), secrets)?;
        Ok(Self {
            provider,
            keys,
            tenant: None,
            public_url: None,
        })
    }

    /// Puts the tenant, to whom the secrets belong, on every delivery.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Option<Text>) -> Self {
        self.tenant = tenant;
        self
    }

    /// Sets the URL that the provider calls, without its query, for schemes
    /// that sign it. Only this one is ever used.
    #[must_use]
    pub fn with_public_url(mut self, url: Option<Text>) -> Self {
        self.public_url = url;
        self
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// The labels of the secrets, in the order in which they are tried.
    pub fn labels(&self) -> impl Iterator<Item = &Text> {
        self.keys.labels()
    }

    /// Decides what can be decided before the body is read: for a shared
    /// token everything, for a signature nothing.
    ///
    /// # Errors
    ///
    /// [`RejectionKind::SignatureMismatch`] when no token matches.
    pub fn admit(&self, screened: &Screened, now: SystemTime) -> Result<(), Rejection> {
        match self.provider.scheme() {
            Scheme::Token(_) => self.matching_token(screened, now).map(|_| ()),
            Scheme::Hmac(_) => Ok(()),
        }
    }

    /// Checks the signature over the exact bytes of the body and reads the
    /// envelope.
    ///
    /// # Errors
    ///
    /// [`RejectionKind::SignatureMismatch`] when no secret explains the
    /// signature. An authentic body that cannot be used is not an error: see
    /// [`Delivery::event`].
    pub fn verify(
        &self,
        head: Head<'_>,
        screened: &Screened,
        body: Bytes,
        now: SystemTime,
    ) -> Result<Delivery, Rejection> {
        let label = match self.provider.scheme() {
            Scheme::Token(_) => self.matching_token(screened, now)?,
            Scheme::Hmac(scheme) => self.matching_key(scheme, head, screened, &body, now)?,
        };
        Ok(Delivery::verified(Verified {
            provider: Arc::clone(&self.provider),
            tenant: self.tenant.clone(),
            secret_label: label.clone(),
            signed_at: screened.signed_at,
            received_at: now,
            headers: head.headers,
            body,
        }))
    }

    fn matching_token(&self, screened: &Screened, now: SystemTime) -> Result<&Text, Rejection> {
        self.keys
            .valid_at(now)
            .find(|key| match &key.material {
                Material::Token(token) => screened.candidates.iter().any(|sent| same(sent, token)),
                Material::Mac(_) => false,
            })
            .map(|key| &key.label)
            .ok_or_else(|| RejectionKind::SignatureMismatch.into())
    }

    /// Stops at the first secret that matches: which one it was is no secret,
    /// and a wrong signature always costs all of them.
    fn matching_key(
        &self,
        scheme: &HmacScheme,
        head: Head<'_>,
        screened: &Screened,
        body: &[u8],
        now: SystemTime,
    ) -> Result<&Text, Rejection> {
        let timestamp = scheme.timestamp_text(head.headers, screened);
        for key in self.keys.valid_at(now) {
            let Material::Mac(mac) = &key.material else {
                continue;
            };
            let mut mac = Mac::clone(mac);
            for part in &scheme.signed {
                match part {
                    Part::Body => mac.update(body),
                    Part::Header(name) => {
                        let value = head.headers.get(name);
                        mac.update(value.map(http::HeaderValue::as_bytes).unwrap_or_default());
                    }
                    Part::Literal(text) => mac.update(text.as_bytes()),
                    Part::Method => mac.update(head.method.as_str().as_bytes()),
                    Part::Timestamp => mac.update(timestamp),
                    Part::Url => {
                        mac.update(self.public_url.as_deref().unwrap_or_default().as_bytes());
                        if let Some(query) = head.uri.query() {
                            mac.update(b"?");
                            mac.update(query.as_bytes());
                        }
                    }
                }
            }
            let digest = mac.finish();
            if screened.candidates.iter().any(|sent| same(sent, &digest)) {
                return Ok(&key.label);
            }
        }
        Err(RejectionKind::SignatureMismatch.into())
    }
}
