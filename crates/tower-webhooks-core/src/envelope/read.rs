//! Reads an envelope in one pass, without building a tree of the body.

use std::{collections::HashMap, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserializer as _, de};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    BodyFormat, EnvelopeData, EventHead, Item, Locator, Place, Unusable,
    redelivered::sha256_without,
};
use crate::{
    Text, form,
    pointers::{Pointers, Slots, Value, elements, split_each},
    provider::Mistake,
    scheme::screen::position,
    timestamp::from_unix_ms,
};

/// The longest event type or id.
const MAX_NAME_BYTES: usize = 255;

/// How many events one delivery may hold: ten times what any provider sends.
pub(super) const MAX_ITEMS: usize = 10_000;

/// How much the events of one delivery may grow by being kept one by one, each with
/// what surrounds them: far beyond any provider's.
pub(super) const MAX_REPEATED_BYTES: usize = 8 * 1024 * 1024;

/// Where the places of an envelope lie: in the whole body, or in one element
/// of the list that holds several events.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    whole: Pointers,
    item: Pointers,
    /// What redeliveries change: in the whole, or in one element of the list.
    pub(super) changing: Pointers,
    /// The pointer to the list, where there is one.
    list: Option<String>,
    pub(super) mistake: Option<Mistake>,
}

impl Plan {
    pub(super) fn new(data: &EnvelopeData) -> Self {
        let mut plan = Self::default();
        if let Some(batch) = &data.batch {
            match split_each(batch) {
                Some((list, "")) => plan.list = Some(list.to_owned()),
                _ => plan.mistake = Some(Mistake::Batch(batch.clone())),
            }
        }
        let locators = [
            Some(&data.event_type),
            data.id.as_ref(),
            data.time.as_ref(),
            data.ordering_key.as_ref(),
        ];
        let places = locators.into_iter().flatten().flat_map(Locator::places);
        for place in places {
            if let Place::Pointer(pointer) = place {
                plan.add(pointer);
            }
        }
        if !data.data.is_empty() {
            plan.add(&data.data);
        }
        if plan.list.is_some() {
            let id = data.id.as_ref();
            let is_own = |place: &Place| match place {
                Place::Pointer(pointer) => plan.inside(pointer).is_some(),
                _ => false,
            };
            if id.is_some_and(|id| !id.places().any(is_own)) {
                plan.mistake = Some(Mistake::BatchId);
            }
            if data.format != BodyFormat::Json || data.form_field.is_some() {
                plan.mistake = Some(Mistake::BatchForm);
            }
        }
        if data.format != BodyFormat::Json && data.form_field.is_some() {
            plan.mistake = Some(Mistake::FormField);
        }
        if data
            .event_type
            .places()
            .any(|place| *place == Place::EventType)
        {
            plan.mistake = Some(Mistake::Place("event-type".to_owned()));
        }
        plan.add_changing(data);
        plan
    }

    fn add_changing(&mut self, data: &EnvelopeData) {
        for pointer in &data.changing_fields {
            let rest = match self.inside(pointer) {
                Some(rest) => rest,
                None if self.list.is_some() => {
                    self.mistake = Some(Mistake::ChangingOutside(pointer.clone()));
                    continue;
                }
                None => pointer,
            };
            let added = match split_each(rest) {
                None if rest.is_empty() => Err(Mistake::Place(pointer.clone())),
                Some(_) => Err(Mistake::Place(pointer.clone())),
                None if makes_event(data, pointer) => Err(Mistake::ChangingEvent(pointer.clone())),
                None => self.changing.add(rest),
            };
            if let Err(mistake) = added {
                self.mistake = Some(mistake);
            }
        }
        if !self.changing.is_empty() && data.format != BodyFormat::Json {
            self.mistake = Some(Mistake::ChangingForm);
        }
    }

    fn add(&mut self, pointer: &str) {
        let added = match self.inside(pointer) {
            Some("") => Ok(()),
            Some(rest) if split_each(rest).is_none() => self.item.add(rest),
            None if split_each(pointer).is_none() => self.whole.add(pointer),
            Some(_) | None => Err(Mistake::Place(pointer.to_owned())),
        };
        if let Err(mistake) = added {
            self.mistake = Some(mistake);
        }
    }

    /// What a pointer wants of one element, where it points into the list.
    fn inside<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        let (list, rest) = split_each(pointer)?;
        (Some(list) == self.list.as_deref()).then_some(rest)
    }
}

