//! What can be said of a request before its body is read.

use std::{fmt, ops::Range, time::SystemTime};

use http::{HeaderMap, HeaderName};

use super::{HmacScheme, Part, Scheme, TokenScheme, candidates::Candidates};
use crate::{Rejection, RejectionKind, mac::blind, timestamp::TimestampPlace};

/// A request whose headers look right: the signature is there once, has the
/// form of one, and is fresh. Whether it matches is not known yet.
#[derive(Clone)]
pub struct Screened {
    pub(crate) candidates: Candidates,
    pub(crate) signed_at: Option<SystemTime>,
    /// Where the timestamp's text lies in the header that holds it.
    timestamp: Range<usize>,
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
        match self {
            Self::Hmac(scheme) => scheme.screen(headers, now),
            Self::Token(scheme) => scheme.screen(headers),
        }
        .map_err(Rejection::from)
    }
}

impl HmacScheme {
    fn screen(&self, headers: &HeaderMap, now: SystemTime) -> Result<Screened, RejectionKind> {
        let header = single(headers, &self.header)?;
        let place = self.timestamp.as_ref().map(|timestamp| &timestamp.place);
        let field = match place {
            Some(TimestampPlace::Field(field)) => Some(field.as_str()),
            _ => None,
        };
        let fields = self.fields(header, field)?;
        for part in &self.signed {
            if let Part::Header(name) = part {
                single(headers, name)?;
            }
        }
        let mut screened = Screened {
            candidates: fields.candidates,
            signed_at: None,
            timestamp: 0..0,
        };
        let Some(timestamp) = &self.timestamp else {
            return Ok(screened);
        };
        let text = match &timestamp.place {
            TimestampPlace::Field(_) => {
                let text = fields.timestamp.ok_or(RejectionKind::TimestampMissing)?;
                screened.timestamp = position(header, text);
                text
            }
            TimestampPlace::Header(name) => single(headers, name).map_err(|kind| match kind {
                RejectionKind::SignatureMissing => RejectionKind::TimestampMissing,
                other => other,
            })?,
        };
        screened.signed_at = Some(timestamp.check(text, now)?);
        Ok(screened)
    }

    /// The timestamp's text exactly as it is signed.
    pub(crate) fn timestamp_text<'h>(
        &self,
        headers: &'h HeaderMap,
        screened: &Screened,
    ) -> &'h [u8] {
        let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
        match self.timestamp.as_ref().map(|timestamp| &timestamp.place) {
            None => None,
            Some(TimestampPlace::Header(name)) => value(name),
            Some(TimestampPlace::Field(_)) => {
                value(&self.header).and_then(|header| header.get(screened.timestamp.clone()))
            }
        }
        .unwrap_or_default()
    }
}

impl TokenScheme {
    fn screen(&self, headers: &HeaderMap) -> Result<Screened, RejectionKind> {
        let header = single(headers, &self.header)?;
        let token = self
            .prefix
            .strip(header)
            .filter(|token| !token.is_empty())
            .ok_or(RejectionKind::SignatureMalformed)?;
        Ok(Screened {
            candidates: Candidates::one(blind(token)),
            signed_at: None,
            timestamp: 0..0,
        })
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
fn position(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}
