//! A signature over parts of the request, of any family of algorithms.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::{
    AnyAlgorithm, DigestAlgorithm, Layout, Part, Prefix, PublicKeyAlgorithm,
    key_form::{KeyEncoding, KeyForm},
};
use crate::{
    data::optional_header_name,
    encoding::Encoding,
    mac::Algorithm,
    timestamp::{SignedTimestamp, TimestampPlace},
};

/// A keyed digest (HMAC) over parts of the request.
pub type HmacScheme = SignedScheme<Algorithm>;

/// A plain digest over the secret and parts of the request.
pub type DigestScheme = SignedScheme<DigestAlgorithm>;

/// A public-key signature over parts of the request.
pub type PublicKeyScheme = SignedScheme<PublicKeyAlgorithm>;

/// A signature over parts of the request. [`HmacScheme`], [`DigestScheme`] and
/// [`PublicKeyScheme`] are its three kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedScheme<A> {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_header_name"
    )]
    pub(crate) header: Option<HeaderName>,
    /// A JSON pointer into the body, in the place of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    #[serde(default)]
    pub(crate) algorithm: A,
    #[serde(default)]
    pub(crate) encoding: Encoding,
    #[serde(default)]
    pub(crate) prefix: Prefix,
    #[serde(default)]
    pub(crate) layout: Layout,
    #[serde(default = "body_only")]
    pub(crate) signed: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<SignedTimestamp>,
    #[serde(default)]
    pub(crate) key: KeyForm,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_header_name"
    )]
    pub(crate) key_id: Option<HeaderName>,
}

fn body_only() -> Vec<Part> {
    vec![Part::Body]
}

impl HmacScheme {
    /// HMAC-SHA256 over the body, in hexadecimal, alone in `header`, keyed
    /// with the secret's text: the form most providers have.
    #[must_use]
    pub fn new(header: HeaderName) -> Self {
        Self::at(Some(header), None, Algorithm::default())
    }

    /// HMAC-SHA256 in hexadecimal that stands in the body itself, at a JSON
    /// pointer (RFC 6901). It cannot cover the body's bytes: say with
    /// [`with_signed`](Self::with_signed) what it covers.
    #[must_use]
    pub fn in_body(pointer: impl Into<String>) -> Self {
        Self::at(None, Some(pointer.into()), Algorithm::default())
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        self.view(AnyAlgorithm::Hmac(self.algorithm)).describe()
    }
}

impl DigestScheme {
    /// SHA-256 over the secret's text and the body, in hexadecimal, alone in
    /// `header`. Weaker than an HMAC: see [`DigestAlgorithm`].
    #[must_use]
    pub fn new(header: HeaderName) -> Self {
        Self::at(Some(header), None, DigestAlgorithm::default())
            .with_signed([Part::Secret, Part::Body])
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        self.view(AnyAlgorithm::Digest(self.algorithm)).describe()
    }
}

impl PublicKeyScheme {
    /// A signature over the body, in base64, alone in `header`; the secret is
    /// the public key in PEM.
    #[must_use]
    pub fn new(header: HeaderName, algorithm: PublicKeyAlgorithm) -> Self {
        Self::at(Some(header), None, algorithm)
            .with_encoding(Encoding::Base64)
            .with_key_encoding(KeyEncoding::Pem)
    }

    /// What is signed with what, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        self.view(AnyAlgorithm::PublicKey(self.algorithm))
            .describe()
    }
}

impl<A> SignedScheme<A> {
    fn at(header: Option<HeaderName>, field: Option<String>, algorithm: A) -> Self {
        Self {
            header,
            field,
            algorithm,
            encoding: Encoding::default(),
            prefix: Prefix::default(),
            layout: Layout::default(),
            signed: body_only(),
            timestamp: None,
            key: KeyForm::default(),
            key_id: None,
        }
    }

