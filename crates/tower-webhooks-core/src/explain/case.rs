//! A request with everything that it is checked by, and the check.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use zeroize::Zeroizing;

use super::explanation::Verdict;
use crate::{
    Head, Provider, RejectionKind, Secret, SecretError, Secrets, SetupError, Text, Verifier,
    encoding::Encoding,
    provider::{KeyEncoding, KeyForm, Part, Prefix, Scheme, SignedScheme, SignedTimestamp},
    scheme::Signed,
};

/// How many changed requests are verified at the most: all single changes and
/// the commonest pairs fit.
pub const MAX_TRIALS: usize = 4_000;

/// How many bytes of bodies are hashed at the most: enough for everything on a
/// body of 128 KiB, and for most single changes on one of 1 MiB.
pub const MAX_HASHED_BYTES: usize = 128 * 1024 * 1024;

/// One request and what it is checked by.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) provider: Arc<Provider>,
    pub(super) secrets: Vec<Secret>,
    pub(super) method: Method,
    /// Without its query.
    pub(super) public_url: Option<String>,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) now: SystemTime,
}

impl Case {
    /// What a receiver says, with all the secrets and the clock.
    pub(super) fn verdict(&self) -> Verdict {
        match self.verify(&self.provider, &self.secrets) {
            Ok(Ok(())) => Verdict::Verified,
            Ok(Err(kind)) => Verdict::Rejected(kind),
            Err(error) => Verdict::NotSetUp {
                why: error.to_string(),
                is_secret: matches!(error, SetupError::Secret(_)),
            },
        }
    }

    /// How many bytes it takes to check the signature: none where the headers say
    /// already that it cannot match.
    pub(super) fn hashed_bytes(&self) -> usize {
        match self.any_age().screen(&self.headers, self.now) {
            Ok(_) => self.body.len().saturating_mul(self.secrets.len()),
            Err(_) => 0,
        }
    }

    /// The first secret that explains the signature, whenever it was made. Each
    /// is tried alone, since one that is malformed would stand in the way of
    /// the others.
    pub(super) fn signed_by(&self) -> Option<usize> {
        let any_age = self.any_age();
        self.secrets.iter().position(|secret| {
            let verified = self.verify(&any_age, std::slice::from_ref(secret));
            matches!(verified, Ok(Ok(())))
        })
    }

    fn verify(
        &self,
        provider: &Arc<Provider>,
        secrets: &[Secret],
    ) -> Result<Result<(), RejectionKind>, SetupError> {
        let verifier = Verifier::new(Arc::clone(provider), &all(secrets)?)?
            .with_public_url(self.public_url.as_deref().map(Text::from));
        let head = Head::new(&self.method, &self.uri, &self.headers);
        let verified = provider
            .screen(&self.headers, self.now)
            .and_then(|screened| verifier.verify(head, &screened, self.body.clone(), self.now));
        Ok(verified.map(|_| ()).map_err(|rejection| rejection.kind()))
    }

    fn any_age(&self) -> Arc<Provider> {
        let mut scheme = self.provider.scheme().clone();
        match scheme.timestamp_mut() {
            Some(timestamp) => timestamp.tolerance = None,
            None => return Arc::clone(&self.provider),
        }
        Arc::new(Provider::clone(&self.provider).with_scheme(scheme))
    }

    /// Whether both come to the same: equal keys, however they are written, over
    /// equal requests by equal rules.
    pub(super) fn amounts_to(&self, other: &Self) -> bool {
        self.body == other.body
            && self.headers == other.headers
            && self.public_url == other.public_url
            && self.uri == other.uri
            && self.method == other.method
            && self.without_key_form() == other.without_key_form()
            && self.keys() == other.keys()
    }

    fn keys(&self) -> Vec<Option<Zeroizing<Vec<u8>>>> {
        let form = self.signed().map(|signed| signed.key.clone());
        let form = form.unwrap_or_default();
        let keys = self.secrets.iter();
        keys.map(|secret| form.decode(secret.expose()).ok())
            .collect()
    }

