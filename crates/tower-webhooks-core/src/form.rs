//! `application/x-www-form-urlencoded`, as bytes and as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::percent_decode;

use crate::{Text, Unusable};

/// The most fields that one form may have: more than any provider sends, few
/// enough that sorting them costs nothing.
const MAX_FIELDS: usize = 1_000;

/// One field: its name and its value, decoded.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// The fields in their order; nothing where there are too many.
pub(crate) fn fields(body: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    for field in body.split(|byte| *byte == b'&') {
        if field.is_empty() {
            continue;
        }
        if found.len() >= MAX_FIELDS {
            return None;
        }
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default());
        let value = decode(halves.next().unwrap_or_default());
        found.push((name, value));
    }
    Some(found)
}

/// The fields as a form is signed: sorted and each once, names and values in one row.
/// Nothing where there are too many.
pub(crate) fn row(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = fields(body)?;
    fields.sort_unstable();
    fields.dedup();
    let texts = fields.into_iter().flat_map(|(name, value)| [name, value]);
    Some(texts.flatten().collect())
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

/// The fields as a JSON object of text, in the order of their names; a name
/// that stands there several times has a list. Nothing where a name or a value
/// is no text in UTF-8.
pub(crate) fn to_json(body: &[u8]) -> Option<Bytes> {
    let mut object: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in fields(body)? {
        let (name, value) = (
            String::from_utf8(name).ok()?,
            String::from_utf8(value).ok()?,
        );
        object.entry(name).or_default().push(value);
    }
    let object: BTreeMap<&String, serde_json::Value> = object
        .iter()
        .map(|(name, values)| match values.as_slice() {
            [value] => (name, value.as_str().into()),
            values => (name, values.into()),
        })
        .collect();
    serde_json::to_vec(&object).ok().map(Bytes::from)
}

/// The text of the one field of that name, which holds a whole document.
pub(crate) fn document(body: &[u8], name: &str) -> Result<Text, Unusable> {
    let fields = fields(body).ok_or(Unusable::NotAForm)?.into_iter();
    let mut values = fields.filter(|(field, _)| field == name.as_bytes());
    let (_, value) = values.next().ok_or(Unusable::NotJson)?;
    if values.next().is_some() {
        return Err(Unusable::DuplicateField);
    }
    Text::from_utf8(value.into()).ok_or(Unusable::NotJson)
}

/// The value of a field of a query that stands there once; nothing where it is
/// absent, stands there twice, or is no text.
pub(crate) fn single(query: &str, name: &str) -> Option<Text> {
    let mut values = fields(query.as_bytes())?
        .into_iter()
        .filter(|(field, _)| field == name.as_bytes());
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    String::from_utf8(value).ok().map(Text::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_an_object_of_text() {
        let json = to_json(b"To=%2B1+5&Body=a%3Db=c&&Empty=&Bare&x=1&x=%C3%A9").unwrap();
        assert_eq!(
            json,
            r#"{"Bare":"","Body":"a=b=c","Empty":"","To":"+1 5","x":["1","é"]}"#
        );
        assert_eq!(to_json(b"").unwrap(), "{}");
        assert!(to_json(b"x=%ff").is_none(), "no text");
    }

    #[test]
    fn a_form_has_a_thousand_fields_and_no_more() {
        let form = |fields| "a=1&".repeat(fields);
        assert!(fields(form(1_000).as_bytes()).is_some());
        assert!(fields(form(1_001).as_bytes()).is_none());
    }

    #[test]
    fn a_document_is_the_text_of_the_one_field_of_its_name() {
        let document = |body: &str| document(body.as_bytes(), "payload");
        let found = document("a=1&payload=%7B%22x%22%3A%22%C3%A9+%2B%22%7D").unwrap();
        assert_eq!(found, r#"{"x":"é +"}"#);
        for (body, expected) in [
            ("", Unusable::NotJson),
            ("Payload=%7B%7D", Unusable::NotJson),
            ("payload=%ff", Unusable::NotJson),
            ("payload=%7B%7D&payload=%7B%7D", Unusable::DuplicateField),
            ("payload=%7B%7D&pay%6coad=1", Unusable::DuplicateField),
        ] {
            assert_eq!(document(body), Err(expected), "{body}");
        }
        let many = "a=1&".repeat(1_001);
        assert_eq!(document(&many), Err(Unusable::NotAForm));
    }

    #[test]
    fn a_field_of_a_query_counts_only_if_it_stands_there_once() {
        assert_eq!(single("a=1&b=x%20y", "b").unwrap(), "x y");
        for query in ["a=1", "b=1&b=1", "b=%ff", ""] {
            assert_eq!(single(query, "b"), None, "{query}");
        }
    }
}
