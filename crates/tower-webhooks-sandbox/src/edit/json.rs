//! Edits of a JSON text.

use std::{collections::BTreeMap, ops::Range};

use serde_json::value::RawValue;

/// What stands for every element of a list in a pointer.
const EACH: &str = "*";

/// Where in the text the values at a JSON pointer (RFC 6901) stand, in order. A
/// `*` in it stands for every element of a list.
pub(crate) fn spans(text: &str, pointer: &str) -> Vec<Range<usize>> {
    let Ok(whole) = serde_json::from_str::<&RawValue>(text) else {
        return Vec::new();
    };
    let mut values = vec![whole];
    for token in pointer.split('/').skip(1) {
        values = values
            .into_iter()
            .flat_map(|value| inside(value, token))
            .collect();
    }
    let span = |value: &RawValue| {
        let start = value.get().as_ptr().addr() - text.as_ptr().addr();
        start..start + value.get().len()
    };
    values.into_iter().map(span).collect()
}

fn inside<'t>(value: &'t RawValue, token: &str) -> Vec<&'t RawValue> {
    if value.get().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        if token == EACH {
            return items;
        }
        let index = token.parse::<usize>().ok();
        return index
            .and_then(|index| items.get(index).copied())
            .into_iter()
            .collect();
    }
    let token = token.replace("~1", "/").replace("~0", "~");
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(value.get()).unwrap_or_default();
    members.get(&token).copied().into_iter().collect()
}

/// The text with other values at a pointer. Nothing where there are none, or
/// one of them gets none.
pub(crate) fn replaced(
    text: &str,
    pointer: &str,
    mut new: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    let spans = spans(text, pointer);
    let mut edited = (!spans.is_empty()).then(|| text.to_owned())?;
    // From the end, so that what is still to come keeps its place.
    for span in spans.into_iter().rev() {
        let value = new(text.get(span.clone())?)?;
        edited.replace_range(span, &value);
    }
    Some(edited)
}

/// The text with one more member at the end of every object at a pointer,
/// whatever stands there already. Nothing where something else than objects
/// stands there.
pub(crate) fn with_member(
    text: &str,
    pointer: &str,
    name: &str,
    mut value: impl FnMut() -> String,
) -> Option<String> {
    replaced(text, pointer, |object| {
        let open = object.strip_suffix('}')?;
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
        let comma = if members.is_empty() { "" } else { "," };
        let name = serde_json::Value::from(name);
        Some(format!("{open}{comma}{name}:{}}}", value()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_other_bytes_stay_as_they_are() {
        let text = "{ \"meta/x\":[{\"id\" : 1}, {\"id\":22}],\n \"é\":1.50 }\n";
        let to_text = |old: &str| Some(format!("\"{old}\""));
        let edited = replaced(text, "/meta~1x/*/id", to_text).unwrap();
        assert_eq!(
            edited,
            "{ \"meta/x\":[{\"id\" : \"1\"}, {\"id\":\"22\"}],\n \"é\":1.50 }\n"
        );
        let edited = replaced(text, "/meta~1x/1/id", to_text).unwrap();
        assert!(edited.contains("1}, {\"id\":\"22\"}"), "{edited}");
        assert_eq!(replaced(text, "/none", to_text), None);
        assert_eq!(replaced("no json", "", to_text), None);
    }

    #[test]
    fn a_member_is_added_to_objects_alone() {
        let added = |text, pointer| with_member(text, pointer, "a", || "1".to_owned());
        assert_eq!(added("{}\n", "").unwrap(), "{\"a\":1}\n");
        assert_eq!(added("{\"a\":2 }", "").unwrap(), "{\"a\":2 ,\"a\":1}");
        assert_eq!(
            added("[{},{\"b\":{}}]", "/*").unwrap(),
            "[{\"a\":1},{\"b\":{},\"a\":1}]"
        );
        for (text, pointer) in [("[]", ""), ("7", ""), ("no json", ""), ("{\"b\":1}", "/b")] {
            assert_eq!(added(text, pointer), None, "{text}");
        }
    }
}
