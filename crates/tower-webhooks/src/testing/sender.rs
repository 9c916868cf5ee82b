use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use tower_webhooks_core::{Clock, Provider, Secret, SecretError, SignError, Signer, SystemClock};

/// Signs requests as a provider does.
#[derive(Debug, Clone)]
pub struct Sender {
    signer: Signer,
    uri: Uri,
    clock: Arc<dyn Clock>,
}

impl Sender {
    /// Signs for a provider with a shared secret, for the path `/`.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when the secret is empty.
    pub fn new(
        provider: impl Into<Arc<Provider>>,
        secret: impl Into<String>,
    ) -> Result<Self, SecretError> {
        Ok(Self {
            signer: Signer::new(provider, Secret::new(secret)?),
            uri: Uri::from_static("/"),
            clock: Arc::new(SystemClock),
        })
    }

    /// Encrypts payloads with this secret, for a provider that has one of its own for
    /// that. The text is the secret's, in the form that the provider gives it.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when the secret is empty.
    pub fn payload_secret(mut self, secret: impl Into<String>) -> Result<Self, SecretError> {
        self.signer = self.signer.with_payload_secret(Secret::new(secret)?);
        Ok(self)
    }

    /// Replaces the request's target.
    ///
    /// # Panics
    ///
    /// When the text is not a path or URL: a mistake in the test.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "documented; a test wants to stop at its own mistake"
    )]
    pub fn to(mut self, uri: &str) -> Self {
        self.uri = uri
            .parse()
            .unwrap_or_else(|_| panic!("{uri:?} is not a path or URL"));
        self
    }

    /// Replaces the clock that dates the signatures. The default is the
    /// system's.
    #[must_use]
    pub fn at(mut self, clock: &(impl Clock + Clone)) -> Self {
        self.clock = Arc::new(clock.clone());
        self
    }

    /// Sets the URL that is signed, with its query, for providers that sign it. It is
    /// the endpoint's own: [`Endpoint::with_public_url`](crate::Endpoint::with_public_url).
    #[must_use]
    pub fn with_public_url(mut self, url: impl Into<String>) -> Self {
        self.signer = self.signer.with_url(url);
        self
    }

    /// Adds a header that is sent, and signed where the scheme says so.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.signer = self.signer.with_header(name, value);
        self
    }

    /// A signed request with this body, in which the provider's own fields are
    /// written and, where it encrypts, the payload is encrypted.
    ///
    /// # Errors
    ///
    /// [`SignError`] when a signed header or the signed URL was not given, or the
    /// secret does not fit the provider's scheme.
    pub fn request(&self, body: impl Into<Bytes>) -> Result<Request<Body>, SignError> {
        Ok(self.signed(body)?.map(Body::from))
    }

    /// The same with its body in memory, to be looked at, cloned or explained.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn signed(&self, body: impl Into<Bytes>) -> Result<Request<Bytes>, SignError> {
        let signed = self.signer.sign_request(&body.into(), self.clock.now())?;
        let mut request = Request::new(signed.body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = signed.headers;
        Ok(request)
    }
}
