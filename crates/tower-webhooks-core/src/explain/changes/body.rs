//! The body's bytes.

use bytes::Bytes;
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use super::{Change, charset, compression, form};
use crate::{
    explain::{
        Cause,
        case::Case,
        json::{Escapes, Json, Layout, Style},
    },
    provider::Part,
};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// How large a body may be to be written again in every style.
const MAX_REWRITTEN_BYTES: usize = 1024 * 1024;

pub(super) fn changes<'c>(case: &Case) -> Vec<Change<'c>> {
    let Some(signed) = case.signed() else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    if signed
        .parts
        .iter()
        .any(|part| matches!(part, Part::Form { .. }))
    {
        changes.push(content_type());
    }
    if !case.signs_content() {
        return changes;
    }
    changes.extend(line_ends());
    changes.extend(marks());
    for recode in charset::ALL {
        changes.push(Change::new(Cause::Charset, charset::ADVICE, move |case| {
            replaced(case, &recode(&case.body)?)
        }));
    }
    changes.extend(wrapped());
    changes.extend(compressed());
    if signed.has(&Part::Body) && case.body.len() <= MAX_REWRITTEN_BYTES {
        changes.extend(rewritten());
        for restyle in form::all() {
            changes.push(Change::new(
                Cause::FormReencoded,
                form::ADVICE,
                move |case| replaced(case, &restyle.write(&case.body)?),
            ));
        }
    }
    changes
}

/// The case with another body, or nothing where it is the same.
fn replaced(case: &Case, body: &[u8]) -> Option<Case> {
    (case.body != body).then(|| case.with_body(Bytes::copy_from_slice(body)))
}

fn content_type<'c>() -> Change<'c> {
    let advice = "a form is signed by its fields, and the content type says that it is none: \
         hand on the content type application/x-www-form-urlencoded";
    Change::new(Cause::ContentType, advice, |case| {
        let mut form = case.clone();
        let value = HeaderValue::from_static("application/x-www-form-urlencoded");
        form.headers.insert(CONTENT_TYPE, value);
        (form.headers != case.headers).then_some(form)
    })
}

fn line_ends<'c>() -> Vec<Change<'c>> {
    let added = "a line end was added to the body after it was signed: verify the bytes as they \
         came (`--data-binary` with curl, `printf %s`, not `echo`; editors add one to a file)";
    let taken = "a line end at the end of the body was taken off after it was signed: verify the \
         bytes as they came, untrimmed";
    let ends = "the body's line ends were changed after it was signed: verify the bytes as they \
         came, and look for an editor, a version control or a text mode that writes them anew";
    vec![
        Change::new(Cause::TrailingNewline, added, |case| {
            let cut = case.body.strip_suffix(b"\n")?;
            replaced(case, cut.strip_suffix(b"\r").unwrap_or(cut))
        })
        .common(),
        Change::new(Cause::TrailingNewline, added, |case| {
            let mut cut = &*case.body;
            while let Some(less) = cut.strip_suffix(b"\n").or_else(|| cut.strip_suffix(b"\r")) {
                cut = less;
            }
            replaced(case, cut)
        }),
        Change::new(Cause::TrailingNewline, taken, |case| {
            replaced(case, &[&*case.body, b"\n"].concat())
        })
        .common(),
        Change::new(Cause::TrailingNewline, taken, |case| {
            replaced(case, &[&*case.body, b"\r\n"].concat())
        }),
        Change::new(Cause::LineEndings, ends, |case| {
            replaced(case, &one_line_end(&case.body))
        })
        .common(),
        Change::new(Cause::LineEndings, ends, |case| {
            let unix = one_line_end(&case.body);
            let lines: Vec<_> = unix.split(|byte| *byte == b'\n').collect();
            replaced(case, &lines.join(&b"\r\n"[..]))
        })
        .common(),
    ]
}

