//! A provider, one of its events, and a request that passes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower_webhooks_core::{
    Delivery, EventHead, Head, Provider, RejectionKind, Secret, Secrets, Signer, Text, Unusable,
    Verifier,
    provider::{Encoding, Layout, Part, Place, Scheme, TimestampPlace},
    providers,
};

use crate::keys::{PAYLOAD_SECRET, Which, pair};

const PUBLIC_URL: &str = "https://shop.example/hooks";

/// Of the request, as a proxy passes it on.
const TARGET: &str = "/inner?shop=1";

/// As the provider called it.
const CALLED: &str = "https://shop.example/hooks?shop=1";

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_447_400)
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A provider and a body of one of its events.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) provider: Arc<Provider>,
    pub(super) event_type: String,
    pub(super) body: Bytes,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let cases: Vec<_> = providers::all()
            .into_iter()
            .map(Arc::new)
            .flat_map(|provider| {
                let events = provider.events().list.clone();
                events.into_iter().map(move |event| Self {
                    provider: Arc::clone(&provider),
                    event_type: event.name.to_string(),
                    body: Bytes::from(event.sample.expect("a sample body").to_string()),
                })
            })
            .collect();
        assert!(cases.len() > 70, "every event of all providers");
        cases
    }

    /// Those that are signed, not only sent with a token.
    pub(super) fn signed() -> impl Iterator<Item = Self> {
        let cases = Self::all().into_iter();
        cases.filter(|case| !matches!(case.provider.scheme(), Scheme::Token(_)))
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.provider.name(), self.event_type)
    }

    pub(super) fn sign(&self) -> Request {
        self.sign_with(Which::First)
    }

    pub(super) fn sign_with(&self, which: Which) -> Request {
        sign(&self.provider, which, &self.event_type, &self.body)
    }

    /// Verifies a request with the first secret, now.
    pub(super) fn check(&self, request: &Request) -> Result<Delivery, RejectionKind> {
        verify(&self.provider, &[Which::First], request, now())
    }
}

/// The one event of a delivery, of one that may hold several too.
pub(super) fn event(delivery: &Delivery) -> Result<&EventHead, Unusable> {
    match delivery.items() {
        Some([item]) => item.event(),
        Some(items) => {
            assert!(items.is_empty(), "one event, or none");
            Err(delivery.event().unwrap_err())
        }
        None => delivery.event(),
    }
}

pub(super) fn signer(provider: &Arc<Provider>, which: Which, event_type: &str) -> Signer {
    let secret = Secret::new(pair(provider, which).sender).unwrap();
    let mut signer = Signer::new(Arc::clone(provider), secret)
        .with_url(CALLED)
        .with_payload_secret(Secret::new(PAYLOAD_SECRET).unwrap());
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    for name in signed_headers(provider) {
        signer = signer.with_header(name, value("a-header-of-these-tests"));
    }
    for name in headers_of(provider.envelope().event_type().places()) {
        signer = signer.with_header(name, value(event_type));
    }
    for name in headers_of(provider.envelope().id().iter().flat_map(|id| id.places())) {
        signer = signer.with_header(name, value("id-1"));
    }
    let key_id = serde_json::to_value(provider.scheme()).unwrap()["key_id"].clone();
    if let Some(name) = key_id.as_str() {
        signer = signer.with_header(name.parse().unwrap(), value("serial-1"));
    }
    signer
}

