//! What a verified body holds once its compression and encryption are undone.

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    Opener, Provider, Text, Unusable,
    provider::{Opens, SignedBytes},
};

/// A body without its wrapping.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// What holds the envelope.
    pub(crate) body: Bytes,
    /// The payload, where only that was encrypted.
    pub(crate) data: Option<Bytes>,
    /// Of what was sealed.
    pub(crate) digest: Option<[u8; 32]>,
    /// The label of the secret that opened it.
    pub(crate) label: Option<Text>,
}

impl Content {
    /// `body` is what came.
    pub(crate) fn of_wire(
        provider: &Provider,
        headers: &HeaderMap,
        body: &Bytes,
        opener: Option<&Opener>,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        match provider.compression() {
            Some(compression) if compression.signs() == SignedBytes::Plain => {
                let plain = compression.inflate(headers, body);
                let plain = plain.map_err(|_| Unusable::NotInflated)?;
                Self::of(provider, headers, &plain, opener, now)
            }
            _ => Self::of(provider, headers, body, opener, now),
        }
    }

    /// `body` is what was verified: where the signature covers the plain body,
    /// it is inflated already.
    pub(crate) fn of(
        provider: &Provider,
        headers: &HeaderMap,
        body: &Bytes,
        opener: Option<&Opener>,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        let body = match provider.compression() {
            Some(compression) if compression.signs() == SignedBytes::Wire => compression
                .inflate(headers, body)
                .map_err(|_| Unusable::NotInflated)?,
            _ => body.clone(),
        };
        let Some(encryption) = provider.encryption() else {
            return Ok(Self {
                body,
                data: None,
                digest: None,
                label: None,
            });
        };
        let opened = opener.and_then(|opener| opener.try_open(&body, now));
        let opened = opened.ok_or(Unusable::Undecryptable)?;
        let (body, data) = match encryption.opens() {
            Opens::Body => (opened.plaintext, None),
            Opens::Data => (body, Some(opened.plaintext)),
        };
        Ok(Self {
            body,
            data,
            digest: Some(opened.digest),
            label: Some(opened.label),
        })
    }
}
