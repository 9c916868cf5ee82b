//! Finds several JSON pointers in one pass over a text, without a tree of it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Unusable, provider::Mistake};

/// How many places one description may name in one object.
pub(crate) const MAX_SLOTS: usize = 12;

/// What stands for every element of a list in a pointer.
pub(crate) const EACH: &str = "*";

/// JSON pointers (RFC 6901) as one tree, so that one pass finds them all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pointers {
    root: Node,
    list: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    key: String,
    /// Its bit among its parent's children.
    bit: u64,
    slot: Option<usize>,
    /// Few, so that looking at each is faster than any map.
    children: Vec<Self>,
}

impl Node {
    /// Gives the node that these tokens lead to a slot, and grows it where
    /// there was none.
    fn descend(&mut self, mut tokens: impl Iterator<Item = String>, slot: usize) {
        let Some(key) = tokens.next() else {
            self.slot = Some(slot);
            return;
        };
        if let Some(child) = self.children.iter_mut().find(|child| child.key == key) {
            return child.descend(tokens, slot);
        }
        let mut child = Self {
            key,
            bit: bit(self.children.len()),
            ..Self::default()
        };
        child.descend(tokens, slot);
        self.children.push(child);
    }
}

/// There are never more children than slots.
fn bit(number: usize) -> u64 {
    u32::try_from(number)
        .ok()
        .and_then(|number| 1_u64.checked_shl(number))
        .unwrap_or(0)
}

/// The values that lie at the pointers, in the pointers' order.
pub(crate) type Slots<'b> = [Option<&'b RawValue>; MAX_SLOTS];

impl Pointers {
    /// Adds a pointer, which begins with a slash. One that is there already
    /// changes nothing.
    pub(crate) fn add(&mut self, pointer: &str) -> Result<(), Mistake> {
        if self.slot(pointer).is_some() {
            return Ok(());
        }
        if !pointer.starts_with('/') {
            return Err(Mistake::Place(pointer.to_owned()));
        }
        let slot = self.list.len();
        if slot >= MAX_SLOTS {
            return Err(Mistake::TooManyPlaces);
        }
        self.list.push(pointer.to_owned());
        let tokens = pointer.split('/').skip(1).map(unescape);
        self.root.descend(tokens, slot);
        Ok(())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Which slot a pointer has.
    pub(crate) fn slot(&self, pointer: &str) -> Option<usize> {
        self.list.iter().position(|known| known == pointer)
    }

    /// Walks the whole text once, so that a text with anything wrong anywhere
    /// is found out before any of it is used. `slots` are filled as far as it
    /// came.
    pub(crate) fn find<'b>(&self, json: &'b str, slots: &mut Slots<'b>) -> Result<(), Unusable> {
        let mut duplicate = false;
        fill(&self.root, json, slots, &mut duplicate)
    }
}

/// Undoes the two escapes of a pointer's token.
pub(crate) fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

fn fill<'b>(
    node: &Node,
    json: &'b str,
    slots: &mut Slots<'b>,
    duplicate: &mut bool,
) -> Result<(), Unusable> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let walked = reader.deserialize_any(Walk {
        node,
        slots,
        duplicate,
    });
    let holds_fields = match walked {
        Ok(holds_fields) => holds_fields,
        Err(_) if *duplicate => return Err(Unusable::DuplicateField),
        Err(_) => return Err(Unusable::NotJson),
    };
    reader.end().map_err(|_| Unusable::NotJson)?;
    if holds_fields {
        Ok(())
    } else {
        Err(Unusable::NotAnObject)
    }
}

struct Walk<'n, 's, 'b> {
    node: &'n Node,
    slots: &'s mut Slots<'b>,
    duplicate: &'s mut bool,
}

impl<'b> Walk<'_, '_, 'b> {
    fn keep<E: de::Error>(&mut self, child: &Node, raw: &'b RawValue) -> Result<(), E> {
        if let Some(slot) = child.slot.and_then(|slot| self.slots.get_mut(slot)) {
            *slot = Some(raw);
        }
        if child.children.is_empty() {
            return Ok(());
        }
        match fill(child, raw.get(), self.slots, self.duplicate) {
            Ok(()) | Err(Unusable::NotAnObject) => Ok(()),
            Err(error) => Err(E::custom(error)),
        }
    }
}

impl<'b> Visitor<'b> for Walk<'_, '_, 'b> {
    /// Whether it was an object, or a list of which an element is wanted.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut map: A) -> Result<bool, A::Error> {
        let mut seen = 0_u64;
        while let Some(wanted) = map.next_key_seed(Key(&self.node.children))? {
            let Some(child) = wanted else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & child.bit != 0 {
                *self.duplicate = true;
                return Err(de::Error::custom("duplicate field"));
            }
            seen |= child.bit;
            self.keep(child, map.next_value()?)?;
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut list: A) -> Result<bool, A::Error> {
        let wanted = |child: &Node| child.key.bytes().all(|byte| byte.is_ascii_digit());
        if !self.node.children.iter().any(wanted) {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(false);
        }
        let mut index = 0_usize;
        while let Some(raw) = list.next_element::<&'b RawValue>()? {
            let key = index.to_string();
            if let Some(child) = self.node.children.iter().find(|child| child.key == key) {
                self.keep(child, raw)?;
            }
            index = index.saturating_add(1);
        }
        Ok(true)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// Which of the wanted fields a key names; escapes in it are undone first.
