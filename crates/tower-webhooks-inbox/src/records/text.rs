//! How stores write what they hold as text, so that people read the same in each.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tower_webhooks_core::Text;

use super::{EventState, Headers, JobState};

impl EventState {
    /// All, in the order of their names.
    pub const ALL: [Self; 4] = [
        Self::Conflict,
        Self::Routed,
        Self::Unhandled,
        Self::Unusable,
    ];

    /// Its name, in stores and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Routed => "routed",
            Self::Unhandled => "unhandled",
            Self::Unusable => "unusable",
        }
    }

    /// The state of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl JobState {
    /// All, in the order of their names.
    pub const ALL: [Self; 4] = [Self::Dead, Self::Done, Self::Pending, Self::Running];

    /// Its name, in stores and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Done => "done",
            Self::Pending => "pending",
            Self::Running => "running",
        }
    }

    /// The state of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Headers as JSON that people and databases' functions can read:
/// `[["x-trace","1"],["x-odd",{"hex":"ff00"}]]`. `None` if there are none.
#[must_use]
pub fn headers_to_json(headers: &Headers) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let pairs = headers.iter().map(|(name, value)| {
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "hex": const_hex::encode(value) }),
        };
        Value::Array(vec![Value::from(name.as_str()), value])
    });
    Some(Value::Array(pairs.collect()).to_string())
}

/// Reads back what [`headers_to_json`] wrote; anything else is no headers.
#[must_use]
pub fn headers_from_json(json: &str) -> Headers {
    let Ok(pairs) = serde_json::from_str::<Vec<(String, Value)>>(json) else {
        return Arc::default();
    };
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            let value = match value {
                Value::String(text) => Bytes::from(text),
                other => const_hex::decode(other.get("hex")?.as_str()?).ok()?.into(),
            };
            Some((Text::from(name), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_readable_and_come_back() {
        let headers: Headers = [
            (Text::from("x-trace"), Bytes::from_static(b"1 \"2\"")),
            (Text::from("x-odd"), Bytes::from_static(b"\xff\x00")),
        ]
        .into();
        let json = headers_to_json(&headers).unwrap();
        assert_eq!(json, r#"[["x-trace","1 \"2\""],["x-odd",{"hex":"ff00"}]]"#);
        assert_eq!(headers_from_json(&json), headers);
        assert_eq!(headers_to_json(&Headers::default()), None);
    }

    #[test]
    fn headers_that_nobody_wrote_are_none() {
        for odd in [
            "",
            "{}",
            "[1]",
            r#"[["a",{"hex":"f"}],["b",{"hex":"zz"}],["c",1]]"#,
        ] {
            assert_eq!(headers_from_json(odd), Headers::default(), "{odd}");
        }
    }

    #[test]
    fn states_are_named_as_they_are_read() {
        for state in EventState::ALL {
            assert_eq!(EventState::from_name(state.as_str()), Some(state));
        }
        for state in JobState::ALL {
            assert_eq!(JobState::from_name(state.as_str()), Some(state));
        }
        assert_eq!(EventState::from_name("new"), None);
        assert_eq!(JobState::from_name("new"), None);
    }
}
