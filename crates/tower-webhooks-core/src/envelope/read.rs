//! Reads an envelope in one pass, without building a tree of the body.

use std::{borrow::Cow, fmt, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{EnvelopeData, EventHead, Locator, Place, Unusable};
use crate::{Text, provider::Mistake, timestamp::from_unix_ms};

/// How many places in the body one envelope may name.
const MAX_SLOTS: usize = 12;

/// The longest event type or id.
const MAX_NAME_BYTES: usize = 255;

/// The JSON pointers of an envelope as one tree, so that one pass over the
/// body finds them all.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    root: Node,
    pointers: Vec<String>,
    pub(super) mistake: Option<Mistake>,
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

type Slots<'b> = [Option<&'b RawValue>; MAX_SLOTS];

impl Plan {
    pub(super) fn new(data: &EnvelopeData) -> Self {
        let mut plan = Self::default();
        let places = [Some(&data.event_type), data.id.as_ref(), data.time.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(Locator::places);
        for place in places {
            if let Place::Pointer(pointer) = place {
                plan.add(pointer);
            }
        }
        if !data.data.is_empty() {
            plan.add(&data.data);
        }
        if data
            .event_type
            .places()
            .any(|place| *place == Place::EventType)
        {
            plan.mistake = Some(Mistake::Place("event-type".to_owned()));
        }
        plan
    }

    fn add(&mut self, pointer: &str) {
        if self.slot(pointer).is_some() {
            return;
        }
        if !pointer.starts_with('/') {
            self.mistake = Some(Mistake::Place(pointer.to_owned()));
            return;
        }
        let slot = self.pointers.len();
        if slot >= MAX_SLOTS {
            self.mistake = Some(Mistake::TooManyPlaces);
            return;
        }
        self.pointers.push(pointer.to_owned());
        let tokens = pointer
            .split('/')
            .skip(1)
            .map(|token| token.replace("~1", "/").replace("~0", "~"));
        self.root.descend(tokens, slot);
    }

    fn slot(&self, pointer: &str) -> Option<usize> {
        self.pointers.iter().position(|known| known == pointer)
    }
}

pub(super) fn read(
    envelope: &EnvelopeData,
    plan: &Plan,
    body: &Bytes,
    headers: &HeaderMap,
) -> Result<EventHead, Unusable> {
    // Looked at once, as a whole: every part of it is text then.
    let body = &Text::from_utf8(body.clone()).ok_or(Unusable::NotJson)?;
    let mut slots = Slots::default();
    let mut duplicate = false;
    fill(&plan.root, body, &mut slots, &mut duplicate)?;
    let source = Source {
        plan,
        slots: &slots,
        body,
        headers,
    };
    let event_type = match source.name(&envelope.event_type, None) {
        Found::Text(text) => text,
        Found::Nothing => return Err(Unusable::TypeMissing),
        Found::Malformed => return Err(Unusable::TypeMalformed),
    };
    let id = match &envelope.id {
        None => None,
        Some(locator) => match source.name(locator, Some(&event_type)) {
            Found::Text(text) => Some(text),
            Found::Nothing => return Err(Unusable::IdMissing),
            Found::Malformed => return Err(Unusable::IdMalformed),
        },
    };
    let occurred_at = envelope
        .time
        .as_ref()
        .and_then(|locator| source.time(locator, envelope));
    let data = if envelope.data.is_empty() {
        body.clone()
    } else {
        match plan.slot(&envelope.data).and_then(|slot| source.raw(slot)) {
            Some(raw) => body.slice_ref(raw.get()),
            None => Text::from_static("null"),
        }
    };
    Ok(EventHead {
        event_type,
        id,
        occurred_at,
        data,
    })
}

/// Walks the whole body once, so that a body with anything wrong anywhere is
/// found out before it is routed.
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
    let object = match walked {
        Ok(object) => object,
        Err(_) if *duplicate => return Err(Unusable::DuplicateField),
        Err(_) => return Err(Unusable::NotJson),
    };
    reader.end().map_err(|_| Unusable::NotJson)?;
    if object {
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

impl<'b> Visitor<'b> for Walk<'_, '_, 'b> {
    /// Whether it was an object.
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<bool, A::Error> {
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
            let raw: &'b RawValue = map.next_value()?;
            if let Some(slot) = child.slot.and_then(|slot| self.slots.get_mut(slot)) {
                *slot = Some(raw);
            }
            if !child.children.is_empty() {
                match fill(child, raw.get(), self.slots, self.duplicate) {
                    Ok(()) | Err(Unusable::NotAnObject) => {}
                    Err(error) => return Err(de::Error::custom(error)),
                }
            }
        }
        Ok(true)
    }

