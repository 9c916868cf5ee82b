//! Signs as a provider does, for tests and for the command line.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};

use crate::{
    Delivery, Provider, Restored, Secret, SetupError,
    provider::SentValue,
    scheme::{HmacScheme, Layout, Material, Part, Prefix, Scheme},
    timestamp::TimestampPlace,
};

/// Makes the headers that a provider would send with a body.
///
/// ```
/// use std::time::SystemTime;
/// use tower_webhooks_core::{Head, Secret, Secrets, Signer, Verifier, providers};
///
/// let signer = Signer::new(providers::mppcash(), Secret::new("a-shared-secret")?);
/// let body = br#"{"type":"transfer.settled","data":{}}"#;
/// let now = SystemTime::now();
/// let headers = signer.sign(body, now)?;
///
/// let verifier = Verifier::new(providers::mppcash(), &Secrets::new("a-shared-secret")?)?;
/// let (method, uri) = (http::Method::POST, http::Uri::from_static("/"));
/// let screened = verifier.provider().screen(&headers, now)?;
/// let head = Head::new(&method, &uri, &headers);
/// let delivery = verifier.verify(head, &screened, body.as_slice().into(), now)?;
/// assert_eq!(delivery.event()?.event_type(), "transfer.settled");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Signer {
    provider: Arc<Provider>,
    secret: Secret,
    method: Method,
    url: String,
    headers: HeaderMap,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A header is part of what is signed, and was not given.
    #[error("the header {0} is part of what is signed: give it a value")]
    HeaderMissing(HeaderName),
    /// The secret does not have the form that the scheme wants, or the
    /// provider contradicts itself.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A value cannot stand in a header.
    #[error("the signature or token cannot stand in a header")]
    Value,
}

impl Signer {
    /// Signs for a provider with one secret.
    #[must_use]
    pub fn new(provider: impl Into<Arc<Provider>>, secret: Secret) -> Self {
        Self {
            provider: provider.into(),
            secret,
            method: Method::POST,
            url: String::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Replaces the method, for schemes that sign it. The default is POST.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets the public URL with its query, for schemes that sign it.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Adds a header that is sent, and signed where the scheme says so.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The headers that go with this body at that time: the signature, its
    /// timestamp, `content-type: application/json` unless another one was
    /// given, and what the provider sends besides.
    ///
    /// # Errors
    ///
    /// [`SignError`] when a signed header was not given or the secret does
    /// not have the form that the scheme wants.
    pub fn sign(&self, body: &[u8], at: SystemTime) -> Result<HeaderMap, SignError> {
        self.provider.check().map_err(SetupError::from)?;
        let mut headers = self.headers.clone();
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        self.add_unsigned(&mut headers, body, at)?;
        match self.provider.scheme() {
            Scheme::Token(scheme) => {
                let token = format!("{}{}", scheme.prefix.text(), self.secret.expose());
                headers.insert(scheme.header.clone(), sensitive(token)?);
            }
            Scheme::Hmac(scheme) => self.add_signature(scheme, &mut headers, body, at)?,
        }
        Ok(headers)
    }

    fn add_signature(
        &self,
        scheme: &HmacScheme,
        headers: &mut HeaderMap,
        body: &[u8],
        at: SystemTime,
    ) -> Result<(), SignError> {
        let material =
            Material::prepare(self.provider.scheme(), &self.secret).map_err(SetupError::from)?;
        let Material::Mac(mut mac) = material else {
            return Err(SignError::Value);
        };
        let timestamp = scheme
            .timestamp
            .as_ref()
            .map(|timestamp| (&timestamp.place, timestamp.unit.write(at)));
        for part in &scheme.signed {
            match part {
                Part::Body => mac.update(body),
                Part::Header(name) => {
                    let value = headers
                        .get(name)
                        .ok_or_else(|| SignError::HeaderMissing(name.clone()))?;
                    mac.update(value.as_bytes());
                }
                Part::Literal(text) => mac.update(text.as_bytes()),
                Part::Method => mac.update(self.method.as_str().as_bytes()),
                Part::Timestamp => {
                    if let Some((_, text)) = &timestamp {
                        mac.update(text.as_bytes());
                    }
                }
                Part::Url => mac.update(self.url.as_bytes()),
            }
        }
        let digest = scheme.encoding.encode(mac.finish().as_slice());
        let mut value = match &scheme.layout {
            Layout::Fields { signature, .. } => {
                format!("{signature}={}{digest}", scheme.prefix.text())
            }
            Layout::List { .. } | Layout::Whole => format!("{}{digest}", scheme.prefix.text()),
        };
        match (timestamp, &scheme.layout) {
            (Some((TimestampPlace::Field(field), text)), Layout::Fields { separator, .. }) => {
                value = format!("{field}={text}{separator}{value}");
            }
            (Some((TimestampPlace::Header(name), text)), _) => {
                headers.insert(name.clone(), plain(text)?);
            }
            _ => {}
        }
        headers.insert(scheme.header.clone(), sensitive(value)?);
        Ok(())
    }

    fn add_unsigned(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        at: SystemTime,
    ) -> Result<(), SignError> {
        for sent in self.provider.also_sent() {
            let value = match sent.value {
                SentValue::EventType => {
                    let unsigned = Restored::new(Bytes::copy_from_slice(body), at);
                    match Delivery::insecure_restore(Arc::clone(&self.provider), unsigned).event() {
                        Ok(event) => event.event_type().to_string(),
                        Err(_) => continue,
                    }
                }
                SentValue::Milliseconds => crate::provider::TimeUnit::Milliseconds.write(at),
                SentValue::Seconds => crate::provider::TimeUnit::Seconds.write(at),
            };
            headers.insert(sent.header.clone(), plain(value)?);
        }
        Ok(())
    }
}

impl Prefix {
    fn text(&self) -> &str {
        match self {
            Self::None => "",
            Self::Optional(prefix) | Self::Required(prefix) => prefix,
        }
    }
}

fn plain(text: String) -> Result<HeaderValue, SignError> {
    HeaderValue::try_from(text).map_err(|_| SignError::Value)
}

fn sensitive(text: String) -> Result<HeaderValue, SignError> {
    let mut value = plain(text)?;
    value.set_sensitive(true);
    Ok(value)
}
