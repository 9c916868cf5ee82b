//! Signs as a provider does, for tests and for the command line.

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::value::RawValue;

use crate::{
    Delivery, Provider, Restored, Secret, SetupError,
    mac::sha256,
    pointers,
    provider::{BodyFormat, Layout, Opens, Part, PayloadSecret, Scheme, SentValue},
    public_key,
    scheme::{
        AnyAlgorithm, BodyFields, Material, Message, Signed, UrlText, screen::position, signed_form,
    },
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
    payload_secret: Option<Secret>,
    method: Method,
    url: String,
    headers: HeaderMap,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// What is signed cannot be read out of the body, or the URL does not bind
    /// the body as this provider's must.
    #[error("what is signed cannot be read out of the body")]
    Body,
    /// The provider writes into the body: its headers alone are no request.
    #[error("this provider writes into the body: ask for the whole request")]
    BodyChanges,
    /// A field of the body that the provider writes is not there to be
    /// replaced.
    #[error("the body has no field {0} for what the provider writes there")]
    FieldMissing(String),
    /// A header is part of what is signed, and was not given.
    #[error("the header {0} is part of what is signed: give it a value")]
    HeaderMissing(HeaderName),
    /// The secret does not have the form that the scheme wants, or the
    /// provider contradicts itself.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The provider encrypts its payloads with a secret of its own, and none was
    /// given.
    #[error("the provider encrypts its payloads: give the secret for them")]
    PayloadSecretMissing,
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
            payload_secret: None,
            method: Method::POST,
            url: String::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Encrypts payloads with this secret, for providers that have one of its own
    /// for that.
    #[must_use]
    pub fn with_payload_secret(mut self, secret: Secret) -> Self {
        self.payload_secret = Some(secret);
        self
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
    /// given (or the form's, where the provider sends forms), and what the
    /// provider sends besides.
    ///
    /// # Errors
    ///
    /// [`SignError`] when a signed header was not given, the secret does not
    /// have the form that the scheme wants, or the provider writes into the body
    /// itself: [`sign_request`](Self::sign_request) does that.
    pub fn sign(&self, body: &[u8], at: SystemTime) -> Result<HeaderMap, SignError> {
        let signed = self.sign_request(body, at)?;
        if signed.body != body {
            return Err(SignError::BodyChanges);
        }
        Ok(signed.headers)
    }

    /// The whole request that the provider would send at that time. Where it
    /// writes a signature, a token or a time into the body, the fields must be
    /// there already and are replaced. Where it encrypts, `body` is the plain
    /// one: the whole, or, where only the payload is encrypted, with the plain
    /// payload as text in the place of the ciphertext.
    ///
    /// # Errors
    ///
    /// [`SignError`] when a signed header, a field of the body or the signed URL is
    /// missing, or the secret does not have the form that the scheme wants.
    pub fn sign_request(&self, body: &[u8], at: SystemTime) -> Result<SignedRequest, SignError> {
        self.provider.check().map_err(SetupError::from)?;
        if self.provider.scheme().needs_public_url() && self.url.is_empty() {
            return Err(SetupError::PublicUrlMissing.into());
        }
        let mut request = SignedRequest {
            headers: self.headers.clone(),
            body: Bytes::copy_from_slice(body),
        };
        let content_type = match self.provider.envelope().format() {
            BodyFormat::Form => "application/x-www-form-urlencoded",
            BodyFormat::Json => "application/json",
        };
        request
            .headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static(content_type));
        self.add_unsigned(&mut request.headers, body, at)?;
        self.seal(&mut request, at)?;
        match (self.provider.scheme(), self.provider.scheme().signed()) {
            (Scheme::Token(scheme), _) => {
                let token = format!("{}{}", scheme.prefix.text(), self.secret.expose());
                match (&scheme.header, &scheme.field) {
                    (Some(header), _) => {
                        request.headers.insert(header.clone(), sensitive(token)?);
                    }
                    (None, Some(pointer)) => request.write(pointer, &token)?,
                    (None, None) => {}
                }
            }
            (_, Some(signed)) => self.add_signature(&signed, &mut request, at)?,
            (_, None) => {}
        }
        Ok(request)
    }

    fn seal(&self, request: &mut SignedRequest, at: SystemTime) -> Result<(), SignError> {
        let Some(encryption) = self.provider.encryption() else {
            return Ok(());
        };
        let secret = match encryption.secret() {
            PayloadSecret::Own => self.payload_secret.as_ref(),
            PayloadSecret::Signing => Some(&self.secret),
        };
        let secret = secret.ok_or(SignError::PayloadSecretMissing)?;
        let plaintext = match encryption.opens() {
            Opens::Body => {
                let sealed = Bytes::from(encryption.empty_body());
                std::mem::replace(&mut request.body, sealed)
            }
            Opens::Data => {
                let plaintext = encryption.plaintext_in(&request.body);
                plaintext.ok_or(SignError::Body)?.into()
            }
        };
        let associated = encryption
            .associated_in(&request.body)
            .ok_or(SignError::Body)?;
        for (pointer, text) in encryption.seal(&plaintext, &associated, secret, at)? {
            request.write(pointer, &text)?;
        }
        Ok(())
    }

    fn add_signature(
        &self,
        signed: &Signed<'_>,
        request: &mut SignedRequest,
        at: SystemTime,
    ) -> Result<(), SignError> {
        let timestamp = signed
            .timestamp
            .map(|timestamp| (timestamp.place(), timestamp.unit().write(at)));
        match &timestamp {
            Some((TimestampPlace::Header(name), text)) => {
                request
                    .headers
                    .insert((*name).clone(), plain(text.clone())?);
            }
            Some((TimestampPlace::Pointer(pointer), text)) => request.write(pointer, text)?,
            Some((TimestampPlace::Field(_), _)) | None => {}
        }
        if let Some(missing) = signed.parts.iter().find_map(|part| match part {
            Part::Header(name) if !request.headers.contains_key(name) => Some(name),
            _ => None,
        }) {
            return Err(SignError::HeaderMissing(missing.clone()));
        }
        let text = timestamp.as_ref().map(|(_, text)| text.as_bytes());
        let signature = self.signature(signed, request, text.unwrap_or_default())?;
        let digest = signed.encoding.encode(&signature);
        let mut value = match signed.layout {
            Layout::Fields { signature, .. } => {
                format!("{signature}={}{digest}", signed.prefix.text())
            }
            Layout::List { .. } | Layout::Whole => format!("{}{digest}", signed.prefix.text()),
        };
        if let (Some((TimestampPlace::Field(field), text)), Layout::Fields { separator, .. }) =
            (timestamp, signed.layout)
        {
            value = format!("{field}={text}{separator}{value}");
        }
        match (signed.header, signed.field) {
            (Some(header), _) => {
                request.headers.insert(header.clone(), sensitive(value)?);
            }
            (None, Some(pointer)) => request.write(pointer, &value)?,
            (None, None) => {}
        }
        if let (Some(header), Some(label)) = (signed.key_id, self.secret.label()) {
            request
                .headers
                .insert(header.clone(), plain(label.to_string())?);
        }
        Ok(())
    }

    /// The signature's bytes over what the request says so far.
    pub(crate) fn signature(
        &self,
        signed: &Signed<'_>,
        request: &SignedRequest,
        timestamp: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let refused = |_| SignError::Body;
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, Some(query)),
            None => (self.url.as_str(), None),
        };
        let message = Message {
            method: self.method.as_str(),
            url: UrlText { base, query },
            headers: &request.headers,
            body: &request.body,
            timestamp,
            fields: &BodyFields::read(signed, &request.body).map_err(refused)?,
            form: &signed_form(signed.parts, &request.headers, query, &request.body)
                .map_err(refused)?,
        };
        if let AnyAlgorithm::PublicKey(algorithm) = signed.algorithm {
            let key = signed
                .key
                .decode(self.secret.expose())
                .map_err(SetupError::from)?;
            let mut bytes = Vec::new();
            message.feed(signed.parts, &[], |part| bytes.extend_from_slice(part));
            return Ok(public_key::sign(algorithm, &key, &bytes)?);
        }
        match Material::prepare(self.provider.scheme(), &self.secret)? {
            Material::Mac(mut mac) => {
                message.feed(signed.parts, &[], |bytes| mac.update(bytes));
                Ok(mac.finish().as_slice().to_vec())
            }
            Material::Prefixed(secret) => {
                let digest = sha256(|to| message.feed(signed.parts, &secret, to));
                Ok(digest.as_slice().to_vec())
            }
            Material::PublicKey(_) | Material::Token(_) => Err(SignError::Value),
        }
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

