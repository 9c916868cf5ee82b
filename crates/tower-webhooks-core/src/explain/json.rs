//! JSON that keeps the order of its keys and the digits of its numbers, to be
//! written in the styles of the usual writers.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// How deep it may go.
const MAX_DEPTH: usize = 64;

/// A value. Numbers, `true`, `false` and `null` are as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    Other(String),
    Text(String),
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) layout: Layout,
    pub(super) escapes: Escapes,
    pub(super) sorted: bool,
}

/// The white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    Indented(&'static str),
    /// A space behind each comma and colon, as Python's writer does.
    Spaced,
}

impl Layout {
    pub(super) const ALL: [Self; 5] = [
        Self::Compact,
        Self::Indented("  "),
        Self::Indented("    "),
        Self::Indented("\t"),
        Self::Spaced,
    ];
}

/// What is escaped in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Everything beyond ASCII, as Python does.
    Ascii,
    /// `<`, `>` and `&`, as Go does.
    Html,
    /// What must be.
    Needed,
    /// Slashes and everything beyond ASCII, as PHP does.
    SlashesAscii,
    /// Slashes.
    Slashes,
}

impl Escapes {
    pub(super) const ALL: [Self; 5] = [
        Self::Needed,
        Self::Ascii,
        Self::Slashes,
        Self::SlashesAscii,
        Self::Html,
    ];

    const fn slashes(self) -> bool {
        matches!(self, Self::Slashes | Self::SlashesAscii)
    }

    const fn beyond_ascii(self) -> bool {
        matches!(self, Self::Ascii | Self::SlashesAscii)
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.layout {
            Layout::Compact => "compact",
            Layout::Indented("\t") => "in lines with tabs",
            Layout::Indented(indent) if indent.len() == 2 => "in lines with two spaces",
            Layout::Indented(_) => "in lines with four spaces",
            Layout::Spaced => "with a space behind commas and colons",
        })?;
        if self.sorted {
            f.write_str(", its keys sorted")?;
        }
        f.write_str(match self.escapes {
            Escapes::Needed => ", nothing escaped that need not be",
            Escapes::Ascii => ", all but ASCII escaped",
            Escapes::Slashes => ", slashes escaped",
            Escapes::SlashesAscii => ", slashes and all but ASCII escaped",
            Escapes::Html => ", <, > and & escaped",
        })
    }
}

impl Json {
    /// Nothing where it is no JSON, or goes too deep.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(body).ok()?;
        Self::of(raw, MAX_DEPTH)
    }

    fn of(raw: &RawValue, depth: usize) -> Option<Self> {
        let text = raw.get();
        let deeper = || depth.checked_sub(1);
        match text.as_bytes().first()? {
            b'{' => {
                let Fields(fields) = serde_json::from_str(text).ok()?;
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| Some((name, Self::of(value, deeper()?)?)));
                fields.collect::<Option<_>>().map(Self::Object)
            }
            b'[' => {
                let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let values = values.into_iter().map(|value| Self::of(value, deeper()?));
                values.collect::<Option<_>>().map(Self::List)
            }
            b'"' => serde_json::from_str(text).ok().map(Self::Text),
            _ => Some(Self::Other(text.to_owned())),
        }
    }

    pub(super) fn write(&self, style: Style) -> String {
        let mut written = String::new();
        self.write_to(&mut written, style, 0);
        written
    }

    fn write_to(&self, to: &mut String, style: Style, depth: usize) {
        let inner = depth.saturating_add(1);
        match self {
            Self::Other(raw) => to.push_str(raw),
            Self::Text(text) => quote(to, text, style.escapes),
            Self::List(values) => {
                to.push('[');
                for (index, value) in values.iter().enumerate() {
                    set_apart(to, style, index > 0, inner);
                    value.write_to(to, style, inner);
                }
                end(to, style, values.is_empty(), depth);
                to.push(']');
            }
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                if style.sorted {
                    fields.sort_by(|(left, _), (right, _)| left.cmp(right));
                }
                to.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    set_apart(to, style, index > 0, inner);
                    quote(to, name, style.escapes);
                    to.push_str(if style.layout == Layout::Compact {
                        ":"
                    } else {
                        ": "
                    });
                    value.write_to(to, style, inner);
                }
                end(to, style, fields.is_empty(), depth);
                to.push('}');
            }
        }
    }
}

/// What stands before an element.
fn set_apart(to: &mut String, style: Style, follows: bool, depth: usize) {
    if follows {
        to.push(',');
    }
    match style.layout {
        Layout::Spaced if follows => to.push(' '),
        Layout::Compact | Layout::Spaced => {}
        Layout::Indented(indent) => {
            to.push('\n');
            to.push_str(&indent.repeat(depth));
        }
    }
}

fn end(to: &mut String, style: Style, is_empty: bool, depth: usize) {
    if let (Layout::Indented(indent), false) = (style.layout, is_empty) {
        to.push('\n');
        to.push_str(&indent.repeat(depth));
    }
}

fn quote(to: &mut String, text: &str, escapes: Escapes) {
    to.push('"');
    for char in text.chars() {
        match char {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            '/' if escapes.slashes() => to.push_str("\\/"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escapes == Escapes::Html => {
                escape(to, char);
            }
            char if char < ' ' || (!char.is_ascii() && escapes.beyond_ascii()) => {
                escape(to, char);
            }
            char => to.push(char),
        }
    }
    to.push('"');
}

fn escape(to: &mut String, char: char) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        to.push_str(&format!("\\u{unit:04x}"));
    }
}

/// The fields of an object, in their order, a repeated one repeated.
struct Fields<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{"b":"é/<\n","a":[1.50,{},[]],"a":null}"#;

    fn restyled(layout: Layout, escapes: Escapes, sorted: bool) -> String {
        Json::read(WRITTEN.as_bytes()).unwrap().write(Style {
            layout,
            escapes,
            sorted,
        })
    }

    #[test]
    fn nothing_is_lost_but_the_white_space() {
        assert_eq!(restyled(Layout::Compact, Escapes::Needed, false), WRITTEN);
        assert_eq!(
            restyled(Layout::Spaced, Escapes::Needed, false),
            r#"{"b": "é/<\n", "a": [1.50, {}, []], "a": null}"#
        );
        assert_eq!(
            restyled(Layout::Indented("  "), Escapes::Needed, false),
            "{\n  \"b\": \"é/<\\n\",\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": null\n}"
        );
    }

    #[test]
    fn keys_are_sorted_and_text_is_escaped_as_others_do() {
        let compact = |escapes| restyled(Layout::Compact, escapes, true);
        assert_eq!(
            compact(Escapes::SlashesAscii),
            r#"{"a":[1.50,{},[]],"a":null,"b":"\u00e9\/<\n"}"#
        );
        assert!(compact(Escapes::Ascii).contains(r#""\u00e9/<\n""#));
        assert!(compact(Escapes::Slashes).contains(r#""é\/<\n""#));
        assert!(compact(Escapes::Html).contains(r#""é/\u003c\n""#));
        let mut pair = String::new();
        quote(&mut pair, "😀\u{1}", Escapes::Ascii);
        assert_eq!(pair, r#""\ud83d\ude00\u0001""#);
    }

    #[test]
    fn what_goes_too_deep_is_left_alone() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::read(nested(64).as_bytes()).is_some());
        assert!(Json::read(nested(66).as_bytes()).is_none());
        assert!(Json::read(b"{\"a\":}").is_none());
    }
}