    fn visit_seq<A: de::SeqAccess<'b>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
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

enum Found {
    Text(Text),
    Nothing,
    Malformed,
}

struct Source<'r, 'b> {
    plan: &'r Plan,
    slots: &'r Slots<'b>,
    body: &'r Text,
    headers: &'r HeaderMap,
}

impl<'b> Source<'_, 'b> {
    /// A type or an id: every part present, and fit to be a name. Parts that
    /// are joined have one reading: no part but the last holds what joins them.
    fn name(&self, locator: &Locator, event_type: Option<&Text>) -> Found {
        let mut whole: Option<Text> = None;
        for (index, part) in locator.parts.iter().enumerate() {
            let found = part
                .any
                .iter()
                .map(|place| self.text(place, event_type))
                .find(|found| !matches!(found, Found::Nothing))
                .unwrap_or(Found::Nothing);
            let Found::Text(mut text) = found else {
                return found;
            };
            let is_last = index.saturating_add(1) == locator.parts.len();
            if text.is_empty() {
                return Found::Malformed;
            }
            if !is_last && (locator.join.is_empty() || text.contains(&*locator.join)) {
                return Found::Malformed;
            }
            if part.lower_case && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                text = Text::from(text.to_ascii_lowercase());
            }
            whole = Some(match whole {
                None => text,
                Some(before) => Text::from(format!("{before}{}{text}", locator.join)),
            });
        }
        match whole {
            Some(text) if is_name(&text) => Found::Text(text),
            Some(_) => Found::Malformed,
            None => Found::Nothing,
        }
    }

    fn text(&self, place: &Place, event_type: Option<&Text>) -> Found {
        match place {
            Place::EventType => event_type.cloned().map_or(Found::Nothing, Found::Text),
            Place::Header(name) => {
                let mut values = self.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => Found::Nothing,
                    (Some(_), Some(_)) => Found::Malformed,
                    (Some(value), None) => value
                        .to_str()
                        .map_or(Found::Malformed, |text| Found::Text(Text::from(text))),
                }
            }
            Place::Pointer(pointer) => {
                match self.plan.slot(pointer).and_then(|slot| self.raw(slot)) {
                    None => Found::Nothing,
                    Some(raw) => self.unquote(raw),
                }
            }
        }
    }

    fn raw(&self, slot: usize) -> Option<&'b RawValue> {
        self.slots.get(slot).copied().flatten()
    }

    /// Text without its quotes, sharing the body's memory unless it holds an
    /// escape; a whole number as its digits.
    fn unquote(&self, raw: &'b RawValue) -> Found {
        let json = raw.get();
        if json == "null" {
            return Found::Nothing;
        }
        if let Some(inner) = json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            if !inner.contains('\\') {
                return Found::Text(self.body.slice_ref(inner));
            }
            return serde_json::from_str::<Cow<'_, str>>(json).map_or(Found::Malformed, |text| {
                Found::Text(Text::from(text.into_owned()))
            });
        }
        if json.bytes().all(|byte| byte.is_ascii_digit()) {
            return Found::Text(Text::from(json));
        }
        Found::Malformed
    }

    /// An unreadable time is no reason to set an event aside.
    fn time(&self, locator: &Locator, envelope: &EnvelopeData) -> Option<SystemTime> {
        let place = locator.places().next()?;
        let Found::Text(text) = self.text(place, None) else {
            return None;
        };
        from_unix_ms(envelope.time_unit.parse_ms(text.as_bytes())?)
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
