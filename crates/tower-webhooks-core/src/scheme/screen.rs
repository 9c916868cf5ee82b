//! What can be said of a request before its body is read.

use std::{fmt, ops::Range, time::SystemTime};

use http::{HeaderMap, HeaderName};

use super::{Part, Scheme, Signed, TokenScheme, candidates::Candidates};
use crate::{Rejection, RejectionKind, mac::blind, timestamp::TimestampPlace};

/// A request whose headers look right: the signature is there once, has the
/// form of one, and is fresh. Whether it matches is not known yet.
///
/// Of a provider that signs in the body, or not at all in a header, nothing of
/// that can be said before the body is there.
#[derive(Clone)]
pub struct Screened {
    /// Nothing where the signature stands in the body.
    pub(crate) candidates: Option<Candidates>,
    pub(crate) signed_at: Option<SystemTime>,
    /// Where the timestamp's text lies in the header that holds it.
    timestamp: Range<usize>,
}

impl Screened {
    /// Not `Default`, which anybody could call: only screening makes one.
    const fn nothing() -> Self {
        Self {
            candidates: None,
            signed_at: None,
            timestamp: 0..0,
        }
    }
}

impl fmt::Debug for Screened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screened")
            .field("signed_at", &self.signed_at)
            .finish_non_exhaustive()
    }
}

impl Scheme {
    /// Refuses a request that cannot be authentic, by its headers alone.
    pub(crate) fn screen(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Screened, Rejection> {
        match (self, self.signed()) {
            (Self::Token(scheme), _) => scheme.screen(headers),
            (_, Some(signed)) => signed.screen(headers, now),
            (_, None) => Ok(Screened::nothing()),
        }
        .map_err(Rejection::from)
    }
}

impl Signed<'_> {
    fn screen(&self, headers: &HeaderMap, now: SystemTime) -> Result<Screened, RejectionKind> {
        let mut screened = Screened::nothing();
        let place = self.timestamp.map(|timestamp| &timestamp.place);
        let field = match place {
            Some(TimestampPlace::Field(field)) => Some(field.as_str()),
            _ => None,
        };
        let mut in_field = None;
        if let Some(name) = self.header {
            let header = single(headers, name)?;
            let fields = self.fields(header, field)?;
            screened.candidates = Some(fields.candidates);
            if let Some(text) = fields.timestamp {
                screened.timestamp = position(header, text);
                in_field = Some(text);
            }
        }
        for part in self.parts {
            if let Part::Header(name) = part {
                single(headers, name)?;
            }
        }
        if let Some(name) = self.key_id {
            single(headers, name)?;
        }
        let Some(timestamp) = self.timestamp else {
            return Ok(screened);
        };
        let text = match &timestamp.place {
            TimestampPlace::Field(_) => in_field.ok_or(RejectionKind::TimestampMissing)?,
            TimestampPlace::Header(name) => single(headers, name).map_err(|kind| match kind {
                RejectionKind::SignatureMissing => RejectionKind::TimestampMissing,
                other => other,
            })?,
            TimestampPlace::Pointer(_) => return Ok(screened),
        };
        screened.signed_at = Some(timestamp.check(text, now)?);
        Ok(screened)
    }

    /// The timestamp's text exactly as it is signed, where a header holds it.
    pub(crate) fn timestamp_text<'h>(
        &self,
        headers: &'h HeaderMap,
        screened: &Screened,
    ) -> &'h [u8] {
        let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        match self.timestamp.map(|timestamp| &timestamp.place) {
            None | Some(TimestampPlace::Pointer(_)) => None,
            Some(TimestampPlace::Header(name)) => value(name),
            Some(TimestampPlace::Field(_)) => self
                .header
                .and_then(value)
                .and_then(|header| header.get(screened.timestamp.clone())),
        }
        .unwrap_or_default()
    }
}

impl TokenScheme {
    fn screen(&self, headers: &HeaderMap) -> Result<Screened, RejectionKind> {
        let Some(name) = &self.header else {
            return Ok(Screened::nothing());
        };
        let candidates = self.candidate(single(headers, name)?)?;
        Ok(Screened {
            candidates: Some(candidates),
            ..Screened::nothing()
        })
    }

    /// What the text that holds the token claims.
    pub(crate) fn candidate(&self, text: &[u8]) -> Result<Candidates, RejectionKind> {
        self.prefix
            .strip(text)
            .filter(|token| !token.is_empty())
            .map(|token| Candidates::token(blind(token)))
            .ok_or(RejectionKind::SignatureMalformed)
    }
}

/// The value of a header that must stand in the request exactly once: of two,
/// one could be checked and the other one used.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], RejectionKind> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(RejectionKind::SignatureMissing)?;
    if values.next().is_some() {
        return Err(RejectionKind::SignatureRepeated);
    }
    Ok(value.as_bytes())
}

/// Where a part lies in the whole that it was cut from.
pub(crate) fn position(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}
