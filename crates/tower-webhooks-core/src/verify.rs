//! From a request to a delivery, or to a rejection.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, request};
use serde_json::value::RawValue;

use crate::{
    Delivery, Opener, Provider, Rejection, RejectionKind, Screened, SecretError, SecretErrorKind,
    Secrets, Text, Unusable,
    content::Content,
    delivery::Verified,
    pointers,
    provider::{Compression, ProviderError, Scheme, SignedBytes, TokenScheme},
    scheme::{BodyFields, Candidates, Keys, Message, Signed, UrlText, signed_form},
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
    opener: Option<Opener>,
}

/// Why a verifier cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The algorithm is in a feature that this build does not have.
    #[error("the provider signs with an algorithm that needs the feature {0:?} of this library")]
    FeatureMissing(&'static str),
    /// The provider's handshake is proven by a token, and none is configured.
    #[error(
        "the provider's handshake is proven by a token that you chose with it: configure it \
         with `with_handshake_secrets`"
    )]
    HandshakeSecretsMissing,
    /// The provider encrypts its payloads with a secret of its own, and none is
    /// configured.
    #[error(
        "the provider encrypts its payloads with a secret of their own: configure it with \
         `with_payload_secrets`"
    )]
    PayloadSecretsMissing,
    /// The provider's payloads are opened by the secret that signs, which each
    /// tenant has his own of: handlers run later, when no request says whose.
    #[error(
        "the provider's payloads are opened by the secret that signs, and handlers run when no \
         request is there to look a tenant's up by: give each tenant an endpoint of its own"
    )]
    PayloadSecretsOfTenants,
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

impl From<SecretErrorKind> for SetupError {
    fn from(kind: SecretErrorKind) -> Self {
        Self::Secret(kind.into())
    }
}