/// Whether what lies there holds what an event is told by, or its payload.
fn makes_event(data: &EnvelopeData, pointer: &str) -> bool {
    let locators = [
        Some(&data.event_type),
        data.id.as_ref(),
        data.ordering_key.as_ref(),
    ];
    let places = locators.into_iter().flatten().flat_map(Locator::places);
    let mut pointers = places.filter_map(|place| match place {
        Place::Pointer(pointer) => Some(pointer.as_str()),
        _ => None,
    });
    let holds = |inner: &str| {
        let rest = inner.strip_prefix(pointer).filter(|_| !pointer.is_empty());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    pointers.any(holds) || (!data.data.is_empty() && holds(&data.data))
}

/// What an envelope is read from.
pub(crate) struct Reading<'r> {
    /// The body, decrypted where its whole was encrypted.
    pub(crate) body: &'r Bytes,
    /// The payload, where only that was encrypted.
    pub(crate) data: Option<&'r Bytes>,
    pub(crate) headers: &'r HeaderMap,
}

/// Reads the one event of a delivery.
pub(super) fn read(
    envelope: &EnvelopeData,
    plan: &Plan,
    reading: &Reading<'_>,
) -> Result<EventHead, Unusable> {
    if plan.list.is_some() {
        return Err(Unusable::Batch);
    }
    let body = &text(envelope, reading.body)?;
    let mut whole = Slots::default();
    plan.whole.find(body, &mut whole)?;
    let opened = reading.data.map(json).transpose()?;
    Source {
        plan,
        body,
        whole: &whole,
        item: &Slots::default(),
        element: None,
        opened: opened.as_ref(),
        headers: reading.headers,
    }
    .event(envelope)
}

/// Reads every event of a delivery that holds several; one that cannot be used
/// keeps its place, and spoils none of the others.
pub(super) fn split(
    envelope: &EnvelopeData,
    plan: &Plan,
    reading: &Reading<'_>,
) -> Result<Vec<Item>, Unusable> {
    let list = plan.list.as_deref().ok_or(Unusable::NotAList)?;
    let body = &text(envelope, reading.body)?;
    let mut whole = Slots::default();
    match plan.whole.find(body, &mut whole) {
        // The list may be the whole body.
        Ok(()) | Err(Unusable::NotAnObject) => {}
        Err(error) => return Err(error),
    }
    let root: &RawValue = serde_json::from_str(body).map_err(|_| Unusable::NotJson)?;
    let elements = elements(root, list)?;
    if elements.len() > MAX_ITEMS {
        return Err(Unusable::TooManyItems);
    }
    if let (Some(first), Some(last)) = (elements.first(), elements.last()) {
        let (before, behind) = surroundings(body.as_bytes(), first.get(), last.get());
        let around = before.len().saturating_add(behind.len());
        if around.saturating_mul(elements.len()) > MAX_REPEATED_BYTES {
            return Err(Unusable::TooManyItems);
        }
    }
    let mut seen: HashMap<[u8; 32], usize> = HashMap::new();
    let items = elements.into_iter().enumerate().map(|(index, element)| {
        let mut item = Slots::default();
        let event = plan.item.find(element.get(), &mut item).and_then(|()| {
            Source {
                plan,
                body,
                whole: &whole,
                item: &item,
                element: Some(element),
                opened: None,
                headers: reading.headers,
            }
            .event(envelope)
        });
        let json = body.slice_ref(element.get());
        let lasting = sha256_without(&plan.changing, &json);
        let own = lasting.unwrap_or_else(|| Sha256::digest(&*json).into());
        let (id, sha256) = match event.as_ref().ok().and_then(EventHead::id) {
            Some(id) => (id.clone(), own),
            None => nth(own, &mut seen),
        };
        Item {
            index,
            id,
            event,
            json,
            sha256,
        }
    });
    Ok(items.collect())
}

/// Two equal elements of one delivery are two events.
fn nth(own: [u8; 32], seen: &mut HashMap<[u8; 32], usize>) -> (Text, [u8; 32]) {
    let count = seen.entry(own).or_default();
    *count = count.saturating_add(1);
    let id = const_hex::encode(own);
    if *count == 1 {
        return (Text::from(id), own);
    }
    let id = format!("{id}-{count}");
    let sha256 = Sha256::digest(&id).into();
    (Text::from(id), sha256)
}

/// What stands before the first of the parts of a body, and behind the last.
pub(crate) fn surroundings<'b>(body: &'b [u8], first: &str, last: &str) -> (&'b [u8], &'b [u8]) {
    let start = position(body, first.as_bytes()).start;
    let end = position(body, last.as_bytes()).end;
    let before = body.get(..start).unwrap_or_default();
    (before, body.get(end..).unwrap_or_default())
}

/// Looked at once, as a whole: every part of it is text then.
fn text(envelope: &EnvelopeData, body: &Bytes) -> Result<Text, Unusable> {
    match form_of(envelope, body) {
        Some(Form::Fields) => form::to_json(body)
            .and_then(Text::from_utf8)
            .ok_or(Unusable::NotAForm),
        Some(Form::Document(field)) => form::document(body, field),
        None => Text::from_utf8(body.clone()).ok_or(Unusable::NotJson),
    }
}

