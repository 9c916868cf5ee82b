//! What an endpoint's secrets, or a tenant's, are good for.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::request::Parts;
use tower_webhooks_core::{
    Delivery, Handshaker, Opener, Provider, Rejection, RejectionKind, Secrets, SetupError, Text,
    Verifier,
    provider::{Answer, Handshake},
};

/// Secrets made ready.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) verifier: Verifier,
    /// Nothing where the provider has no handshake.
    handshaker: Option<Handshaker>,
}

/// What the keys of all tenants have in common.
#[derive(Debug, Clone)]
pub(crate) struct KeyMaker {
    pub(crate) provider: Arc<Provider>,
    pub(crate) public_url: Option<Text>,
    pub(crate) handshake_secrets: Option<Secrets>,
    pub(crate) payload_secrets: Option<Secrets>,
}

impl KeyMaker {
    /// What can be known before there is a secret.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        self.provider.check()?;
        if self.provider.scheme().needs_public_url() && self.public_url.is_none() {
            return Err(SetupError::PublicUrlMissing);
        }
        let mut handshakes = self.provider.handshakes().iter();
        if handshakes.any(Handshake::needs_token) && self.handshake_secrets.is_none() {
            return Err(SetupError::HandshakeSecretsMissing);
        }
        if self.provider.needs_payload_secrets() && self.payload_secrets.is_none() {
            return Err(SetupError::PayloadSecretsMissing);
        }
        Ok(())
    }

    /// What opens the payloads of all tenants: nothing where each has a secret of his
    /// own for it.
    pub(crate) fn opener(&self) -> Result<Option<Opener>, SetupError> {
        match (self.provider.encryption(), &self.payload_secrets) {
            (Some(encryption), Some(secrets)) if self.provider.needs_payload_secrets() => {
                Opener::new(encryption, secrets).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn keys(&self, secrets: &Secrets, tenant: Option<Text>) -> Result<Keys, SetupError> {
        let mut verifier = Verifier::new(Arc::clone(&self.provider), secrets)?
            .with_tenant(tenant)
            .with_public_url(self.public_url.clone());
        if let Some(secrets) = &self.payload_secrets {
            verifier = verifier.with_payload_secrets(secrets)?;
        }
        let handshaker = if self.provider.handshakes().is_empty() {
            None
        } else {
            let tokens = self.handshake_secrets.as_ref();
            let handshaker = Handshaker::new(Arc::clone(&self.provider), secrets, tokens)?;
            Some(handshaker.with_opener(verifier.opener().cloned()))
        };
        Ok(Keys {
            verifier,
            handshaker,
        })
    }
}

type Answered = Result<Answer, RejectionKind>;

impl Keys {
    /// The answer to a handshake that the head of a request is.
    pub(crate) fn answer_head(&self, parts: &Parts, now: SystemTime) -> Option<Answered> {
        let handshaker = self.handshaker.as_ref()?;
        told(handshaker.answer_head(&parts.method, &parts.uri, now))
    }

    /// The answer to a handshake without a signature.
    pub(crate) fn answer_unsigned(&self, body: &Bytes, now: SystemTime) -> Option<Answered> {
        told(self.handshaker.as_ref()?.answer_unsigned(body, now))
    }

    /// The answer to a handshake that came as a delivery: signed by design, or
    /// one that need not be.
    pub(crate) fn answer_delivery(&self, delivery: &Delivery) -> Option<Answered> {
        let handshaker = self.handshaker.as_ref()?;
        let signed = handshaker.answer_delivery(delivery);
        told(signed.or_else(|| handshaker.answer_unsigned(delivery.body(), delivery.received_at())))
    }
}

fn told(answer: Option<Result<Answer, Rejection>>) -> Option<Answered> {
    answer.map(|answer| answer.map_err(|rejection| rejection.kind()))
}