    /// Replaces the algorithm.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: A) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Replaces the signature's encoding.
    #[must_use]
    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Requires this text before each signature.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Prefix::Required(prefix.into());
        self
    }

    /// Takes this text off a signature where it stands there.
    #[must_use]
    pub fn with_optional_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Prefix::Optional(prefix.into());
        self
    }

    /// Reads the header as `name=value` fields, of which those named
    /// `signature` are signatures.
    #[must_use]
    pub fn with_fields(mut self, separator: char, signature: impl Into<String>) -> Self {
        self.layout = Layout::Fields {
            separator,
            signature: signature.into(),
        };
        self
    }

    /// Reads the header as a list of signatures.
    #[must_use]
    pub fn with_list(mut self, separator: char) -> Self {
        self.layout = Layout::List { separator };
        self
    }

    /// Replaces what is signed. The default is the body alone, of a plain
    /// digest behind the secret.
    #[must_use]
    pub fn with_signed(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.signed = parts.into_iter().collect();
        self
    }

    /// Says where the signed timestamp stands.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: SignedTimestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Replaces the encoding of secrets. The default is their text itself, and
    /// PEM for a public key.
    #[must_use]
    pub fn with_key_encoding(mut self, encoding: KeyEncoding) -> Self {
        self.key.encoding = encoding;
        self
    }

    /// Refuses keys shorter or longer than the provider's own.
    #[must_use]
    pub fn with_key_bytes(mut self, min: usize, max: Option<usize>) -> Self {
        self.key.min_bytes = Some(min);
        self.key.max_bytes = max;
        self
    }

    /// Names the header in which the provider says which key it used. A secret
    /// that has a label is then tried only where the label is that header's
    /// value; one without a label always is.
    #[must_use]
    pub fn with_key_id(mut self, header: HeaderName) -> Self {
        self.key_id = Some(header);
        self
    }

    /// How a signature is written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What stands before each signature.
    #[must_use]
    pub const fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// How the signatures lie in their header.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What is signed, in order.
    #[must_use]
    pub fn signed(&self) -> &[Part] {
        &self.signed
    }

    /// How a secret's text becomes a key.
    #[must_use]
    pub const fn key(&self) -> &KeyForm {
        &self.key
    }

    pub(crate) fn view(&self, algorithm: AnyAlgorithm) -> Signed<'_> {
        Signed {
            header: self.header.as_ref(),
            field: self.field.as_deref(),
            algorithm,
            encoding: self.encoding,
            prefix: &self.prefix,
            layout: &self.layout,
            parts: &self.signed,
            timestamp: self.timestamp.as_ref(),
            key: &self.key,
            key_id: self.key_id.as_ref(),
        }
    }
}

/// A signing scheme of any family, for what does not depend on the family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'s> {
    pub(crate) header: Option<&'s HeaderName>,
    pub(crate) field: Option<&'s str>,
    pub(crate) algorithm: AnyAlgorithm,
    pub(crate) encoding: Encoding,
    pub(crate) prefix: &'s Prefix,
    pub(crate) layout: &'s Layout,
    pub(crate) parts: &'s [Part],
    pub(crate) timestamp: Option<&'s SignedTimestamp>,
    pub(crate) key: &'s KeyForm,
    pub(crate) key_id: Option<&'s HeaderName>,
}

impl Signed<'_> {
    pub(crate) fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    /// The JSON pointers at which it reads the body.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &str> {
        let timestamp = self
            .timestamp
            .and_then(|timestamp| timestamp.place.pointer());
        let parts = self.parts.iter().filter_map(Part::pointer);
        self.field.into_iter().chain(timestamp).chain(parts)
    }

    /// Whether a header's value is signed and nothing can move out of it.
    pub(super) fn covers_header(&self, name: &HeaderName) -> bool {
        let mut parts = self.parts.iter().enumerate();
        parts.any(|(index, part)| match part {
            Part::Header(signed) => signed == name && self.is_delimited(index),
            Part::Timestamp => matches!(
                self.timestamp.map(SignedTimestamp::place),
                Some(TimestampPlace::Header(signed)) if signed == name
            ),
            _ => false,
        })
    }

    /// Whether what lies at a JSON pointer is signed. A form is signed as one row
    /// of names and values, in which characters could move from one to the next.
    pub(super) fn covers_field(&self, pointer: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Body => true,
            Part::Field(signed) | Part::OptionalField(signed) => signed == pointer,
            _ => false,
        })
    }

    /// Whether a part has fixed text, or nothing, on both sides.
    fn is_delimited(&self, index: usize) -> bool {
        let fixed = |neighbour: Option<&Part>| match neighbour {
            None => true,
            Some(Part::Literal(text)) => !text.is_empty(),
            Some(_) => false,
        };
        let before = index.checked_sub(1).and_then(|at| self.parts.get(at));
        fixed(before) && fixed(self.parts.get(index.saturating_add(1)))
    }

    pub(super) fn describe(&self) -> String {
        let parts: Vec<_> = self.parts.iter().map(ToString::to_string).collect();
        format!("{} over {}", self.algorithm.label(), parts.join(" + "))
    }
}