fn one_line_end(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.iter().copied().peekable();
    let mut written = Vec::with_capacity(body.len());
    while let Some(byte) = bytes.next() {
        if !(byte == b'\r' && bytes.peek() == Some(&b'\n')) {
            written.push(byte);
        }
    }
    written
}

fn marks<'c>() -> Vec<Change<'c>> {
    let added = "a byte order mark stands before the body and was not signed: save and send it \
         as UTF-8 without one";
    let taken = "a byte order mark stood before the body when it was signed and was taken off: \
         verify the bytes as they came, before anything decodes them";
    vec![
        Change::new(Cause::ByteOrderMark, added, |case| {
            replaced(case, case.body.strip_prefix(MARK)?)
        })
        .common(),
        Change::new(Cause::ByteOrderMark, taken, |case| {
            replaced(case, &[MARK, &case.body].concat())
        }),
    ]
}

/// The body within something else, or gone.
fn wrapped<'c>() -> Vec<Change<'c>> {
    let base64 = "the body is in base64, and what it holds was signed: decode it first (a gateway \
         says so with isBase64Encoded)";
    let quoted = "the body is JSON within a JSON text, and what is in that was signed: it was \
         written as JSON twice";
    let quoted_first = "the body was signed as a JSON text that holds it: the sender writes it as \
         JSON twice before it signs";
    let empty = "an empty body was signed, and this one is not empty: the sender signs before it \
         writes its body";
    vec![
        Change::new(Cause::BodyBase64, base64, |case| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let plain = STANDARD.decode(case.body.trim_ascii()).ok()?;
            replaced(case, &plain)
        }),
        Change::new(Cause::BodyReserialised, quoted, |case| {
            let inner: String = serde_json::from_slice(&case.body).ok()?;
            replaced(case, inner.as_bytes())
        }),
        Change::new(Cause::BodyReserialised, quoted_first, |case| {
            let text = std::str::from_utf8(&case.body).ok()?;
            replaced(case, &serde_json::to_vec(text).ok()?)
        }),
        Change::new(Cause::BodyEmpty, empty, |case| replaced(case, b"")),
    ]
}

fn compressed<'c>() -> Vec<Change<'c>> {
    let inflated = "the signature covers the body before it was compressed: inflate it first, or \
         describe the provider so (`Compression::with_signed_bytes`)";
    let deflated = "the signature covers the compressed body, and somebody inflated it on the \
         way: verify it before anything decompresses requests";
    let mut changes = vec![
        Change::new(Cause::Compression, inflated, |case| {
            let mut plain = replaced(case, &compression::inflated(&case.body)?)?;
            plain.headers.remove(CONTENT_ENCODING);
            Some(plain)
        })
        .common(),
    ];
    for writer in compression::WRITERS {
        changes.push(Change::new(Cause::Compression, deflated, move |case| {
            replaced(case, &writer.deflated(&case.body)?)
        }));
    }
    changes
}

/// JSON as the usual writers write it.
fn rewritten<'c>() -> Vec<Change<'c>> {
    let mut changes = Vec::new();
    for sorted in [false, true] {
        for escapes in Escapes::ALL {
            for layout in Layout::ALL {
                for ends_line in [false, true] {
                    let style = Style {
                        layout,
                        escapes,
                        sorted,
                    };
                    let change = restyled(style, ends_line);
                    let is_common = escapes == Escapes::Needed && !ends_line;
                    changes.push(if is_common { change.common() } else { change });
                }
            }
        }
    }
    changes
}

fn restyled<'c>(style: Style, ends_line: bool) -> Change<'c> {
    let end = if ends_line { " and a line end" } else { "" };
    let advice = format!(
        "what was signed is the same JSON written {style}{end}: it was parsed and written again. \
         Verify the raw bytes, before anything parses them; if this is the sender's doing, have \
         it sign the bytes that it sends"
    );
    Change::new(Cause::BodyReserialised, advice, move |case| {
        let mut written = Json::read(&case.body)?.write(style);
        if ends_line {
            written.push('\n');
        }
        replaced(case, written.as_bytes())
    })
}