impl Verifier {
    /// Makes the secrets ready for the provider's scheme.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when the provider contradicts itself, a secret does not
    /// have the form that its scheme wants, or the scheme needs a feature that
    /// this build does not have.
    pub fn new(provider: impl Into<Arc<Provider>>, secrets: &Secrets) -> Result<Self, SetupError> {
        let provider = provider.into();
        provider.check()?;
        if provider.compression().is_some() {
            Compression::is_built()?;
        }
        let keys = Keys::prepare(provider.scheme(), secrets)?;
        let opener = match provider.encryption() {
            Some(encryption) if !provider.needs_payload_secrets() => {
                Some(Opener::new(encryption, secrets)?)
            }
            _ => None,
        };
        Ok(Self {
            provider,
            keys,
            tenant: None,
            public_url: None,
            opener,
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

    /// Opens the payloads of a provider that encrypts them with secrets of their
    /// own. Without them every delivery is authentic and cannot be decrypted;
    /// changes nothing for a provider that does not
    /// [need them](Provider::needs_payload_secrets).
    ///
    /// # Errors
    ///
    /// As [`Opener::new`].
    pub fn with_payload_secrets(mut self, secrets: &Secrets) -> Result<Self, SetupError> {
        if let Some(encryption) = self.provider.encryption()
            && self.provider.needs_payload_secrets()
        {
            self.opener = Some(Opener::new(encryption, secrets)?);
        }
        Ok(self)
    }

    /// What opens the payloads, where they are encrypted.
    #[must_use]
    pub const fn opener(&self) -> Option<&Opener> {
        self.opener.as_ref()
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
    /// token in a header everything, for a signature nothing.
    ///
    /// # Errors
    ///
    /// [`RejectionKind::SignatureMismatch`] when no token matches.
    pub fn admit(&self, screened: &Screened, now: SystemTime) -> Result<(), Rejection> {
        match self.provider.scheme() {
            Scheme::Token(scheme) if scheme.header.is_some() => {
                self.matching_token(screened, now)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks the signature over the exact bytes of the body and reads the
    /// envelope.
    ///
    /// # Errors
    ///
    /// [`RejectionKind::SignatureMismatch`] when no secret explains the
    /// signature; where the signature, its timestamp or a signed field stands in
    /// the body, also what [`Provider::screen`] refuses for. An authentic body
    /// that cannot be used is not an error: see [`Delivery::event`].
    pub fn verify(
        &self,
        head: Head<'_>,
        screened: &Screened,
        body: Bytes,
        now: SystemTime,
    ) -> Result<Delivery, Rejection> {
        let signed = match self.provider.compression() {
            Some(compression) if compression.signs() == SignedBytes::Plain => &compression
                .inflate(head.headers, &body)
                .map_err(RejectionKind::from)?,
            _ => &body,
        };
        let (label, signed_at) = self.authenticate(head, screened, signed, now)?;
        let content = Content::of(
            &self.provider,
            head.headers,
            signed,
            self.opener.as_ref(),
            now,
        );
        Ok(Delivery::verified(Verified {
            provider: Arc::clone(&self.provider),
            tenant: self.tenant.clone(),
            secret_label: label.clone(),
            signed_at,
            received_at: now,
            headers: head.headers,
            body,
            content,
        }))
    }

    /// Who signed, and when, or that nobody did.
    fn authenticate(
        &self,
        head: Head<'_>,
        screened: &Screened,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(&Text, Option<SystemTime>), RejectionKind> {
        match (self.provider.scheme(), self.provider.scheme().signed()) {
            (Scheme::Token(scheme), _) => match &scheme.field {
                None => self.matching_token(screened, now),
                Some(pointer) => self.matching_tokens(scheme, pointer, body, now),
            }
            .map(|label| (label, None)),
            (_, Some(signed)) => self.matching_key(&signed, head, screened, body, now),
            (_, None) => Err(RejectionKind::SignatureMismatch),
        }
    }

    fn matching_token(&self, screened: &Screened, now: SystemTime) -> Result<&Text, RejectionKind> {
        let claims = screened.candidates.as_ref();
        self.token_key(claims.ok_or(RejectionKind::SignatureMissing)?, now)
    }

    fn token_key(&self, claims: &Candidates, now: SystemTime) -> Result<&Text, RejectionKind> {
        self.keys
            .valid_at(now)
            .find(|key| key.material.is_token(claims.iter()))
            .map(|key| &key.label)
            .ok_or(RejectionKind::SignatureMismatch)
    }

    /// A token in the body: every element that should have one must have a
    /// right one. Ends at the first that has not: nothing is authentic yet.
    fn matching_tokens(
        &self,
        scheme: &TokenScheme,
        pointer: &str,
        body: &[u8],
        now: SystemTime,
    ) -> Result<&Text, RejectionKind> {
        let refused = |error| match error {
            Unusable::DuplicateField => RejectionKind::SignatureRepeated,
            _ => RejectionKind::SignatureMissing,
        };
        let json: &RawValue =
            serde_json::from_slice(body).map_err(|_| RejectionKind::SignatureMissing)?;
        let (elements, rest) = match pointers::split_each(pointer) {
            None => (vec![json], pointer),
            Some((list, rest)) => (pointers::elements(json, list).map_err(refused)?, rest),
        };
        let mut matched = None;
        for element in elements {
            let token = pointers::at(element, rest).map_err(refused)?;
            let token = token.and_then(|token| pointers::Value::of(token).text());
            let token = token.ok_or(RejectionKind::SignatureMissing)?;
            let claims = scheme.candidate(token.as_bytes())?;
            let label = self.token_key(&claims, now)?;
            matched = matched.or(Some(label));
        }
        matched.ok_or(RejectionKind::SignatureMissing)
    }

    /// Stops at the first secret that matches: which one it was is no secret,
    /// and a wrong signature always costs all of them.
    fn matching_key(
        &self,
        signed: &Signed<'_>,
        head: Head<'_>,
        screened: &Screened,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(&Text, Option<SystemTime>), RejectionKind> {
        let fields = BodyFields::read(signed, body)?;
        let dated = dated(signed, head.headers, screened, &fields, now)?;
        let from_body = claimed(signed, &fields)?;
        let claims = from_body
            .as_ref()
            .or(screened.candidates.as_ref())
            .ok_or(RejectionKind::SignatureMissing)?;
        let form = signed_form(signed.parts, head.headers, head.uri.query(), body)?;
        let url = UrlText {
            base: self.public_url.as_deref().unwrap_or_default(),
            query: head.uri.query(),
        };
        let others = url.others(signed.parts);
        let others = others.iter().map(|base| UrlText { base, query: None });
        let key_id = signed
            .key_id
            .map(|name| head.headers.get(name).map(http::HeaderValue::as_bytes));
        for url in std::iter::once(url).chain(others) {
            let message = Message {
                method: head.method.as_str(),
                url,
                headers: head.headers,
                body,
                timestamp: &dated.text,
                fields: &fields,
                form: &form,
            };
            let matched = self.keys.valid_at(now).find(|key| {
                key.answers_to(key_id.flatten())
                    && key.material.explains(signed, &message, claims.iter())
            });
            if let Some(key) = matched {
                return Ok((&key.label, dated.at));
            }
        }
        Err(RejectionKind::SignatureMismatch)
    }
}

/// The signed timestamp as it was written, and when that is.
struct Dated<'r> {
    text: Cow<'r, [u8]>,
    at: Option<SystemTime>,
}

/// The timestamp out of the header that was screened, or out of the body.
fn dated<'r>(
    signed: &Signed<'_>,
    headers: &'r HeaderMap,
    screened: &Screened,
    fields: &BodyFields<'r>,
    now: SystemTime,
) -> Result<Dated<'r>, RejectionKind> {
    let in_body = signed
        .timestamp
        .and_then(|timestamp| Some((timestamp, timestamp.place().pointer()?)));
    let Some((timestamp, pointer)) = in_body else {
        return Ok(Dated {
            text: Cow::Borrowed(signed.timestamp_text(headers, screened)),
            at: screened.signed_at,
        });
    };
    let text = fields
        .text(pointer)
        .ok_or(RejectionKind::TimestampMissing)?;
    let at = timestamp.check(text.as_bytes(), now)?;
    Ok(Dated {
        text: match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        at: Some(at),
    })
}

/// The signatures that stand in the body, where this scheme has them there.
fn claimed(
    signed: &Signed<'_>,
    fields: &BodyFields<'_>,
) -> Result<Option<Candidates>, RejectionKind> {
    let Some(pointer) = signed.field else {
        return Ok(None);
    };
    let text = fields
        .text(pointer)
        .ok_or(RejectionKind::SignatureMissing)?;
    let claims = signed.fields(text.as_bytes(), None)?.candidates;
    Ok(Some(claims))
}
