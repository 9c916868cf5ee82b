//! Forms that were parsed and written again.

use crate::{explain::json::Json, form};

/// What to change.
pub(super) const ADVICE: &str = "what was signed is the same form in another spelling: it was \
     parsed and written again. Verify the raw bytes, before anything parses them";

/// One way to write a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelling {
    /// What a space becomes.
    space: &'static str,
    /// What stays as it is, besides letters and digits.
    kept: &'static [u8],
    hex: fn(u8) -> String,
    sorted: bool,
}

/// As browsers do, and as RFC 3986 has it.
const KEPT: [&[u8]; 2] = [b"*-._", b"-._~"];

pub(super) fn all() -> impl Iterator<Item = Spelling> {
    let spellings = [false, true].into_iter().flat_map(|sorted| {
        ["+", "%20"]
            .into_iter()
            .flat_map(move |space| KEPT.into_iter().map(move |kept| (sorted, space, kept)))
    });
    spellings.flat_map(|(sorted, space, kept)| {
        [upper as fn(u8) -> String, lower].map(|hex| Spelling {
            space,
            kept,
            hex,
            sorted,
        })
    })
}

fn upper(byte: u8) -> String {
    format!("%{byte:02X}")
}

fn lower(byte: u8) -> String {
    format!("%{byte:02x}")
}

impl Spelling {
    /// The form, or the flat JSON object that was made of one, in this spelling.
    pub(super) fn write(self, body: &[u8]) -> Option<Vec<u8>> {
        let mut fields = match from_json(body) {
            Some(fields) => fields,
            None if body.contains(&b'=') && !body.starts_with(b"{") => form::fields(body)?,
            None => return None,
        };
        if self.sorted {
            fields.sort();
        }
        let fields = fields.iter().map(|(name, value)| {
            let (name, value) = (self.escaped(name), self.escaped(value));
            format!("{name}={value}")
        });
        Some(fields.collect::<Vec<_>>().join("&").into_bytes())
    }

    fn escaped(self, text: &[u8]) -> String {
        let mut written = String::with_capacity(text.len());
        for byte in text {
            match byte {
                b' ' => written.push_str(self.space),
                byte if byte.is_ascii_alphanumeric() || self.kept.contains(byte) => {
                    written.push(char::from(*byte));
                }
                byte => written.push_str(&(self.hex)(*byte)),
            }
        }
        written
    }
}

fn from_json(body: &[u8]) -> Option<Vec<form::Field>> {
    let Json::Object(fields) = Json::read(body)? else {
        return None;
    };
    let fields = fields.into_iter().map(|(name, value)| {
        let value = match value {
            Json::Text(text) => text,
            Json::Other(raw) if raw != "null" => raw,
            _ => return None,
        };
        Some((name.into_bytes(), value.into_bytes()))
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_written_in_every_usual_way() {
        let form = b"b=x+y%2az&a=%c3%a9~";
        let written: Vec<_> = all()
            .map(|spelling| String::from_utf8(spelling.write(form).unwrap()).unwrap())
            .collect();
        for expected in [
            "b=x+y*z&a=%C3%A9%7E",
            "b=x%20y%2Az&a=%C3%A9~",
            "a=%c3%a9%7e&b=x+y*z",
        ] {
            assert!(written.iter().any(|text| text == expected), "{expected}");
        }
    }

    #[test]
    fn a_flat_object_is_a_form_and_anything_else_is_none() {
        let first = |body: &[u8]| all().next().unwrap().write(body);
        assert_eq!(first(br#"{"a":"1 2","b":3}"#).unwrap(), b"a=1+2&b=3");
        assert_eq!(first(br#"{"a":{}}"#), None);
        assert_eq!(first(b"[1]"), None);
    }
}
