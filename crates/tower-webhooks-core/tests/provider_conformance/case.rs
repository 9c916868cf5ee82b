//! A provider, one of its events, and a request that passes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Uri};
use tower_webhooks_core::{
    Delivery, Head, Provider, RejectionKind, Secret, Secrets, Signer, Verifier,
    provider::{Scheme, SignedTimestamp, TimestampPlace},
    providers,
};

pub(super) const SECRET: &str = "conformance-Secret_of-this-test-0001";
pub(super) const OTHER_SECRET: &str = "conformance-Secret_of-this-test-0002";

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_447_400)
}

/// A provider and a body of one of its events.
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
        assert!(cases.len() > 40, "every event of five providers");
        cases
    }

    /// Those whose signature covers the body.
    pub(super) fn signed() -> impl Iterator<Item = Self> {
        let cases = Self::all().into_iter();
        cases.filter(|case| case.provider.scheme().covers_body())
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.provider.name(), self.event_type)
    }

    pub(super) fn sign(&self) -> HeaderMap {
        sign(&self.provider, SECRET, &self.body, now())
    }

    pub(super) fn header(&self) -> &HeaderName {
        self.provider.scheme().header()
    }

    pub(super) fn signature(&self) -> String {
        let headers = self.sign();
        headers[self.header()].to_str().unwrap().to_owned()
    }

    /// Verifies the body with these headers, now.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Delivery, RejectionKind> {
        verify(
            &self.provider,
            &secrets(SECRET),
            headers,
            self.body.clone(),
            now(),
        )
    }

    /// Verifies with another text in the place of the signature.
    pub(super) fn check_signature(&self, signature: &str) -> Result<Delivery, RejectionKind> {
        let mut headers = self.sign();
        headers.insert(self.header(), signature.parse().unwrap());
        self.check(&headers)
    }
}

pub(super) fn sign(
    provider: &Arc<Provider>,
    secret: &str,
    body: &[u8],
    at: SystemTime,
) -> HeaderMap {
    Signer::new(Arc::clone(provider), Secret::new(secret).unwrap())
        .sign(body, at)
        .unwrap()
}

pub(super) fn verify(
    provider: &Arc<Provider>,
    secrets: &Secrets,
    headers: &HeaderMap,
    body: Bytes,
    now: SystemTime,
) -> Result<Delivery, RejectionKind> {
    let verifier = Verifier::new(Arc::clone(provider), secrets).unwrap();
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let screened = provider.screen(headers, now).map_err(|r| r.kind())?;
    verifier.admit(&screened, now).map_err(|r| r.kind())?;
    verifier
        .verify(Head::new(&method, &uri, headers), &screened, body, now)
        .map_err(|r| r.kind())
}

pub(super) fn secrets(text: &str) -> Secrets {
    Secrets::new(text).unwrap()
}

/// How a provider's signature looks, to know what a changed one means.
#[derive(PartialEq)]
pub(super) enum Form {
    /// A digest in hexadecimal, alone in its header behind a fixed prefix.
    Hex { digits: usize },
    /// The secret itself.
    Token,
}

impl Form {
    pub(super) fn of(provider: &Provider) -> Self {
        let Scheme::Hmac(scheme) = provider.scheme() else {
            return Self::Token;
        };
        let written = serde_json::to_value(scheme).unwrap();
        assert_eq!(written["encoding"], "hex", "say here how to change others");
        assert_eq!(written["layout"], "whole", "say here how to change others");
        assert_eq!(written["algorithm"], "sha256");
        Self::Hex { digits: 64 }
    }

    /// Cuts a signature into its prefix and its digest.
    pub(super) fn split<'s>(&self, signature: &'s str) -> (&'s str, &'s str) {
        match self {
            Self::Hex { digits } => signature.split_at(signature.len() - digits),
            Self::Token => ("", signature),
        }
    }
}

pub(super) fn timestamp_header(rule: &SignedTimestamp) -> HeaderName {
    match rule.place() {
        TimestampPlace::Header(name) => name.clone(),
        other => panic!("say here how to change a timestamp in {other:?}"),
    }
}