fn headers_of<'p>(places: impl Iterator<Item = &'p Place>) -> Vec<HeaderName> {
    places
        .filter_map(|place| match place {
            Place::Header(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// The headers that are part of what is signed, besides the time's.
pub(super) fn signed_headers(provider: &Provider) -> Vec<HeaderName> {
    let parts = match provider.scheme() {
        Scheme::Digest(scheme) => scheme.signed(),
        Scheme::Hmac(scheme) => scheme.signed(),
        Scheme::PublicKey(scheme) => scheme.signed(),
        _ => &[],
    };
    let headers = parts.iter().filter_map(|part| match part {
        Part::Header(name) => Some(name.clone()),
        _ => None,
    });
    headers.collect()
}

pub(super) fn sign(
    provider: &Arc<Provider>,
    which: Which,
    event_type: &str,
    body: &[u8],
) -> Request {
    let signed = signer(provider, which, event_type)
        .sign_request(body, now())
        .unwrap();
    Request {
        headers: signed.headers,
        body: signed.body,
    }
}

pub(super) fn secrets(provider: &Provider, which: &[Which]) -> Secrets {
    let (first, others) = which.split_first().unwrap();
    let first = Secrets::new(pair(provider, *first).receiver).unwrap();
    others.iter().fold(first, |secrets, which| {
        secrets
            .with_previous(pair(provider, *which).receiver)
            .unwrap()
    })
}

pub(super) fn verifier(provider: &Arc<Provider>, which: &[Which]) -> Verifier {
    Verifier::new(Arc::clone(provider), &secrets(provider, which))
        .unwrap()
        .with_public_url(Some(Text::from(PUBLIC_URL)))
        .with_payload_secrets(&Secrets::new(PAYLOAD_SECRET).unwrap())
        .unwrap()
}

pub(super) fn verify(
    provider: &Arc<Provider>,
    which: &[Which],
    request: &Request,
    now: SystemTime,
) -> Result<Delivery, RejectionKind> {
    verify_at(&Uri::from_static(TARGET), provider, which, request, now)
}

pub(super) fn verify_at(
    uri: &Uri,
    provider: &Arc<Provider>,
    which: &[Which],
    request: &Request,
    now: SystemTime,
) -> Result<Delivery, RejectionKind> {
    let verifier = verifier(provider, which);
    let screened = provider
        .screen(&request.headers, now)
        .map_err(|r| r.kind())?;
    verifier.admit(&screened, now).map_err(|r| r.kind())?;
    let head = Head::new(&Method::POST, uri, &request.headers);
    verifier
        .verify(head, &screened, request.body.clone(), now)
        .map_err(|r| r.kind())
}

/// Where a text stands that a test replaces.
#[derive(Debug, Clone)]
pub(super) enum Spot {
    /// The whole value of a header.
    Header(HeaderName),
    /// A field of a header that holds `name=value` fields.
    Field(HeaderName, char, String),
    /// A field of the body.
    Body(String),
}

impl Spot {
    /// Where the signature or the token stands.
    pub(super) fn of_signature(provider: &Provider) -> Self {
        match (provider.scheme().header(), provider.scheme().field()) {
            (Some(name), _) => Self::Header(name.clone()),
            (None, field) => Self::Body(field.unwrap().replace('*', "0")),
        }
    }

    /// Where the signed time stands.
    pub(super) fn of_time(provider: &Provider) -> Option<Self> {
        Some(match provider.scheme().timestamp()?.place() {
            TimestampPlace::Header(name) => Self::Header(name.clone()),
            TimestampPlace::Field(field) => {
                let header = provider.scheme().header().unwrap();
                let Scheme::Hmac(scheme) = provider.scheme() else {
                    panic!("say here how this scheme's fields are separated");
                };
                let Layout::Fields { separator, .. } = scheme.layout() else {
                    panic!("a field without fields");
                };
                Self::Field(header.clone(), *separator, field.clone())
            }
            TimestampPlace::Pointer(pointer) => Self::Body(pointer.clone()),
            other => panic!("say here how to change a time in {other:?}"),
        })
    }

    pub(super) fn get(&self, request: &Request) -> String {
        match self {
            Self::Header(name) => request.headers[name].to_str().unwrap().to_owned(),
            Self::Field(name, separator, field) => {
                let value = request.headers[name].to_str().unwrap();
                let mut fields = value.split(*separator);
                let found = fields.find_map(|entry| entry.strip_prefix(&format!("{field}=")));
                found.unwrap().to_owned()
            }
            Self::Body(pointer) => {
                let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                match json.pointer(pointer).unwrap() {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                }
            }
        }
    }

    /// Replaces the text, or says that nobody could send such a request.
    pub(super) fn set(&self, request: &mut Request, text: &str) -> bool {
        let before = self.get(request);
        match self {
            Self::Header(name) => match HeaderValue::from_bytes(text.as_bytes()) {
                Ok(value) => {
                    request.headers.insert(name, value);
                }
                Err(_) => return false,
            },
            Self::Field(name, _, field) => {
                let value = request.headers[name].to_str().unwrap();
                let value = value.replace(&format!("{field}={before}"), &format!("{field}={text}"));
                let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
                    return false;
                };
                request.headers.insert(name, value);
            }
            Self::Body(_) => {
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                let quoted = |text: &str| serde_json::Value::from(text).to_string();
                let changed = if body.contains(&quoted(&before)) {
                    body.replace(&quoted(&before), &quoted(text))
                } else {
                    body.replace(&format!(":{before}"), &format!(":{text}"))
                };
                request.body = changed.into();
            }
        }
        true
    }

    pub(super) fn remove(&self, request: &mut Request) {
        match self {
            Self::Header(name) => {
                request.headers.remove(name).unwrap();
            }
            Self::Field(name, separator, field) => {
                let value = request.headers[name].to_str().unwrap();
                let kept: Vec<_> = value
                    .split(*separator)
                    .filter(|entry| !entry.starts_with(&format!("{field}=")))
                    .collect();
                let kept = kept.join(&separator.to_string());
                request.headers.insert(name, kept.parse().unwrap());
            }
            Self::Body(pointer) => {
                let name = pointer.rsplit('/').next().unwrap();
                let value = self.get(request);
                let body = String::from_utf8(request.body.to_vec()).unwrap();
                let quoted = serde_json::Value::from(value.as_str()).to_string();
                let changed = [quoted, value].iter().fold(body, |body, value| {
                    let field = format!("\"{name}\":{value}");
                    body.replacen(&field, &format!("\"no-{name}\":{value}"), 1)
                });
                request.body = changed.into();
            }
        }
    }
}

/// How a provider's signature looks, to know what a changed one means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Bytes in this encoding, alone in their place behind a fixed prefix.
    Digest(Encoding),
    /// The secret itself.
    Token,
}

impl Form {
    pub(super) fn of(provider: &Provider) -> Self {
        match provider.scheme() {
            Scheme::Digest(scheme) => Self::Digest(scheme.encoding()),
            Scheme::Hmac(scheme) => Self::Digest(scheme.encoding()),
            Scheme::PublicKey(scheme) => Self::Digest(scheme.encoding()),
            _ => Self::Token,
        }
    }

    /// Cuts a signature into what stands before it and the signature.
    pub(super) fn split<'s>(&self, provider: &Provider, signature: &'s str) -> (&'s str, &'s str) {
        if *self == Self::Token {
            return ("", signature);
        }
        let written = serde_json::to_value(provider.scheme()).unwrap();
        let last = |separator: char| signature.rfind(separator).map_or(0, |at| at + 1);
        let at = match written["prefix"].as_object() {
            Some(prefix) => {
                let prefix = prefix.values().next().unwrap().as_str().unwrap();
                signature.rfind(prefix).unwrap() + prefix.len()
            }
            None if written["layout"].is_object() => {
                let field = written["layout"]["fields"]["signature"].as_str().unwrap();
                let at = signature.rfind(&format!("{field}=")).unwrap();
                at + field.len() + 1
            }
            None => last('\u{0}'),
        };
        signature.split_at(at)
    }
}
