//! How a provider makes sure that a receiver is there, as data.
//!
//! A handshake is recognised by a query or by a field of the body, proven, and
//! answered with something that the provider sent. None signs for a stranger:
//! what is echoed is bounded and holds nothing that a browser would run, and a
//! digest is only ever given to a request whose own signature was verified, of a
//! text that cannot be a signed message.
//!
//! ```
//! use tower_webhooks_core::provider::{Handshake, HandshakeAnswer};
//!
//! // {"type":"url_verification","challenge":"…"} is answered {"challenge":"…"}
//! let handshake = Handshake::signed_body("/type", "url_verification")
//!     .with_answer(HandshakeAnswer::echo_json("/challenge", "challenge"));
//! assert!(handshake.is_signed());
//! ```

mod answer;
#[cfg(test)]
mod tests;

use http::{Method, Uri};
use serde::{Deserialize, Serialize};

pub use answer::Handshaker;

use super::{
    form,
    provider::{Answer, Mistake},
};

/// One handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    sign: HandshakeSign,
    proof: HandshakeProof,
    answer: HandshakeAnswer,
}

/// What a handshake is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HandshakeSign {
    /// A field of the body is this text, or this whole number.
    Body {
        /// A JSON pointer.
        pointer: String,
        /// What stands there.
        equals: String,
    },
    /// A field of the query is there, in a request of this method.
    Query {
        /// The method, in upper case.
        method: String,
        /// The field.
        name: String,
        /// What the field must be, where that is fixed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<String>,
    },
}

/// What proves that the provider asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HandshakeProof {
    /// A token at this JSON pointer, which is one of the handshake's secrets.
    BodyToken(String),
    /// Nothing: whoever asks is answered. Only for providers that offer nothing
    /// better, with an answer that says what the asker said.
    InsecureNone,
    /// A token in this field of the query, which is one of the handshake's
    /// secrets.
    QueryToken(String),
    /// The signature, as of any delivery.
    Signature,
}

/// What a handshake is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HandshakeAnswer {
    /// The text at a JSON pointer of the body, in a field of a JSON object.
    EchoJson {
        /// A JSON pointer.
        pointer: String,
        /// The object's field.
        field: String,
    },
    /// A field of the query, as plain text.
    EchoQuery(String),
    /// Always the same.
    Fixed(Answer),
    /// The text at a JSON pointer of the body and its HMAC-SHA256 in
    /// hexadecimal, keyed with the secret that signs, in two fields of a JSON
    /// object. Only of handshakes that are proven by their signature.
    SignedJson {
        /// A JSON pointer to the text.
        pointer: String,
        /// The object's field for the text.
        plain: String,
        /// The object's field for the digest.
        digest: String,
    },
}

impl HandshakeAnswer {
    /// The text at a JSON pointer of the body, in a field of a JSON object.
    #[must_use]
    pub fn echo_json(pointer: impl Into<String>, field: impl Into<String>) -> Self {
        Self::EchoJson {
            pointer: pointer.into(),
            field: field.into(),
        }
    }
}

impl Handshake {
    /// A signed delivery in whose body this field is that text. It is answered
    /// an empty 200 unless something else is said.
    #[must_use]
    pub fn signed_body(pointer: impl Into<String>, equals: impl Into<String>) -> Self {
        Self {
            sign: HandshakeSign::Body {
                pointer: pointer.into(),
                equals: equals.into(),
            },
            proof: HandshakeProof::Signature,
            answer: HandshakeAnswer::Fixed(Answer::empty(200)),
        }
    }

    /// A request without a signature in whose body this field is that text, and
    /// in whose body a token stands.
    #[must_use]
    pub fn body_with_token(
        pointer: impl Into<String>,
        equals: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        Self {
            proof: HandshakeProof::BodyToken(token.into()),
            ..Self::signed_body(pointer, equals)
        }
    }

