//! Recognises a handshake, proves it and answers it.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Method, Uri};
use serde_json::{json, value::RawValue};
use zeroize::Zeroizing;

use super::{Handshake, HandshakeAnswer, HandshakeProof, HandshakeSign};
use crate::{
    Delivery, Opener, Provider, Rejection, RejectionKind, Secrets, SetupError, Text,
    encoding::Digest,
    form,
    mac::{Algorithm, Mac, blind, same},
    pointers::{self, Value},
    provider::Answer,
};

/// The longest text that is given back, in bytes: more than any provider sends.
const MAX_ECHO_BYTES: usize = 2_048;

/// The longest text that is ever given a digest, in bytes.
const MAX_SIGNED_BYTES: usize = 128;

/// Answers the handshakes of one endpoint.
#[derive(Clone)]
pub struct Handshaker {
    provider: Arc<Provider>,
    tokens: Vec<Token>,
    opener: Option<Opener>,
    /// The signing secrets under the labels that their deliveries bear.
    macs: Vec<(Text, Mac)>,
}

#[derive(Clone)]
struct Token {
    blinded: Digest,
    expires_at: Option<SystemTime>,
}

impl Handshaker {
    /// The longest body of a handshake without a signature that is looked at, in
    /// bytes: several times what any provider sends, and anybody may send it.
    pub const MAX_UNSIGNED_BODY_BYTES: usize = 16 * 1024;

    /// Makes an endpoint's secrets ready: those that sign, and those that prove
    /// a handshake where the provider has some of its own.
    ///
    /// # Errors
    ///
    /// [`SetupError::HandshakeSecretsMissing`] when the provider's handshake is
    /// proven by a token and there is none, and [`SetupError`] when a signing
    /// secret does not have the form that the scheme wants.
    pub fn new(
        provider: impl Into<Arc<Provider>>,
        secrets: &Secrets,
        tokens: Option<&Secrets>,
    ) -> Result<Self, SetupError> {
        let provider = provider.into();
        provider.check()?;
        let handshakes = provider.handshakes();
        if handshakes.iter().any(Handshake::needs_token) && tokens.is_none() {
            return Err(SetupError::HandshakeSecretsMissing);
        }
        let signs = handshakes
            .iter()
            .any(|handshake| matches!(handshake.answer, HandshakeAnswer::SignedJson { .. }));
        let mut macs = Vec::new();
        if signs {
            let keys = crate::scheme::Keys::prepare(provider.scheme(), secrets)?;
            for (secret, label) in secrets.iter().zip(keys.labels()) {
                let key = match provider.scheme().signed() {
                    Some(signed) => signed.key.decode(secret.expose())?,
                    None => Zeroizing::new(secret.expose().as_bytes().to_vec()),
                };
                let mac = Mac::new(Algorithm::Sha256, &key);
                macs.extend(mac.map(|mac| (label.clone(), mac)));
            }
        }
        let tokens = tokens.into_iter().flatten().map(|secret| Token {
            blinded: blind(secret.expose().as_bytes()),
            expires_at: secret.expires_at(),
        });
        Ok(Self {
            tokens: tokens.collect(),
            opener: None,
            macs,
            provider,
        })
    }

    /// Decrypts the bodies of unsigned handshakes, where the provider encrypts
    /// them too.
    #[must_use]
    pub fn with_opener(mut self, opener: Option<Opener>) -> Self {
        self.opener = opener;
        self
    }

    /// Answers a handshake that the head of a request is: before its signature
    /// is looked for, since it has none. Nothing for a request that is no
    /// handshake.
    ///
    /// # Errors
    ///
    /// [`RejectionKind::SignatureMismatch`] when the token is wrong or missing,
    /// [`RejectionKind::SignatureMalformed`] when what should be given back is
    /// missing, too long or not plain.
    pub fn answer_head(
        &self,
        method: &Method,
        uri: &Uri,
        now: SystemTime,
    ) -> Option<Result<Answer, Rejection>> {
        let query = uri.query()?;
        let mut handshakes = self.provider.handshakes().iter();
        let handshake = handshakes.find(|handshake| handshake.is_asked_by(method, uri))?;
        Some(self.answer_query(handshake, query, now).map_err(Into::into))
    }

    fn answer_query(
        &self,
        handshake: &Handshake,
        query: &str,
        now: SystemTime,
    ) -> Result<Answer, RejectionKind> {
        match &handshake.proof {
            HandshakeProof::QueryToken(name) => {
                let token = form::single(query, name).unwrap_or_default();
                self.prove(&token, now)?;
            }
            HandshakeProof::InsecureNone => {}
            HandshakeProof::BodyToken(_) | HandshakeProof::Signature => {
                return Err(RejectionKind::SignatureMismatch);
            }
        }
        match &handshake.answer {
            HandshakeAnswer::EchoQuery(name) => {
                let text = form::single(query, name).filter(|text| is_plain(text));
                let text = text.ok_or(RejectionKind::SignatureMalformed)?;
                Ok(Answer::text(200, text))
            }
            HandshakeAnswer::Fixed(answer) => Ok(answer.clone()),
            HandshakeAnswer::EchoJson { .. } | HandshakeAnswer::SignedJson { .. } => {
                Err(RejectionKind::SignatureMalformed)
            }
        }
    }