/// What a form holds.
pub(super) enum Form<'e> {
    /// A JSON document in the field of this name.
    Document(&'e str),
    /// The fields of the event itself.
    Fields,
}

/// How a body is read that is a form, by its bytes alone: an object or a list has its
/// bracket first, and a form the name of a field.
pub(super) fn form_of<'e>(envelope: &'e EnvelopeData, body: &[u8]) -> Option<Form<'e>> {
    let first = body.trim_ascii_start().first();
    match (envelope.format, &envelope.form_field) {
        (BodyFormat::Form, _) => Some(Form::Fields),
        (BodyFormat::Json, Some(field)) if !matches!(first, Some(b'{' | b'[')) => {
            Some(Form::Document(field))
        }
        (BodyFormat::Json, _) => None,
    }
}

/// A text that is one JSON value.
fn json(text: &Bytes) -> Result<Text, Unusable> {
    let text = Text::from_utf8(text.clone()).ok_or(Unusable::NotJson)?;
    let value: &RawValue = serde_json::from_str(&text).map_err(|_| Unusable::NotJson)?;
    Ok(text.slice_ref(value.get()))
}

enum Found {
    Text(Text),
    Nothing,
    Malformed,
}

struct Source<'r, 'b> {
    plan: &'r Plan,
    body: &'b Text,
    whole: &'r Slots<'b>,
    item: &'r Slots<'b>,
    /// The element itself, where the event is one of several.
    element: Option<&'b RawValue>,
    /// The payload, where it was encrypted.
    opened: Option<&'r Text>,
    headers: &'r HeaderMap,
}

impl<'b> Source<'_, 'b> {
    fn event(&self, envelope: &EnvelopeData) -> Result<EventHead, Unusable> {
        let event_type = match self.name(&envelope.event_type, None) {
            Found::Text(text) => text,
            Found::Nothing => return Err(Unusable::TypeMissing),
            Found::Malformed => return Err(Unusable::TypeMalformed),
        };
        let id = match &envelope.id {
            None => None,
            Some(locator) => match self.name(locator, Some(&event_type)) {
                Found::Text(text) => Some(text),
                Found::Nothing if envelope.id_optional => None,
                Found::Nothing => return Err(Unusable::IdMissing),
                Found::Malformed => return Err(Unusable::IdMalformed),
            },
        };
        let occurred_at = envelope
            .time
            .as_ref()
            .and_then(|locator| self.time(locator, envelope));
        let ordering_key = envelope.ordering_key.as_ref().and_then(|locator| {
            match self.name(locator, Some(&event_type)) {
                Found::Text(text) => Some(text),
                // No reason to set an event aside: it waits for no others.
                Found::Nothing | Found::Malformed => None,
            }
        });
        let data = if let Some(opened) = self.opened {
            opened.clone()
        } else if envelope.data.is_empty() {
            self.body.clone()
        } else {
            match self.raw(&envelope.data) {
                Some(raw) => self.body.slice_ref(raw.get()),
                None => Text::from_static("null"),
            }
        };
        Ok(EventHead {
            event_type,
            id,
            occurred_at,
            ordering_key,
            data,
        })
    }

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
            Place::NameBeside(known) => {
                self.name_beside(known)
                    .map_or(Found::Nothing, |name| match name {
                        Some(name) => Found::Text(name),
                        None => Found::Malformed,
                    })
            }
            Place::Pointer(pointer) => match self.raw(pointer).map(Value::of) {
                None | Some(Value::Nothing) => Found::Nothing,
                Some(Value::Text(std::borrow::Cow::Borrowed(text))) => {
                    Found::Text(self.body.slice_ref(text))
                }
                Some(Value::Text(std::borrow::Cow::Owned(text))) => Found::Text(Text::from(text)),
                Some(Value::Other) => Found::Malformed,
            },
        }
    }

    fn raw(&self, pointer: &str) -> Option<&'b RawValue> {
        let (pointers, slots, rest) = match self.plan.inside(pointer) {
            Some("") => return self.element,
            Some(rest) => (&self.plan.item, self.item, rest),
            None => (&self.plan.whole, self.whole, pointer),
        };
        let slot = pointers.slot(rest)?;
        slots.get(slot).copied().flatten()
    }

    /// The name of the one field besides `known`: nothing where there is none,
    /// and no name where there are several.
    fn name_beside(&self, known: &str) -> Option<Option<Text>> {
        let mut reader = serde_json::Deserializer::from_str(self.body);
        reader.deserialize_map(Beside(known)).ok()?
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

struct Beside<'k>(&'k str);

impl<'b> de::Visitor<'b> for Beside<'_> {
    type Value = Option<Option<Text>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'b>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((name, _)) = map.next_entry::<String, de::IgnoredAny>()? {
            if name != self.0 {
                found = Some(match found {
                    None => Some(Text::from(name)),
                    Some(_) => None,
                });
            }
        }
        Ok(found)
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