    /// A request that has this field in its query. Whoever asks is answered,
    /// unless a token is asked for.
    #[must_use]
    pub fn query(method: impl Into<String>, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            sign: HandshakeSign::Query {
                method: method.into(),
                name: name.clone(),
                equals: None,
            },
            proof: HandshakeProof::InsecureNone,
            answer: HandshakeAnswer::EchoQuery(name),
        }
    }

    /// The field of the query must be this text.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        if let HandshakeSign::Query { equals, .. } = &mut self.sign {
            *equals = Some(value.into());
        }
        self
    }

    /// A field of the query must be one of the handshake's secrets.
    #[must_use]
    pub fn with_query_token(mut self, name: impl Into<String>) -> Self {
        self.proof = HandshakeProof::QueryToken(name.into());
        self
    }

    /// Replaces the answer.
    #[must_use]
    pub fn with_answer(mut self, answer: HandshakeAnswer) -> Self {
        self.answer = answer;
        self
    }

    /// What it is recognised by.
    #[must_use]
    pub const fn sign(&self) -> &HandshakeSign {
        &self.sign
    }

    /// What proves it.
    #[must_use]
    pub const fn proof(&self) -> &HandshakeProof {
        &self.proof
    }

    /// What it is answered.
    #[must_use]
    pub const fn answer(&self) -> &HandshakeAnswer {
        &self.answer
    }

    /// Whether its own signature proves it.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        matches!(self.proof, HandshakeProof::Signature)
    }

    /// Whether it needs secrets of its own.
    #[must_use]
    pub const fn needs_token(&self) -> bool {
        matches!(
            self.proof,
            HandshakeProof::BodyToken(_) | HandshakeProof::QueryToken(_)
        )
    }

    /// Whether a token in its body proves it, and nothing else: such a request
    /// has no signature.
    #[must_use]
    pub const fn has_body_token(&self) -> bool {
        matches!(self.proof, HandshakeProof::BodyToken(_))
    }

    /// Whether the head of a request asks for it. Proves nothing.
    #[must_use]
    pub fn is_asked_by(&self, method: &Method, uri: &Uri) -> bool {
        let HandshakeSign::Query {
            method: wanted,
            name,
            equals,
        } = &self.sign
        else {
            return false;
        };
        let found = uri.query().and_then(|query| form::single(query, name));
        method.as_str() == wanted
            && found.is_some_and(|found| equals.as_ref().is_none_or(|text| found == *text))
    }

    pub(crate) fn mistake(&self) -> Option<Mistake> {
        use HandshakeAnswer as A;
        use HandshakeProof as P;
        use HandshakeSign as S;
        let pointers = [
            match &self.sign {
                S::Body { pointer, .. } => Some(pointer),
                S::Query { .. } => None,
            },
            match &self.proof {
                P::BodyToken(pointer) => Some(pointer),
                P::InsecureNone | P::QueryToken(_) | P::Signature => None,
            },
            match &self.answer {
                A::EchoJson { pointer, .. } | A::SignedJson { pointer, .. } => Some(pointer),
                A::EchoQuery(_) | A::Fixed(_) => None,
            },
        ];
        let mut wrong = pointers.into_iter().flatten();
        if let Some(pointer) = wrong.find(|pointer| !pointer.starts_with('/')) {
            return Some(Mistake::Place(pointer.clone()));
        }
        match (&self.sign, &self.proof, &self.answer) {
            (_, P::BodyToken(_) | P::InsecureNone | P::QueryToken(_), A::SignedJson { .. }) => {
                Some(Mistake::Oracle)
            }
            (S::Body { .. }, P::BodyToken(_) | P::Signature, A::EchoJson { .. })
            | (S::Body { .. }, P::BodyToken(_) | P::Signature, A::Fixed(_))
            | (S::Body { .. }, P::Signature, A::SignedJson { .. })
            | (
                S::Query { .. },
                P::InsecureNone | P::QueryToken(_),
                A::EchoQuery(_) | A::Fixed(_),
            ) => None,
            _ => Some(Mistake::Handshake),
        }
    }
}