/// A request as a provider would send it.
///
/// `Debug` prints the body's length in place of the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedRequest {
    /// Its headers; those that hold a signature or a token are marked as
    /// sensitive.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl SignedRequest {
    /// Replaces the values at a JSON pointer of the body: text in quotes where
    /// text stands, bare digits where a number does.
    fn write(&mut self, pointer: &str, text: &str) -> Result<(), SignError> {
        let missing = || SignError::FieldMissing(pointer.to_owned());
        let json: &RawValue = serde_json::from_slice(&self.body).map_err(|_| missing())?;
        let values = pointers::each(json, pointer).map_err(|_| missing())?;
        if values.is_empty() {
            return Err(missing());
        }
        let quoted = serde_json::Value::from(text).to_string();
        let mut written = Vec::with_capacity(self.body.len());
        let mut from = 0_usize;
        for value in values {
            let place = position(&self.body, value.get().as_bytes());
            let before = self.body.get(from..place.start).ok_or_else(missing)?;
            written.extend_from_slice(before);
            let is_text = value.get().starts_with('"');
            written.extend_from_slice(if is_text { &quoted } else { text }.as_bytes());
            from = place.end;
        }
        written.extend_from_slice(self.body.get(from..).ok_or_else(missing)?);
        self.body = written.into();
        Ok(())
    }
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
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
