//! What is signed, put together out of a request: once for both sides.

use std::borrow::Cow;

use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Part, Signed, UrlForm};
use crate::{
    RejectionKind, Unusable, form,
    mac::same,
    pointers::{Pointers, Slots, Value},
};

/// A request as its signature sees it.
pub(crate) struct Message<'m> {
    pub(crate) method: &'m str,
    pub(crate) url: UrlText<'m>,
    pub(crate) headers: &'m HeaderMap,
    pub(crate) body: &'m [u8],
    pub(crate) timestamp: &'m [u8],
    pub(crate) fields: &'m BodyFields<'m>,
    /// The form's fields in the order in which they are signed.
    pub(crate) form: &'m [u8],
}

impl Message<'_> {
    /// Hands over the signed bytes, part by part; the body is never copied.
    pub(crate) fn feed(&self, parts: &[Part], secret: &[u8], mut to: impl FnMut(&[u8])) {
        for part in parts {
            match part {
                Part::Body => to(self.body),
                Part::Field(pointer) | Part::OptionalField(pointer) => {
                    to(self.fields.text(pointer).unwrap_or_default().as_bytes());
                }
                Part::Form { .. } => to(self.form),
                Part::Header(name) => {
                    let value = self.headers.get(name);
                    to(value.map(http::HeaderValue::as_bytes).unwrap_or_default());
                }
                Part::Literal(text) => to(text.as_bytes()),
                Part::Method => to(self.method.as_bytes()),
                Part::Secret => to(secret),
                Part::Timestamp => to(self.timestamp),
                Part::Url | Part::UrlAs(_) => {
                    to(self.url.base.as_bytes());
                    if let Some(query) = self.url.query {
                        to(b"?");
                        to(query.as_bytes());
                    }
                }
            }
        }
    }
}

/// The URL that was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UrlText<'m> {
    pub(crate) base: &'m str,
    pub(crate) query: Option<&'m str>,
}

impl UrlText<'_> {
    /// The other ways in which the provider may have written it, where there
    /// are any: at most three.
    pub(crate) fn others(&self, parts: &[Part]) -> Vec<String> {
        let form = parts.iter().find_map(|part| match part {
            Part::UrlAs(form) => Some(*form),
            _ => None,
        });
        let mut others = Vec::new();
        let Some(form) = form else {
            return others;
        };
        let whole = match self.query {
            Some(query) => format!("{}?{query}", self.base),
            None => self.base.to_owned(),
        };
        match form {
            UrlForm::Unescaped => others.push(unescaped(&whole)),
            UrlForm::WithOrWithoutPort => {
                others.extend(with_or_without_port(&whole));
                let quoted: Vec<_> = others
                    .iter()
                    .chain([&whole])
                    .map(|url| quoted_query(url))
                    .collect();
                others.extend(quoted);
            }
        }
        others.retain(|other| *other != whole);
        others.dedup();
        others
    }
}

/// Takes the port off, or adds the one that the scheme has anyway.
fn with_or_without_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let host_at = authority.rfind('@').map_or(0, |at| at.saturating_add(1));
    let host = authority.get(host_at..)?;
    let colon = host.rfind(':').filter(|at| {
        let port = host.get(at.saturating_add(1)..).unwrap_or_default();
        port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let other = match colon {
        Some(colon) => authority.get(..host_at.checked_add(colon)?)?.to_owned(),
        None => {
            let port = if scheme == "https" { 443 } else { 80 };
            format!("{authority}:{port}")
        }
    };
    Some(format!("{scheme}://{other}{path}"))
}

fn quoted_query(url: &str) -> String {
    match url.split_once('?') {
        Some((base, query)) => format!("{base}?{}", query.replace('\'', "%27")),
        None => url.to_owned(),
    }
}

/// Undoes the escapes that HubSpot names, and no others.
fn unescaped(url: &str) -> String {
    const ESCAPES: [(&str, &str); 12] = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%3F", "?"),
        ("%40", "@"),
        ("%21", "!"),
        ("%24", "$"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%2C", ","),
        ("%3B", ";"),
    ];
    let mut text = url.to_owned();
    for (escape, plain) in ESCAPES {
        text = text
            .replace(escape, plain)
            .replace(&escape.to_ascii_lowercase(), plain);
    }
    text
}

/// The fields of the body that a scheme reads.
#[derive(Default)]
pub(crate) struct BodyFields<'b> {
    pointers: Pointers,
    slots: Slots<'b>,
}

