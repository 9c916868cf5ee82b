//! The digests that a header claims.

use super::{HmacScheme, Layout, Prefix};
use crate::{RejectionKind, encoding::Digest};

/// How many digests one header may hold: a rotation needs two.
const MAX_CANDIDATES: usize = 8;

/// One digest without allocation; more only where a header holds more.
#[derive(Clone)]
pub(crate) struct Candidates {
    first: Digest,
    others: Vec<Digest>,
}

impl Candidates {
    pub(crate) const fn one(first: Digest) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Prefix {
    /// The text behind the prefix; nothing where a required one is missing.
    pub(crate) fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        match self {
            Self::None => Some(text),
            Self::Optional(prefix) => Some(text.strip_prefix(prefix.as_bytes()).unwrap_or(text)),
            Self::Required(prefix) => text.strip_prefix(prefix.as_bytes()),
        }
    }
}

/// The fields of a `name=value` header that a scheme asks for.
pub(crate) struct Fields<'h> {
    pub(crate) candidates: Candidates,
    pub(crate) timestamp: Option<&'h [u8]>,
}

impl HmacScheme {
    /// Takes the header apart. `timestamp_field` names the field that dates
    /// the signature, if one does.
    pub(super) fn fields<'h>(
        &self,
        header: &'h [u8],
        timestamp_field: Option<&str>,
    ) -> Result<Fields<'h>, RejectionKind> {
        let malformed = RejectionKind::SignatureMalformed;
        let mut found = Found::default();
        let mut timestamp = None;
        match &self.layout {
            Layout::Whole => {
                let digest = self.prefix.strip(header).ok_or(malformed)?;
                found.push(self.digest(digest).ok_or(malformed)?)?;
            }
            Layout::List { separator } => {
                for entry in split(header, *separator) {
                    // Another version of the signature, or none at all: only
                    // one of this scheme can match.
                    let Some(digest) = self.prefix.strip(entry) else {
                        found.pass()?;
                        continue;
                    };
                    match self.digest(digest) {
                        Some(digest) => found.push(digest)?,
                        None => found.pass()?,
                    }
                }
            }
            Layout::Fields {
                separator,
                signature,
            } => {
                for entry in split(header, *separator) {
                    let Some((name, value)) = split_once(entry, b'=') else {
                        return Err(malformed);
                    };
                    if name == signature.as_bytes() {
                        match self
                            .prefix
                            .strip(value)
                            .and_then(|value| self.digest(value))
                        {
                            Some(digest) => found.push(digest)?,
                            None => found.pass()?,
                        }
                    } else if timestamp_field.is_some_and(|field| field.as_bytes() == name) {
                        if timestamp.replace(value).is_some() {
                            return Err(malformed);
                        }
                    } else {
                        found.pass()?;
                    }
                }
            }
        }
        Ok(Fields {
            candidates: found.candidates.ok_or(malformed)?,
            timestamp,
        })
    }

    fn digest(&self, text: &[u8]) -> Option<Digest> {
        self.encoding
            .decode_digest(text, self.algorithm.digest_bytes())
    }
}

/// Counts every entry, matching or not, against the same bound.
#[derive(Default)]
struct Found {
    candidates: Option<Candidates>,
    entries: usize,
}

impl Found {
    fn push(&mut self, digest: Digest) -> Result<(), RejectionKind> {
        self.pass()?;
        match &mut self.candidates {
            None => self.candidates = Some(Candidates::one(digest)),
            Some(candidates) => candidates.others.push(digest),
        }
        Ok(())
    }

    fn pass(&mut self) -> Result<(), RejectionKind> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > MAX_CANDIDATES {
            return Err(RejectionKind::SignatureMalformed);
        }
        Ok(())
    }
}

fn split(header: &[u8], separator: char) -> impl Iterator<Item = &[u8]> {
    header.split(move |byte| char::from(*byte) == separator)
}

fn split_once(entry: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = entry.iter().position(|byte| *byte == at)?;
    let (name, rest) = entry.split_at_checked(position)?;
    Some((name, rest.split_first()?.1))
}
