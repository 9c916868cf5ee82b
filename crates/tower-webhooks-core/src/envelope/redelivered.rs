//! What a redelivery has too, although it changes some fields.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::{
    pointers::{MAX_SLOTS, Pointers, Slots},
    scheme::screen::position,
};

/// No JSON text begins so: what was cut is never taken for a whole.
const CUT: &[u8] = b"\0cut";

/// The SHA-256 of a JSON text without the values at these pointers: of the bytes
/// before, between and behind them, each piece with its length before it, so that
/// no two texts that differ elsewhere are the same.
///
/// Nothing where none of them is there, and where it cannot be said for certain
/// where they are: in a text that is no JSON object, or has one of them twice. The
/// whole then counts.
pub(super) fn sha256_without(changing: &Pointers, json: &str) -> Option<[u8; 32]> {
    if changing.is_empty() {
        return None;
    }
    let mut slots = Slots::default();
    changing.find(json, &mut slots).ok()?;
    let bytes = json.as_bytes();
    let mut values: [Range<usize>; MAX_SLOTS] = Default::default();
    for (value, raw) in values.iter_mut().zip(slots) {
        if let Some(raw) = raw {
            *value = position(bytes, raw.get().as_bytes());
        }
    }
    values.sort_unstable_by_key(|value| value.start);
    let mut hash = Sha256::new_with_prefix(CUT);
    let mut kept = 0;
    for value in values.iter().filter(|value| !value.is_empty()) {
        // One of them may lie within another.
        if value.start >= kept {
            feed(&mut hash, bytes.get(kept..value.start)?);
            kept = value.end;
        }
    }
    if kept == 0 {
        return None;
    }
    feed(&mut hash, bytes.get(kept..)?);
    Some(hash.finalize().into())
}

fn feed(hash: &mut Sha256, piece: &[u8]) {
    let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
    hash.update(length.to_be_bytes());
    hash.update(piece);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pointers(list: &[&str]) -> Pointers {
        let mut pointers = Pointers::default();
        for pointer in list {
            pointers.add(pointer).unwrap();
        }
        pointers
    }

    fn without(json: &str) -> Option<[u8; 32]> {
        sha256_without(&pointers(&["/n", "/context/again", "/list"]), json)
    }

    const FIRST: &str = r#"{"id":"1","n":1,"context":{"again":false,"by":"x"},"list":[1,{"n":2}]}"#;

    #[test]
    fn what_a_redelivery_changes_does_not_count() {
        let first = without(FIRST);
        assert!(first.is_some());
        for (from, to) in [
            (r#""n":1"#, r#""n":20000"#),
            (r#""n":1"#, r#""n":"one""#),
            ("false", "true"),
            (r#"[1,{"n":2}]"#, "null"),
            (r#"[1,{"n":2}]"#, r#"{"of":{"any":["form"]}}"#),
        ] {
            assert!(FIRST.contains(from), "{from}");
            assert_eq!(without(&FIRST.replacen(from, to, 1)), first, "{to}");
        }
    }

    #[test]
    fn everything_else_counts() {
        let first = without(FIRST);
        for (from, to) in [
            (r#""1""#, r#""2""#),
            (r#""id""#, r#""Id""#),
            (r#""by":"x""#, r#""by":"y""#),
            (r#""n":1"#, r#""n": 1"#),
            (r#""n":1,"#, ""),
            (r#""n":1"#, r#""m":1"#),
            (r#""again":false,"#, ""),
            ("]}", "] }"),
        ] {
            assert!(FIRST.contains(from), "{from}");
            assert_ne!(without(&FIRST.replacen(from, to, 1)), first, "{to}");
        }
    }

    #[test]
    fn a_value_within_another_is_cut_with_it() {
        let both = pointers(&["/a/b", "/a"]);
        let hash = |json| sha256_without(&both, json).unwrap();
        assert_eq!(hash(r#"{"a":{"b":1},"c":1}"#), hash(r#"{"a":7,"c":1}"#));
        assert_ne!(hash(r#"{"a":{"b":1},"c":1}"#), hash(r#"{"a":7,"c":2}"#));
    }

    #[test]
    fn what_cannot_be_cut_for_certain_is_left_whole() {
        for json in [
            "",
            "{}",
            "[]",
            "7",
            r#"{"id":"1"}"#,
            r#"{"n":1,"n":2}"#,
            r#"{"context":{"again":1,"again":1}}"#,
            r#"{"context":{},"context":{"again":1}}"#,
            r#"{"n":1}}"#,
            r#"{"n":1"#,
        ] {
            assert_eq!(without(json), None, "{json}");
        }
        assert_eq!(sha256_without(&Pointers::default(), r#"{"n":1}"#), None);
    }

    /// The body of an event whose fields stand in some order, with white space.
    fn body(order: &[usize], space: &str, values: [&str; 4]) -> String {
        let names = ["id", "amount", "n", "again"];
        let fields = order.iter().map(|index| {
            let (name, value) = (names[*index], values[*index]);
            match name {
                "again" => format!(r#""context"{space}:{{"again":{value}}}"#),
                _ => format!(r#""{name}":{space}{value}"#),
            }
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<bool>().prop_map(|it| it.to_string()),
            any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
            proptest::collection::vec(any::<String>(), 0..4)
                .prop_map(|list| serde_json::Value::from(list).to_string()),
            any::<String>().prop_map(|text| serde_json::json!({ "n": 1, "x": text }).to_string()),
        ]
    }

    proptest! {
        #[test]
        fn a_changed_value_is_the_same_and_any_other_change_is_not(
            order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
            space in "[ \n\t]{0,3}",
            first in [value(), value(), value(), value()],
            second in [value(), value(), value(), value()],
        ) {
            let [id, amount, n, again] = first.each_ref().map(String::as_str);
            let [other_id, other_amount, other_n, other_again] =
                second.each_ref().map(String::as_str);
            let hash = |values| without(&body(&order, &space, values)).unwrap();
            let whole = hash([id, amount, n, again]);
            prop_assert_eq!(whole, hash([id, amount, other_n, other_again]));
            prop_assert_eq!(whole == hash([other_id, amount, n, again]), id == other_id);
            prop_assert_eq!(
                whole == hash([id, other_amount, other_n, again]),
                amount == other_amount
            );
        }

        #[test]
        fn any_byte_changed_outside_of_the_values_is_another_event(
            at in any::<proptest::sample::Index>(),
            to in any::<u8>(),
        ) {
            let mut changed = FIRST.as_bytes().to_vec();
            let at = at.index(changed.len());
            let mut found = Slots::default();
            let listed = pointers(&["/n", "/context/again", "/list"]);
            listed.find(FIRST, &mut found).unwrap();
            let is_cut = found.iter().flatten().any(|raw| {
                position(FIRST.as_bytes(), raw.get().as_bytes()).contains(&at)
            });
            prop_assume!(!is_cut && changed[at] != to);
            changed[at] = to;
            let changed = String::from_utf8(changed);
            prop_assume!(changed.is_ok());
            prop_assert_ne!(without(&changed.unwrap()), without(FIRST));
        }

        #[test]
        fn no_text_makes_it_panic(json in any::<String>()) {
            without(&json);
            without(&format!(r#"{{"n":{json}}}"#));
        }
    }
}
