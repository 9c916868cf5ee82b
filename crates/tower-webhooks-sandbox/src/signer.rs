//! Signs drafts as one provider, with all that its scheme asks for.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_webhooks_core::{Provider, Secret, SignError, SignedRequest, Signer, provider::Part};

use crate::{Draft, text::new_nonce};

/// Signs drafts as one provider, to one URL.
///
/// ```
/// use std::time::SystemTime;
/// use tower_webhooks_core::{Secret, providers};
/// use tower_webhooks_sandbox::{Draft, EventSigner};
///
/// let github = providers::github();
/// let ping = Draft::new(&github, Some("ping"), r#"{"hook_id":1}"#);
/// let signer = EventSigner::new(github, Secret::new("a-secret")?, "http://127.0.0.1:3000/");
/// let request = signer.sign(&ping, SystemTime::now())?;
/// assert!(request.headers.contains_key("x-hub-signature-256"));
/// assert_eq!(request.headers["x-github-event"], "ping");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventSigner {
    provider: Arc<Provider>,
    signer: Signer,
    headers: HeaderMap,
}

impl EventSigner {
    /// As that provider: with the shared secret, or the private key whose public
    /// half the receiver has. `url` is the public one that the receiver is
    /// configured with, which some providers sign. A provider that names its key
    /// names it by the secret's label, or `sandbox` without one.
    #[must_use]
    pub fn new(provider: impl Into<Arc<Provider>>, secret: Secret, url: impl Into<String>) -> Self {
        let provider = provider.into();
        let secret = match secret.label() {
            Some(_) => secret,
            None => secret.with_label("sandbox"),
        };
        Self {
            signer: Signer::new(Arc::clone(&provider), secret).with_url(url),
            provider,
            headers: HeaderMap::new(),
        }
    }

    /// Encrypts payloads with this secret, for providers that have one of its
    /// own for that.
    #[must_use]
    pub fn with_payload_secret(mut self, secret: Secret) -> Self {
        self.signer = self.signer.with_payload_secret(secret);
        self
    }

    /// Replaces the method, for schemes that sign it. The default is POST.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.signer = self.signer.with_method(method);
        self
    }

    /// Sends a header, in the place of the draft's where that has one of this
    /// name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// The request that the provider would send at that time. A header that is
    /// signed and that neither the draft nor [`with_header`](Self::with_header)
    /// has is a nonce, and gets a new value.
    ///
    /// # Errors
    ///
    /// As [`Signer::sign_request`].
    pub fn sign(&self, draft: &Draft, at: SystemTime) -> Result<SignedRequest, SignError> {
        let mut signer = self.signer.clone();
        for part in self.provider.scheme().parts() {
            if let Part::Header(name) = part {
                signer = signer.with_header(name.clone(), new_nonce());
            }
        }
        for (name, value) in draft.headers.iter().chain(&self.headers) {
            signer = signer.with_header(name.clone(), value.clone());
        }
        signer.sign_request(&draft.body, at)
    }
}

#[cfg(test)]
mod tests {
    use tower_webhooks_core::providers;

    use super::*;

    #[test]
    fn a_nonce_is_new_each_time_and_a_header_of_ones_own_stays() {
        let lark = providers::lark();
        let secret = Secret::new("an-encrypt-key").unwrap();
        let sample = lark.events().list[0].sample.clone().unwrap().to_string();
        let draft = Draft::new(&lark, None, sample);
        let signer = EventSigner::new(lark, secret, "");
        let nonce = |signer: &EventSigner| {
            let request = signer.sign(&draft, SystemTime::now()).unwrap();
            request.headers["x-lark-request-nonce"].clone()
        };
        assert_ne!(nonce(&signer), nonce(&signer));
        let name = HeaderName::from_static("x-lark-request-nonce");
        let signer = signer.with_header(name, HeaderValue::from_static("7"));
        assert_eq!(nonce(&signer), "7");
    }
}
