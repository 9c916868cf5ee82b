//! The signatures that a header or a field of the body claims.

use super::{Layout, Signed, algorithm::SignatureLength};
use crate::{
    RejectionKind,
    encoding::{Claim, Digest},
};

/// How many signatures one header may hold: a rotation needs two.
const MAX_CANDIDATES: usize = 8;

/// One signature without allocation; more only where a header holds more.
#[derive(Clone)]
pub(crate) struct Candidates {
    first: Claim,
    others: Vec<Claim>,
}

impl Candidates {
    pub(crate) const fn token(token: Digest) -> Self {
        Self::one(Claim::Short(token))
    }

    const fn one(first: Claim) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// What a scheme asks of the text that holds the signature.
pub(crate) struct Fields<'h> {
    pub(crate) candidates: Candidates,
    pub(crate) timestamp: Option<&'h [u8]>,
}

impl Signed<'_> {
    /// Takes the text apart. `timestamp_field` names the field that dates
    /// the signature, if one does.
    pub(crate) fn fields<'h>(
        &self,
        header: &'h [u8],
        timestamp_field: Option<&str>,
    ) -> Result<Fields<'h>, RejectionKind> {
        let malformed = RejectionKind::SignatureMalformed;
        let mut found = Found::default();
        let mut timestamp = None;
        match self.layout {
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

    fn digest(&self, text: &[u8]) -> Option<Claim> {
        match self.algorithm.signature_length() {
            SignatureLength::Exactly(bytes) => {
                self.encoding.decode_digest(text, bytes).map(Claim::Short)
            }
            SignatureLength::Between(min, max) => self
                .encoding
                .decode_signature(text, min..=max)
                .map(Claim::Long),
        }
    }
}

/// Counts every entry, matching or not, against the same bound.
#[derive(Default)]
struct Found {
    candidates: Option<Candidates>,
    entries: usize,
}

impl Found {
    fn push(&mut self, digest: Claim) -> Result<(), RejectionKind> {
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