impl<'b> BodyFields<'b> {
    /// Reads what the scheme asks for; of most schemes nothing.
    pub(crate) fn read(signed: &Signed<'_>, body: &'b [u8]) -> Result<Self, RejectionKind> {
        let mut fields = Self::default();
        for pointer in signed.pointers() {
            fields
                .pointers
                .add(pointer)
                .map_err(|_| RejectionKind::SignatureMissing)?;
        }
        if fields.pointers.is_empty() {
            return Ok(fields);
        }
        let json = std::str::from_utf8(body).map_err(|_| RejectionKind::SignatureMissing)?;
        match fields.pointers.find(json, &mut fields.slots) {
            Ok(()) => {}
            Err(Unusable::DuplicateField) => return Err(RejectionKind::SignatureRepeated),
            Err(_) => return Err(RejectionKind::SignatureMissing),
        }
        for part in signed.parts {
            let found = part.pointer().map(|pointer| fields.text(pointer));
            match (part, found) {
                (Part::Field(_), Some(None)) => return Err(RejectionKind::SignatureMissing),
                (Part::OptionalField(pointer), Some(None)) if fields.holds_more(pointer) => {
                    return Err(RejectionKind::SignatureMalformed);
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// The text at a pointer; numbers, `true` and `false` as they are written.
    pub(crate) fn text(&self, pointer: &str) -> Option<Cow<'b, str>> {
        let raw = self.raw(pointer)?;
        match Value::of(raw) {
            Value::Text(text) => Some(text),
            Value::Nothing => None,
            Value::Other => {
                let scalar = !raw.get().starts_with(['{', '[', '"']);
                scalar.then(|| Cow::Borrowed(raw.get()))
            }
        }
    }

    /// Whether an object or a list stands where a text should.
    fn holds_more(&self, pointer: &str) -> bool {
        self.raw(pointer)
            .is_some_and(|raw| Value::of(raw) == Value::Other)
    }

    fn raw(&self, pointer: &str) -> Option<&'b RawValue> {
        let slot = self.pointers.slot(pointer)?;
        self.slots.get(slot).copied().flatten()
    }
}

/// What a form's fields contribute to what is signed; nothing where the scheme
/// signs no form.
pub(crate) fn signed_form(
    parts: &[Part],
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, RejectionKind> {
    let digest_field = parts.iter().find_map(|part| match part {
        Part::Form { body_digest } => Some(body_digest),
        _ => None,
    });
    let Some(digest_field) = digest_field else {
        return Ok(Vec::new());
    };
    // Where the URL names the body's digest, it stands for the fields.
    let claimed = query.and_then(|query| form::single(query, digest_field));
    if let Some(claimed) = claimed {
        let claimed = crate::encoding::Encoding::Hex
            .decode_digest(claimed.as_bytes(), 32)
            .ok_or(RejectionKind::SignatureMalformed)?;
        let computed = crate::encoding::Digest::new(&Sha256::digest(body));
        return match same(&claimed, &computed) {
            true => Ok(Vec::new()),
            false => Err(RejectionKind::SignatureMismatch),
        };
    }
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if !is_form(headers) {
        return Err(RejectionKind::SignatureMissing);
    }
    // Nothing between two separators is signed, however often it stands there.
    if body.split(|byte| *byte == b'&').any(<[u8]>::is_empty) {
        return Err(RejectionKind::SignatureMismatch);
    }
    form::row(body).ok_or(RejectionKind::SignatureMismatch)
}

fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &str = "application/x-www-form-urlencoded";
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.to_str().unwrap_or_default().split(';').next();
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FORM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(url: &str, form: UrlForm) -> Vec<String> {
        let (base, query) = match url.split_once('?') {
            Some((base, query)) => (base, Some(query)),
            None => (url, None),
        };
        UrlText { base, query }.others(&[Part::UrlAs(form)])
    }

    #[test]
    fn a_url_is_also_tried_without_its_port_or_with_the_usual_one() {
        let port = UrlForm::WithOrWithoutPort;
        assert_eq!(others("https://a.b/c?d=1", port), ["https://a.b:443/c?d=1"]);
        assert_eq!(others("http://u:p@a.b:81/c", port), ["http://u:p@a.b/c"]);
        assert_eq!(others("http://[::1]", port), ["http://[::1]:80"]);
        assert_eq!(
            others("https://a.b/c?d='", port),
            [
                "https://a.b:443/c?d='",
                "https://a.b:443/c?d=%27",
                "https://a.b/c?d=%27"
            ]
        );
    }

    #[test]
    fn only_the_escapes_that_hubspot_names_are_undone() {
        assert_eq!(
            others("https://a.b/%3A%2fx%20y%26?q=%40", UrlForm::Unescaped),
            ["https://a.b/:/x%20y%26?q=@"]
        );
        assert!(others("https://a.b/", UrlForm::Unescaped).is_empty());
    }

    #[test]
    fn an_exact_url_has_one_form() {
        let url = UrlText {
            base: "https://a.b:443/%3A",
            query: None,
        };
        assert!(url.others(&[Part::Url, Part::Body]).is_empty());
    }
}