struct Key<'n>(&'n [Node]);

impl<'b, 'n> DeserializeSeed<'b> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: de::Deserializer<'b>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|node| node.key == key))
    }
}

/// A value as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'b> {
    /// Text without its quotes, or the digits of a whole number.
    Text(Cow<'b, str>),
    /// `null`.
    Nothing,
    /// Anything else.
    Other,
}

impl<'b> Value<'b> {
    /// Borrows unless the text holds an escape.
    pub(crate) fn of(raw: &'b RawValue) -> Self {
        let json = raw.get();
        if json == "null" {
            return Self::Nothing;
        }
        if let Some(inner) = json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            if !inner.contains('\\') {
                return Self::Text(Cow::Borrowed(inner));
            }
            return serde_json::from_str::<String>(json)
                .map_or(Self::Other, |text| Self::Text(Cow::Owned(text)));
        }
        if json.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Text(Cow::Borrowed(json));
        }
        Self::Other
    }

    pub(crate) fn text(self) -> Option<Cow<'b, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing | Self::Other => None,
        }
    }
}

/// The value at one pointer without a `*` in it; the empty one is the whole.
pub(crate) fn at<'b>(json: &'b RawValue, pointer: &str) -> Result<Option<&'b RawValue>, Unusable> {
    if pointer.is_empty() {
        return Ok(Some(json));
    }
    let mut pointers = Pointers::default();
    if pointers.add(pointer).is_err() {
        return Ok(None);
    }
    let mut slots = Slots::default();
    match pointers.find(json.get(), &mut slots) {
        Ok(()) | Err(Unusable::NotAnObject) => Ok(slots.first().copied().flatten()),
        Err(error) => Err(error),
    }
}

/// The elements of the list at a pointer, or why there is none.
pub(crate) fn elements<'b>(
    json: &'b RawValue,
    pointer: &str,
) -> Result<Vec<&'b RawValue>, Unusable> {
    let list = at(json, pointer)?.ok_or(Unusable::NotAList)?;
    serde_json::from_str(list.get()).map_err(|_| Unusable::NotAList)
}

/// The values at a pointer that may hold a `*` for every element of a list;
/// nothing where one element has no such field.
pub(crate) fn each<'b>(json: &'b RawValue, pointer: &str) -> Result<Vec<&'b RawValue>, Unusable> {
    let Some((list, rest)) = split_each(pointer) else {
        return Ok(at(json, pointer)?.into_iter().collect());
    };
    let mut found = Vec::new();
    for element in elements(json, list)? {
        let values = each(element, rest)?;
        if values.is_empty() {
            return Ok(values);
        }
        found.extend(values);
    }
    Ok(found)
}

/// Cuts a pointer at its first `*`: where the list lies, and what is wanted of
/// its elements.
pub(crate) fn split_each(pointer: &str) -> Option<(&str, &str)> {
    let mut at = 0_usize;
    for token in pointer.split('/') {
        let end = at.checked_add(token.len())?;
        if token == EACH {
            return Some((pointer.get(..at.checked_sub(1)?)?, pointer.get(end..)?));
        }
        at = end.checked_add(1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn found(json: &str, pointer: &str) -> Vec<String> {
        let values = each(raw(json), pointer).unwrap();
        values.iter().map(|raw| raw.get().to_owned()).collect()
    }

    #[test]
    fn a_pointer_may_name_an_element_of_a_list() {
        let json = r#"{"items":[{"a":1},{"a":2}]}"#;
        assert_eq!(found(json, "/items/0/a"), ["1"]);
        assert_eq!(found(json, "/items/1/a"), ["2"]);
        assert!(found(json, "/items/2/a").is_empty());
        assert!(found(json, "/items/00/a").is_empty());
        assert_eq!(found("[7,8]", "/1"), ["8"]);
    }

    #[test]
    fn a_star_stands_for_every_element_and_each_must_have_the_field() {
        let json = r#"{"e":[{"c":[{"f":1},{"f":2}]},{"c":[{"f":3}]}]}"#;
        assert_eq!(found(json, "/e/*/c/*/f"), ["1", "2", "3"]);
        assert!(found(r#"{"e":[{"f":1},{}]}"#, "/e/*/f").is_empty());
        assert_eq!(each(raw("{}"), "/e/*/f").unwrap_err(), Unusable::NotAList);
        assert_eq!(split_each("/*"), Some(("", "")));
        assert_eq!(split_each("/a/*/b"), Some(("/a", "/b")));
        assert_eq!(split_each("/a*/b"), None);
    }

    #[test]
    fn a_field_of_the_path_that_stands_twice_is_refused() {
        let json = r#"{"e":[{"f":1,"f":2}]}"#;
        assert_eq!(
            each(raw(json), "/e/*/f").unwrap_err(),
            Unusable::DuplicateField
        );
        assert_eq!(
            each(raw(r#"{"a":{"b":1,"b":1}}"#), "/a/b").unwrap_err(),
            Unusable::DuplicateField
        );
    }
}