    /// Answers a handshake that has no signature but a token in its body. Nothing
    /// for a request that is no such handshake: the caller then refuses it for
    /// its missing signature.
    ///
    /// # Errors
    ///
    /// As [`answer_head`](Self::answer_head).
    pub fn answer_unsigned(
        &self,
        body: &Bytes,
        now: SystemTime,
    ) -> Option<Result<Answer, Rejection>> {
        let mut handshakes = self.provider.handshakes().iter();
        if body.len() > Self::MAX_UNSIGNED_BODY_BYTES
            || !handshakes.clone().any(Handshake::has_body_token)
        {
            return None;
        }
        let opened = match &self.opener {
            Some(opener) => opener.open_unauthenticated(body, now)?,
            None => body.clone(),
        };
        let json: &RawValue = serde_json::from_slice(&opened).ok()?;
        let (handshake, token) = handshakes.find_map(|handshake| match &handshake.proof {
            HandshakeProof::BodyToken(token) if is_asked(handshake, json) => {
                Some((handshake, token))
            }
            _ => None,
        })?;
        let token = text(json, token).unwrap_or_default();
        let answer = self
            .prove(&token, now)
            .and_then(|()| self.answer_body(handshake, json, None));
        Some(answer.map_err(Into::into))
    }

    /// Answers a handshake that came as a signed delivery. Nothing for any other
    /// delivery.
    ///
    /// # Errors
    ///
    /// As [`answer_head`](Self::answer_head).
    pub fn answer_delivery(&self, delivery: &Delivery) -> Option<Result<Answer, Rejection>> {
        let json: &RawValue = serde_json::from_slice(delivery.content()?).ok()?;
        let handshake = self
            .provider
            .handshakes()
            .iter()
            .find(|handshake| handshake.is_signed() && is_asked(handshake, json))?;
        let answer = self.answer_body(handshake, json, delivery.secret_label());
        Some(answer.map_err(Into::into))
    }

    fn answer_body(
        &self,
        handshake: &Handshake,
        json: &RawValue,
        label: Option<&Text>,
    ) -> Result<Answer, RejectionKind> {
        let malformed = RejectionKind::SignatureMalformed;
        match &handshake.answer {
            HandshakeAnswer::Fixed(answer) => Ok(answer.clone()),
            HandshakeAnswer::EchoJson { pointer, field } => {
                let text = text(json, pointer).filter(|text| is_plain(text));
                let object = json!({ field: text.ok_or(malformed)?.as_str() });
                Ok(Answer::json(200, object.to_string()))
            }
            HandshakeAnswer::SignedJson {
                pointer,
                plain,
                digest,
            } => {
                let text = text(json, pointer).filter(|text| is_signable(text));
                let text = text.ok_or(malformed)?;
                let mut macs = self.macs.iter();
                let (_, mac) = macs
                    .find(|(known, _)| Some(known) == label)
                    .ok_or(malformed)?;
                let mut mac = mac.clone();
                mac.update(text.as_bytes());
                let object = json!({
                    plain: text.as_str(),
                    digest: const_hex::encode(mac.finish().as_slice()),
                });
                Ok(Answer::json(200, object.to_string()))
            }
            HandshakeAnswer::EchoQuery(_) => Err(malformed),
        }
    }

    fn prove(&self, token: &str, now: SystemTime) -> Result<(), RejectionKind> {
        let claimed = blind(token.as_bytes());
        let known = self.tokens.iter().any(|token| {
            token.expires_at.is_none_or(|at| now < at) && same(&token.blinded, &claimed)
        });
        if known {
            Ok(())
        } else {
            Err(RejectionKind::SignatureMismatch)
        }
    }
}

impl std::fmt::Debug for Handshaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshaker")
            .field("provider", &self.provider.name())
            .finish_non_exhaustive()
    }
}

/// Whether a body asks for this handshake.
fn is_asked(handshake: &Handshake, json: &RawValue) -> bool {
    match &handshake.sign {
        HandshakeSign::Body { pointer, equals } => {
            text(json, pointer).is_some_and(|text| text == *equals)
        }
        HandshakeSign::Query { .. } => false,
    }
}

fn text(json: &RawValue, pointer: &str) -> Option<Text> {
    let raw = pointers::at(json, pointer).ok()??;
    Value::of(raw).text().map(|text| Text::from(&*text))
}

/// Text that can be given back: short, and nothing in it that means anything to
/// who renders it.
fn is_plain(text: &str) -> bool {
    (1..=MAX_ECHO_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !b"<>&\"'`\\".contains(&byte))
}

/// Text that no signed message can be: those have a separator or are a JSON
/// object.
fn is_signable(text: &str) -> bool {
    (1..=MAX_SIGNED_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