    fn without_key_form(&self) -> Scheme {
        let mut scheme = self.provider.scheme().clone();
        if let Some(scheme) = editable(&mut scheme) {
            *scheme.key = KeyForm::default();
        }
        scheme
    }

    /// How the request is signed; nothing for a shared token.
    pub(super) fn signed(&self) -> Option<Signed<'_>> {
        self.provider.scheme().signed()
    }

    /// Whether the signature depends on the body's bytes, or on fields of it.
    pub(super) fn signs_content(&self) -> bool {
        let signed = self.signed();
        signed.is_some_and(|signed| signed.parts.iter().any(Part::is_content))
    }

    /// The same by another scheme.
    pub(super) fn with_scheme(&self, scheme: Scheme) -> Self {
        let provider = Provider::clone(&self.provider).with_scheme(scheme);
        Self {
            provider: Arc::new(provider),
            ..self.clone()
        }
    }

    /// The same by its own scheme, changed; nothing for a shared token.
    pub(super) fn with_edited(&self, edit: impl FnOnce(Editable<'_>)) -> Option<Self> {
        let mut scheme = self.provider.scheme().clone();
        edit(editable(&mut scheme)?);
        Some(self.with_scheme(scheme))
    }

    /// The same with another body.
    pub(super) fn with_body(&self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self.clone()
        }
    }

    /// The same with another value in a header; nothing where it cannot stand
    /// there.
    pub(super) fn with_header(&self, name: &HeaderName, value: &str) -> Option<Self> {
        let mut case = self.clone();
        case.headers
            .insert(name, HeaderValue::from_str(value).ok()?);
        Some(case)
    }

    /// The same with changed secrets; nothing where none changes.
    pub(super) fn with_texts(&self, change: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let changed = self.secrets.iter().filter_map(|secret| {
            let text = change(secret.expose()).filter(|text| text != secret.expose())?;
            rewritten(secret, text)
        });
        let secrets: Vec<_> = changed.collect();
        (!secrets.is_empty()).then(|| Self {
            secrets,
            ..self.clone()
        })
    }

    /// The text of a header that is there once and is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }
}

fn all(secrets: &[Secret]) -> Result<Secrets, SetupError> {
    let (first, others) = secrets
        .split_first()
        .ok_or(SetupError::Secret(SecretError::new(
            crate::SecretErrorKind::Empty,
        )))?;
    let mut all = Secrets::from(first.clone());
    for other in others {
        all = all.add_secret(other.clone())?;
    }
    Ok(all)
}

/// The secret with another text, its label and its expiry.
fn rewritten(secret: &Secret, text: String) -> Option<Secret> {
    let mut new = Secret::new(text).ok()?;
    if let Some(label) = secret.label() {
        new = new.with_label(label.clone());
    }
    if let Some(at) = secret.expires_at() {
        new = new.with_expiry(at);
    }
    Some(new)
}

/// What can be changed about a signature, of whichever family.
pub(super) struct Editable<'s> {
    pub(super) encoding: &'s mut Encoding,
    pub(super) prefix: &'s mut Prefix,
    pub(super) parts: &'s mut Vec<Part>,
    pub(super) timestamp: &'s mut Option<SignedTimestamp>,
    pub(super) key: &'s mut KeyForm,
}

impl Editable<'_> {
    /// Takes keys of any length in this encoding.
    pub(super) fn set_key(&mut self, encoding: KeyEncoding) {
        *self.key = KeyForm {
            encoding,
            ..KeyForm::default()
        };
    }
}

fn editable(scheme: &mut Scheme) -> Option<Editable<'_>> {
    match scheme {
        Scheme::Digest(scheme) => Some(parts_of(scheme)),
        Scheme::Hmac(scheme) => Some(parts_of(scheme)),
        Scheme::PublicKey(scheme) => Some(parts_of(scheme)),
        Scheme::Token(_) => None,
    }
}

const fn parts_of<A>(scheme: &mut SignedScheme<A>) -> Editable<'_> {
    Editable {
        encoding: &mut scheme.encoding,
        prefix: &mut scheme.prefix,
        parts: &mut scheme.signed,
        timestamp: &mut scheme.timestamp,
        key: &mut scheme.key,
    }
}
